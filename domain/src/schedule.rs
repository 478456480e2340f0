//! When a cron definition is expected to run, computed by ourselves.
//!
//! The expected times are the yardstick that runs are measured against, so they must not come
//! from the scheduler that is being measured. The semantics are those of Temporal's Schedules:
//!
//! - five fields, six with a year at the end, or seven with a second in front and a year at the
//!   end; `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`;
//! - day of month **and** day of week must both match (classic cron says "or");
//! - the expression is matched against the wall clock of the time zone: a time that a
//!   daylight-saving change skips does not run, one that it repeats runs once or twice: as the
//!   server finds it ([`next_time`]).

mod next_time;

use std::fmt;
use std::ops::Range;

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, TimeZone as _, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// The most times that are computed for one question; a cron that fires each second for a day
/// stays below.
const MAXIMUM_OCCURRENCES: usize = 100_000;

/// From 1970 to 2000, the first year that Temporal's calendars know.
const FIRST_YEAR_DAYS: i64 = 10_956;

/// A cron expression or time zone that is refused when it is declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// The wrong number of fields.
    #[error(
        "trigger.cron.expression: \"{expression}\" has {count} fields; write 5 (minute hour \
         day-of-month month day-of-week), 6 (with a year at the end) or 7 (with a second in \
         front and a year at the end)"
    )]
    FieldCount {
        /// The expression.
        expression: String,
        /// How many fields it has.
        count: usize,
    },
    /// A field with something that Temporal does not know.
    #[error(
        "trigger.cron.expression: \"{expression}\": {reason}; allowed are numbers, names like MON \
         or JAN, and * , - /"
    )]
    Syntax {
        /// The expression.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Never fires.
    #[error(
        "trigger.cron.expression: \"{expression}\" names no date that exists between 2000 and 2100, so \
         it never fires"
    )]
    Never {
        /// The expression.
        expression: String,
    },
    /// Not in the IANA data base.
    #[error(
        "trigger.cron.timezone: unknown time zone \"{name}\"; use an IANA name such as \
         Europe/Berlin"
    )]
    TimeZone {
        /// The name.
        name: String,
    },
    /// Bounds in the wrong order.
    #[error("trigger.cron: endTime {end} is not after startTime {start}")]
    Bounds {
        /// The first instant.
        start: DateTime<Utc>,
        /// The last instant.
        end: DateTime<Utc>,
    },
}

/// Every year that Temporal's calendars know. The cron library's own is a hundred times as many, one
/// by one.
const EVERY_YEAR: &str = "2000-2100";

/// An accepted cron expression.
#[derive(Debug, Clone, PartialEq)]
pub struct CronExpression {
    source: String,
    cron: Cron,
}

impl CronExpression {
    /// Parses an expression of the forms that Temporal accepts (see the module's text).
    pub fn parse(source: &str) -> Result<Self, InvalidSchedule> {
        let fields: Vec<&str> = expand_nickname(source.trim()).split_whitespace().collect();
        let with_seconds = match fields.as_slice() {
            five if five.len() == 5 => format!("0 {} *", five.join(" ")),
            six if six.len() == 6 => format!("0 {}", six.join(" ")),
            seven if seven.len() == 7 => seven.join(" "),
            other => {
                return Err(InvalidSchedule::FieldCount {
                    expression: source.to_owned(),
                    count: other.len(),
                });
            }
        };
        let any_year = with_seconds.strip_suffix(" *");
        let with_years = any_year.map(|rest| format!("{rest} {EVERY_YEAR}"));
        let syntax = |reason: String| InvalidSchedule::Syntax {
            expression: source.to_owned(),
            reason,
        };
        if let Some(field) = fields.iter().find(|field| !is_plain(field)) {
            return Err(syntax(format!("\"{field}\" is not supported")));
        }
        let cron = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Required)
            .dom_and_dow(true)
            .sloppy_ranges(true)
            .build()
            .parse(with_years.as_ref().unwrap_or(&with_seconds))
            .map_err(|error| syntax(error.to_string()))?;
        let beginning = DateTime::UNIX_EPOCH + Duration::days(FIRST_YEAR_DAYS);
        if next_time::next_time(&cron, TimeZone::UTC, beginning).is_none() {
            return Err(InvalidSchedule::Never {
                expression: source.to_owned(),
            });
        }
        Ok(Self {
            source: source.trim().to_owned(),
            cron,
        })
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl fmt::Display for CronExpression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.source)
    }
}

fn expand_nickname(source: &str) -> &str {
    match source {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => other,
    }
}

/// Whether a field keeps to what Temporal knows. The cron library knows more (`L`, `W`, `#`,
/// `?`), which the server would refuse.
fn is_plain(field: &str) -> bool {
    const NAMES: [&str; 19] = [
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC", "SUN",
        "MON", "TUE", "WED", "THU", "FRI", "SAT",
    ];
    field.split([',', '-', '/']).all(|token| {
        token == "*"
            || (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit()))
            || NAMES.contains(&token.to_ascii_uppercase().as_str())
    })
}

