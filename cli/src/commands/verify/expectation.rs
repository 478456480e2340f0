//! What was to be expected of a definition on a day: the words beside the checks.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use contracts::workflow::format_time;
use domain::verification::time_zone;
use domain::{Definition, Trigger};

/// Whether a run is due on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expectation {
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
        /// The expected times of the day that are past their grace.
        times: Vec<DateTime<Utc>>,
    },
}

impl Expectation {
    /// What is to be expected of `definition` on `date`, seen from `now`.
    pub(super) fn of(definition: &Definition, date: NaiveDate, now: DateTime<Utc>) -> Self {
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
    pub(super) const fn is_due(&self) -> bool {
        matches!(self, Self::Due { .. })
    }

    /// The word in JSON.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Nothing(_) => "nothing",
            Self::NotYet { .. } => "notYet",
            Self::Due { .. } => "due",
        }
    }
}

impl std::fmt::Display for Expectation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing(reason) => write!(formatter, "no run is expected: {reason}"),
            Self::NotYet { first, due } => write!(
                formatter,
                "not due yet: the first run is expected at {}, and counts as missing from {} on",
                format_time(*first),
                format_time(*due)
            ),
            Self::Due { times } => match times.as_slice() {
                [only] => write!(formatter, "a run was expected at {}", format_time(*only)),
                [.., last] => write!(
                    formatter,
                    "{} runs were expected so far, the last at {}",
                    times.len(),
                    format_time(*last)
                ),
                [] => formatter.write_str("no run was expected so far"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn definition(spec: Value) -> Definition {
        let spec: crds::ActivityDefinitionSpec = serde_json::from_value(spec).unwrap();
        let id = domain::ActivityId::new(uuid::Uuid::from_u128(1));
        spec.validate(id, "daily").unwrap()
    }

    fn expected(spec: Value, now: &str) -> Expectation {
        let date = NaiveDate::from_ymd_opt(2026, 11, 24).unwrap();
        Expectation::of(&definition(spec), date, now.parse().unwrap())
    }

    fn nine_in_berlin() -> Value {
        json!({"trigger": {"cron": {"expression": "0 9 * * 1-5", "timezone": "Europe/Berlin"}},
               "verification": {"graceSeconds": 600}})
    }

    #[test]
    fn a_run_is_due_when_its_grace_is_over_and_not_before() {
        let early = expected(nine_in_berlin(), "2026-11-24T08:09:59Z");
        assert_eq!(
            early,
            Expectation::NotYet {
                first: "2026-11-24T08:00:00Z".parse().unwrap(),
                due: "2026-11-24T08:10:00Z".parse().unwrap()
            }
        );
        assert!(expected(nine_in_berlin(), "2026-11-24T08:10:00Z").is_due());
    }

    #[test]
    fn nothing_is_expected_without_a_time_that_day() {
        let now = "2026-11-25T00:00:00Z";
        let sundays = json!({"trigger": {"cron": {"expression": "0 9 * * 0"}}});
        let disabled = json!({"enabled": false, "trigger": {"cron": {"expression": "@daily"}}});
        let event = json!({"trigger": {"event": {"eventType": "user.created"}}});
        for spec in [sundays, disabled, event, json!({})] {
            assert_eq!(expected(spec.clone(), now).as_str(), "nothing", "{spec}");
        }
    }
}
