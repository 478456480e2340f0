//! The words beside the checks: what was to be expected of a definition on a day.

use contracts::workflow::format_time;
use domain::verification::Expectation;

/// The word in JSON.
pub(super) const fn word(expectation: &Expectation) -> &'static str {
    match expectation {
        Expectation::Nothing(_) => "nothing",
        Expectation::NotYet { .. } => "notYet",
        Expectation::Due { .. } => "due",
    }
}

/// A line for a person.
pub(super) fn in_words(expectation: &Expectation) -> String {
    match expectation {
        Expectation::Nothing(reason) => format!("no run is expected: {reason}"),
        Expectation::NotYet { first, due } => format!(
            "not due yet: the first run is expected at {}, and counts as missing from {} on",
            format_time(*first),
            format_time(*due)
        ),
        Expectation::Due { times } => match times.as_slice() {
            [only] => format!("a run was expected at {}", format_time(*only)),
            [.., last] => format!(
                "{} runs were expected so far, the last at {}",
                times.len(),
                format_time(*last)
            ),
            [] => "no run was expected so far".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use chrono::NaiveDate;
    use domain::Definition;

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
            assert_eq!(word(&expected(spec.clone(), now)), "nothing", "{spec}");
        }
    }
}
