//! What was to be expected of a definition on a day. The words for it are left to whoever shows it.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::time_zone;
use crate::{Definition, Trigger};

/// Whether a run is due on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// No run is to be expected, for this reason.
    Nothing(String),
    /// The first run of the day, or its grace, is still to come.
    NotYet {
        /// The first expected time of the day.
        first: DateTime<Utc>,
        /// When it counts as missing.
        due: DateTime<Utc>,
    },
    /// At least one run should be over.
    Due {
        /// The expected times of the day that are past their grace; there is at least one.
        times: Vec<DateTime<Utc>>,
    },
}

impl Expectation {
    /// What is to be expected of `definition` on `date`, seen from `now`.
    pub fn of(definition: &Definition, date: NaiveDate, now: DateTime<Utc>) -> Self {
        let cron = match &definition.trigger {
            Trigger::Cron(cron) => cron,
            Trigger::Event(event) => {
                return Self::Nothing(format!("it runs on events {}", event.event_type));
            }
            Trigger::Manual => return Self::Nothing("it runs on request only".to_owned()),
        };
        if !definition.enabled {
            return Self::Nothing("the definition is disabled".to_owned());
        }
        let day = time_zone(definition).day(date);
        let times = cron.schedule.occurrences(day.start, day.end);
        let Some(first) = times.first().copied() else {
            return Self::Nothing(format!(
                "\"{}\" names no time on {date}",
                cron.schedule.expression
            ));
        };
        let grace = TimeDelta::from_std(definition.grace).unwrap_or(TimeDelta::MAX);
        let is_over =
            |time: &DateTime<Utc>| time.checked_add_signed(grace).is_some_and(|due| due <= now);
        let over: Vec<DateTime<Utc>> = times.into_iter().filter(is_over).collect();
        if over.is_empty() {
            return Self::NotYet {
                first,
                due: first.checked_add_signed(grace).unwrap_or(first),
            };
        }
        Self::Due { times: over }
    }

    /// Whether a run should be over.
    pub const fn is_due(&self) -> bool {
        matches!(self, Self::Due { .. })
    }
}
