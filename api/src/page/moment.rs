//! Instants for people: on a wall clock that is named, with the instant itself for machines. Pure.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use domain::TimeZone;
use serde::Serialize;

/// An instant as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Moment {
    /// For the attribute `datetime`.
    iso: String,
    /// On the wall clock of a time zone.
    text: String,
}

impl Moment {
    /// The time of day where the date goes without saying, else with the date.
    pub(super) fn on(time_zone: TimeZone, instant: DateTime<Utc>, date: NaiveDate) -> Self {
        let full = Self::new(time_zone, instant);
        if time_zone.date_at(instant) != date {
            return full;
        }
        let text = full.text.split_once(' ').map(|(_, time)| time.to_owned());
        Self {
            text: text.unwrap_or(full.text),
            iso: full.iso,
        }
    }

    /// With the date.
    pub(super) fn new(time_zone: TimeZone, instant: DateTime<Utc>) -> Self {
        // "2026-11-24 09:00:00 CET": seconds of zero are no news.
        let shown = time_zone.shown(instant);
        let text = match shown.rsplit_once(":00 ") {
            Some((minute, zone)) => format!("{minute} {zone}"),
            None => shown,
        };
        Self {
            iso: instant.to_rfc3339_opts(SecondsFormat::Secs, true),
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(instant: &str, date: &str) -> String {
        let berlin = TimeZone::parse("Europe/Berlin").unwrap();
        Moment::on(berlin, instant.parse().unwrap(), date.parse().unwrap()).text
    }

    #[test]
    fn only_what_does_not_go_without_saying_is_shown() {
        assert_eq!(moment("2026-11-24T08:00:00Z", "2026-11-24"), "09:00 CET");
        assert_eq!(moment("2026-11-24T08:05:07Z", "2026-11-24"), "09:05:07 CET");
        assert_eq!(moment("2026-11-23T23:00:00Z", "2026-11-24"), "00:00 CET");
        assert_eq!(
            moment("2026-11-24T23:00:00Z", "2026-11-24"),
            "2026-11-25 00:00 CET"
        );
    }
}
