//! What was to be expected of a definition on a day, and what the six checks mean beside it. Pure.

use std::fmt;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use contracts::rest::VerificationResult;
use domain::verification::{Check, Condition, Verdict, is_verified, time_zone};
use domain::{Definition, TimeZone, Trigger};

/// What was to be expected on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// No run, for this reason.
    Nothing(String),
    /// The first run of the day, or its grace, is still to come.
    NotYet {
        /// The first expected time of the day.
        first: DateTime<Utc>,
        /// Whose wall clock people read.
        time_zone: TimeZone,
    },
    /// At least one run should be over.
    Due {
        /// How many should be.
        count: usize,
        /// The last expected time of them.
        last: DateTime<Utc>,
        /// Whose wall clock people read.
        time_zone: TimeZone,
    },
}

impl Expectation {
    /// What is to be expected of `definition` on `date`, seen from `now`.
    pub(crate) fn of(definition: &Definition, date: NaiveDate, now: DateTime<Utc>) -> Self {
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
        let time_zone = time_zone(definition);
        let day = time_zone.day(date);
        let times = cron.schedule.occurrences(day.start, day.end);
        let Some(first) = times.first().copied() else {
            let expression = &cron.schedule.expression;
            return Self::Nothing(format!("\"{expression}\" names no time on {date}"));
        };
        let grace = TimeDelta::from_std(definition.grace).unwrap_or(TimeDelta::MAX);
        let is_over =
            |time: &DateTime<Utc>| time.checked_add_signed(grace).is_some_and(|due| due <= now);
        let over: Vec<DateTime<Utc>> = times.into_iter().filter(is_over).collect();
        match over.last().copied() {
            None => Self::NotYet { first, time_zone },
            Some(last) => Self::Due {
                count: over.len(),
                last,
                time_zone,
            },
        }
    }

    /// The checks in one word. While no run is due, the checks that look for one prove nothing.
    pub(crate) fn result(&self, checks: &[Check]) -> VerificationResult {
        if is_verified(checks) {
            return VerificationResult::Verified;
        }
        let is_due = matches!(self, Self::Due { .. });
        let counted = checks
            .iter()
            .filter(|check| is_due || !looks_for_a_run(check.condition));
        let worst = counted.fold(None, |worst, check| match (worst, check.verdict) {
            (_, Verdict::Failed) => Some(VerificationResult::Failed),
            (None, Verdict::Unknown) => Some(VerificationResult::Unknown),
            (worst, _) => worst,
        });
        worst.unwrap_or(VerificationResult::NotDue)
    }
}

const fn looks_for_a_run(condition: Condition) -> bool {
    match condition {
        Condition::Workflow
        | Condition::Ledger
        | Condition::Progress
        | Condition::WorkingMemory => true,
        Condition::Schedule | Condition::TimeBudget => false,
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(reason) => write!(formatter, "no run was expected: {reason}"),
            Self::NotYet { first, time_zone } => write!(
                formatter,
                "no run is due yet: the first is expected at {}",
                time_zone.shown(*first)
            ),
            Self::Due {
                count: 1,
                last,
                time_zone,
            } => write!(
                formatter,
                "1 run was expected, at {}",
                time_zone.shown(*last)
            ),
            Self::Due {
                count,
                last,
                time_zone,
            } => write!(
                formatter,
                "{count} runs were expected so far, the last at {}",
                time_zone.shown(*last)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn expected(spec: Value, now: &str) -> Expectation {
        let spec: crds::ActivityDefinitionSpec = serde_json::from_value(spec).unwrap();
        let id = domain::ActivityId::new(uuid::Uuid::from_u128(1));
        let definition = spec.validate(id, "daily").unwrap();
        let date = NaiveDate::from_ymd_opt(2026, 11, 24).unwrap();
        Expectation::of(&definition, date, now.parse().unwrap())
    }

    fn nine_in_berlin() -> Value {
        json!({"trigger": {"cron": {"expression": "0 9 * * 1-5", "timezone": "Europe/Berlin"}},
               "verification": {"graceSeconds": 600}})
    }

    fn checks(verdicts: [Verdict; 6]) -> Vec<Check> {
        let of = |(condition, verdict)| Check {
            condition,
            verdict,
            detail: String::new(),
        };
        Condition::ALL.into_iter().zip(verdicts).map(of).collect()
    }

    #[test]
    fn a_run_is_due_when_its_grace_is_over_and_not_before() {
        let early = expected(nine_in_berlin(), "2026-11-24T08:09:59Z").to_string();
        assert_eq!(
            early,
            "no run is due yet: the first is expected at 2026-11-24 09:00:00 CET"
        );
        let due = expected(nine_in_berlin(), "2026-11-24T08:10:00Z").to_string();
        assert_eq!(due, "1 run was expected, at 2026-11-24 09:00:00 CET");
    }

    #[test]
    fn nothing_is_expected_without_a_time_that_day() {
        for (spec, reason) in [
            (
                json!({"trigger": {"cron": {"expression": "0 9 * * 0"}}}),
                "names no time",
            ),
            (
                json!({"enabled": false, "trigger": {"cron": {"expression": "@daily"}}}),
                "disabled",
            ),
            (
                json!({"trigger": {"event": {"eventType": "user.created"}}}),
                "user.created",
            ),
            (json!({}), "on request"),
        ] {
            let text = expected(spec, "2026-11-25T00:00:00Z").to_string();
            assert!(text.contains(reason), "{text}");
        }
    }

    #[test]
    fn the_checks_come_to_one_word_and_unknown_is_never_ok() {
        use Verdict::{Failed, NotApplicable, Ok, Unknown};
        let not_due = expected(json!({}), "2026-11-25T00:00:00Z");
        let due = expected(nine_in_berlin(), "2026-11-25T00:00:00Z");
        for (verdicts, when_due, otherwise) in [
            (
                [Ok, Ok, Ok, NotApplicable, Ok, Ok],
                VerificationResult::Verified,
                VerificationResult::Verified,
            ),
            (
                [Ok, Ok, Failed, Unknown, Ok, Ok],
                VerificationResult::Failed,
                VerificationResult::NotDue,
            ),
            (
                [Ok, Ok, Ok, Unknown, Ok, Ok],
                VerificationResult::Unknown,
                VerificationResult::NotDue,
            ),
            (
                [Failed, Ok, Failed, Ok, Ok, Ok],
                VerificationResult::Failed,
                VerificationResult::Failed,
            ),
            (
                [Unknown, Ok, Ok, Ok, Ok, Ok],
                VerificationResult::Unknown,
                VerificationResult::Unknown,
            ),
        ] {
            assert_eq!(due.result(&checks(verdicts)), when_due, "{verdicts:?}");
            assert_eq!(not_due.result(&checks(verdicts)), otherwise, "{verdicts:?}");
        }
    }
}