/// An accepted IANA time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeZone(chrono_tz::Tz);

impl TimeZone {
    /// Coordinated Universal Time, the default.
    pub const UTC: Self = Self(chrono_tz::UTC);

    /// Looks a name up in the IANA data base that is compiled in.
    pub fn parse(name: &str) -> Result<Self, InvalidSchedule> {
        name.parse()
            .map(Self)
            .map_err(|_| InvalidSchedule::TimeZone {
                name: name.to_owned(),
            })
    }

    /// The IANA name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// An instant on this zone's wall clock, for people: `2026-11-24 09:00:00 CET`.
    pub fn shown(self, instant: DateTime<Utc>) -> String {
        instant
            .with_timezone(&self.0)
            .format("%Y-%m-%d %H:%M:%S %Z")
            .to_string()
    }

    /// The calendar date in this zone at an instant.
    pub fn date_at(self, instant: DateTime<Utc>) -> NaiveDate {
        instant.with_timezone(&self.0).date_naive()
    }

    /// The instants of a calendar day in this zone, `[start, end)`. Empty for a day that the zone
    /// left out (Samoa had no 30 December 2011).
    pub fn day(self, date: NaiveDate) -> Range<DateTime<Utc>> {
        let next = date.succ_opt().unwrap_or(date);
        self.first_instant(date)..self.first_instant(next)
    }

    /// The first instant at which the zone's calendar shows `date` or a later day.
    fn first_instant(self, date: NaiveDate) -> DateTime<Utc> {
        let midnight = date.and_time(NaiveTime::MIN);
        // Where a clock is set forward at midnight the day begins later, by a quarter of an hour
        // up to the whole day.
        (0..=LONGEST_GAP_QUARTERS)
            .map(|quarters| midnight + Duration::minutes(15) * quarters)
            .find_map(|wall| self.0.from_local_datetime(&wall).earliest())
            .map_or_else(|| midnight.and_utc(), |instant| instant.with_timezone(&Utc))
    }
}

/// The longest time that a zone ever left out: a whole day, in quarters of an hour.
const LONGEST_GAP_QUARTERS: i32 = 24 * 4;

/// A cron expression in its time zone and within its bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct CronSchedule {
    /// What the wall clock must show.
    pub expression: CronExpression,
    /// Whose wall clock.
    pub time_zone: TimeZone,
    /// No time before this instant is expected.
    pub start: Option<DateTime<Utc>>,
    /// No time after this instant is expected.
    pub end: Option<DateTime<Utc>>,
}

impl CronSchedule {
    /// The expected times in `[from, until)`, in order. At most 100,000 are returned.
    pub fn occurrences(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        self.first_occurrences(from..until, MAXIMUM_OCCURRENCES)
    }

    /// The first expected times in a range, in order, at most `limit`.
    pub fn first_occurrences(
        &self,
        range: Range<DateTime<Utc>>,
        limit: usize,
    ) -> Vec<DateTime<Utc>> {
        let Range {
            start: from,
            end: until,
        } = range;
        let from = self.start.map_or(from, |start| start.max(from));
        let until = self
            .end
            .map_or(until, |end| until.min(end + Duration::nanoseconds(1)));
        if from >= until {
            return Vec::new();
        }
        self.after(from - Duration::nanoseconds(1))
            .take_while(|time| *time < until)
            .take(limit)
            .collect()
    }

