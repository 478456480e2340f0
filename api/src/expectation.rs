//! The words for what was to be expected of a definition on a day, and what the six checks mean
//! beside it. Pure.

use contracts::rest::VerificationResult;
use domain::TimeZone;
use domain::verification::{Check, Condition, Expectation, Verdict, is_verified};

/// The checks in one word. While no run is due, the checks that look for one prove nothing.
pub(crate) fn result(expectation: &Expectation, checks: &[Check]) -> VerificationResult {
    if is_verified(checks) {
        return VerificationResult::Verified;
    }
    let counted = checks
        .iter()
        .filter(|check| expectation.is_due() || !looks_for_a_run(check.condition));
    let worst = counted.fold(None, |worst, check| match (worst, check.verdict) {
        (_, Verdict::Failed) => Some(VerificationResult::Failed),
        (None, Verdict::Unknown) => Some(VerificationResult::Unknown),
        (worst, _) => worst,
    });
    worst.unwrap_or(VerificationResult::NotDue)
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

/// A line for a person who reads the wall clock of `time_zone`.
pub(crate) fn in_words(expectation: &Expectation, time_zone: TimeZone) -> String {
    match expectation {
        Expectation::Nothing(reason) => format!("no run was expected: {reason}"),
        Expectation::NotYet { first, .. } => format!(
            "no run is due yet: the first is expected at {}",
            time_zone.shown(*first)
        ),
        Expectation::Due { times } => match times.as_slice() {
            [only] => format!("1 run was expected, at {}", time_zone.shown(*only)),
            [.., last] => format!(
                "{} runs were expected so far, the last at {}",
                times.len(),
                time_zone.shown(*last)
            ),
            [] => "no run was expected so far".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use serde_json::{Value, json};

    use super::*;

    fn expected(spec: Value, now: &str) -> Expectation {
        let spec: crds::ActivityDefinitionSpec = serde_json::from_value(spec).unwrap();
        let id = domain::ActivityId::new(uuid::Uuid::from_u128(1));
        let definition = spec.validate(id, "daily").unwrap();
        let date = NaiveDate::from_ymd_opt(2026, 11, 24).unwrap();
        Expectation::of(&definition, date, now.parse().unwrap())
    }

    fn words(spec: Value, now: &str) -> String {
        let zone = TimeZone::parse("Europe/Berlin").unwrap();
        in_words(&expected(spec, now), zone)
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
        let early = words(nine_in_berlin(), "2026-11-24T08:09:59Z");
        assert_eq!(
            early,
            "no run is due yet: the first is expected at 2026-11-24 09:00:00 CET"
        );
        let due = words(nine_in_berlin(), "2026-11-24T08:10:00Z");
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
            let text = words(spec, "2026-11-25T00:00:00Z");
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
            assert_eq!(result(&due, &checks(verdicts)), when_due, "{verdicts:?}");
            assert_eq!(
                result(&not_due, &checks(verdicts)),
                otherwise,
                "{verdicts:?}"
            );
        }
    }
}