    /// The first expected time after `instant`; `None` when there is none up to the year 2100 or
    /// before the end.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let before_start = self.start.map(|start| start - Duration::nanoseconds(1));
        let instant = before_start.map_or(instant, |start| instant.max(start));
        let next = self.after(instant).next()?;
        self.end.is_none_or(|end| next <= end).then_some(next)
    }

    /// The times after `instant`, in order, without bounds.
    fn after(&self, instant: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        let next = |after: DateTime<Utc>| {
            let next = next_time::next_time(&self.expression.cron, self.time_zone, after)?;
            // A step back would never end.
            (next > after).then_some(next)
        };
        std::iter::successors(next(instant), move |time| next(*time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(expression: &str, zone: &str) -> CronSchedule {
        CronSchedule {
            expression: CronExpression::parse(expression).unwrap(),
            time_zone: TimeZone::parse(zone).unwrap(),
            start: None,
            end: None,
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn between(schedule: &CronSchedule, from: &str, until: &str) -> Vec<String> {
        schedule
            .occurrences(at(from), at(until))
            .iter()
            .map(|instant| instant.format("%m-%d %H:%M:%S").to_string())
            .collect()
    }

    #[test]
    fn weekdays_at_nine_in_berlin() {
        let weekdays = schedule("0 9 * * 1-5", "Europe/Berlin");
        assert_eq!(
            between(&weekdays, "2026-11-20T00:00:00Z", "2026-11-25T00:00:00Z"),
            ["11-20 08:00:00", "11-23 08:00:00", "11-24 08:00:00"]
        );
    }

    #[test]
    fn a_time_that_the_clock_skips_does_not_run() {
        let skipped = schedule("30 2 * * *", "Europe/Berlin");
        assert_eq!(
            between(&skipped, "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z"),
            ["03-28 01:30:00", "03-30 00:30:00"]
        );
    }

    #[test]
    fn a_time_that_the_clock_repeats_runs_twice_in_real_order() {
        let repeated = schedule("*/30 1 * * *", "America/New_York");
        assert_eq!(
            between(&repeated, "2026-11-01T00:00:00Z", "2026-11-01T12:00:00Z"),
            [
                "11-01 05:00:00",
                "11-01 05:30:00",
                "11-01 06:00:00",
                "11-01 06:30:00"
            ]
        );
    }

    #[test]
    fn east_of_greenwich_a_repeated_hour_is_taken_as_the_server_takes_it() {
        // It leaves the first copy out, and counts the half hour an hour late.
        let repeated = schedule("*/30 2 * * *", "Europe/Berlin");
        assert_eq!(
            between(&repeated, "2026-10-25T00:00:00Z", "2026-10-25T12:00:00Z"),
            ["10-25 01:00:00", "10-25 02:30:00"]
        );
        let once = schedule("30 2 * * *", "Europe/Berlin");
        assert_eq!(
            between(&once, "2026-10-25T00:00:00Z", "2026-10-25T12:00:00Z"),
            ["10-25 01:30:00"]
        );
    }

    #[test]
    fn seven_fields_have_seconds_and_six_have_a_year() {
        let seconds = schedule("*/20 * * * * * *", "UTC");
        assert_eq!(
            between(&seconds, "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z").len(),
            3
        );
        let year = schedule("0 0 1 1 * 2027", "UTC");
        assert_eq!(
            year.next_after(at("2026-01-01T00:00:00Z")),
            Some(at("2027-01-01T00:00:00Z"))
        );
        assert_eq!(year.next_after(at("2027-01-01T00:00:00Z")), None);
    }

    #[test]
    fn day_of_month_and_day_of_week_must_both_match() {
        let friday_thirteenth = schedule("0 0 13 * 5", "UTC");
        assert_eq!(
            friday_thirteenth.next_after(at("2026-04-01T00:00:00Z")),
            Some(at("2026-11-13T00:00:00Z"))
        );
    }

    #[test]
    fn leap_days_are_found() {
        assert_eq!(
            schedule("0 0 29 2 *", "UTC").next_after(at("2026-01-01T00:00:00Z")),
            Some(at("2028-02-29T00:00:00Z"))
        );
    }

    #[test]
    fn bounds_are_inclusive_as_in_temporal() {
        let bounded = CronSchedule {
            start: Some(at("2026-01-02T00:00:00Z")),
            end: Some(at("2026-01-04T00:00:00Z")),
            ..schedule("@daily", "UTC")
        };
        assert_eq!(
            between(&bounded, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
            ["01-02 00:00:00", "01-03 00:00:00", "01-04 00:00:00"]
        );
        assert_eq!(
            bounded.next_after(at("2025-01-01T00:00:00Z")),
            Some(at("2026-01-02T00:00:00Z"))
        );
    }

    #[test]
    fn a_day_is_as_long_as_its_zone_makes_it() {
        let hours = |zone: &str, date: &str| {
            let day = TimeZone::parse(zone).unwrap().day(date.parse().unwrap());
            (day.start.to_rfc3339(), (day.end - day.start).num_hours())
        };
        let cases = [
            ("UTC", "2026-11-24", "2026-11-24T00:00:00+00:00", 24),
            (
                "Europe/Berlin",
                "2026-03-29",
                "2026-03-28T23:00:00+00:00",
                23,
            ),
            (
                "Europe/Berlin",
                "2026-10-25",
                "2026-10-24T22:00:00+00:00",
                25,
            ),
            // The clock goes forward at midnight: the day begins at one.
            (
                "Africa/Cairo",
                "2026-04-24",
                "2026-04-23T22:00:00+00:00",
                23,
            ),
            ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00+00:00", 0),
        ];
        for (zone, date, start, length) in cases {
            assert_eq!(
                hours(zone, date),
                (start.to_owned(), length),
                "{zone} {date}"
            );
        }
    }

    #[test]
    fn refuses_what_temporal_refuses() {
        for wrong in [
            "",
            "* * *",
            "60 * * * *",
            "* * L * *",
            "* * * * 5#2",
            "a * * * *",
            "? * * * *",
        ] {
            assert!(
                CronExpression::parse(wrong).is_err(),
                "{wrong:?} was accepted"
            );
        }
        assert!(matches!(
            CronExpression::parse("0 0 30 2 *"),
            Err(InvalidSchedule::Never { .. })
        ));
        assert!(TimeZone::parse("Europe/Atlantis").is_err());
    }
}
