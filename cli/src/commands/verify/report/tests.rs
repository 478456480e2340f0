use uuid::Uuid;

use super::*;

fn row() -> MirrorRow {
    MirrorRow {
        activity_id: Uuid::from_u128(1),
        namespace: "activity-core".to_owned(),
        name: "daily-triage".to_owned(),
        uid: Uuid::from_u128(2),
        generation: 1,
        display_name: "daily-triage".to_owned(),
        enabled: true,
        event_type: None,
        spec: json!({}),
    }
}

fn answer(verdicts: [Verdict; 6]) -> Answer {
    let checks = Condition::ALL
        .into_iter()
        .zip(verdicts)
        .map(|(condition, verdict)| Check {
            condition,
            verdict,
            detail: "as seen".to_owned(),
        });
    Answer::verified(
        row(),
        Verified {
            time_zone: "UTC",
            date: NaiveDate::from_ymd_opt(2026, 11, 24).unwrap(),
            expectation: Expectation::Nothing("a test".to_owned()),
            checks: checks.collect(),
        },
    )
}

fn report(verdicts: [Verdict; 6]) -> Report {
    Report {
        answers: vec![answer(verdicts)],
    }
}

#[test]
fn unknown_is_never_ok_and_failed_outweighs_it() {
    use Verdict::{Failed, NotApplicable, Ok, Unknown};
    let cases = [
        ([Ok; 6], Exit::Done),
        ([Ok, Ok, Ok, NotApplicable, NotApplicable, Ok], Exit::Done),
        ([Ok, Ok, Ok, Unknown, Ok, Ok], Exit::Unknown),
        ([Ok, Failed, Ok, Unknown, Ok, Ok], Exit::Failed),
    ];
    for (verdicts, exit) in cases {
        assert_eq!(report(verdicts).exit(), exit, "{verdicts:?}");
    }
}

#[test]
fn the_last_line_is_the_result_and_a_failed_check_says_what_to_do() {
    use Verdict::{Failed, Ok, Unknown};
    let text = report([Ok, Ok, Failed, Unknown, Ok, Ok]).to_text(false);
    assert_eq!(
        text.lines().last().unwrap(),
        "NOT VERIFIED: 1 of 6 checks FAILED, 1 unknown about activity-core/daily-triage on \
         2026-11-24."
    );
    assert!(
        text.contains("\nFAILED  ledger row           as seen\n"),
        "{text}"
    );
    assert!(
        text.contains("-> actcore runs daily-triage -n activity-core"),
        "{text}"
    );
}

#[test]
fn every_answer_has_the_documented_shape() {
    let schema = include_str!("../../../../../docs/verify.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let date = NaiveDate::from_ymd_opt(2026, 11, 24).unwrap();
    let nothing = Expectation::Nothing("a test".to_owned());
    let verdicts = [
        Verdict::Ok,
        Verdict::NotApplicable,
        Verdict::Failed,
        Verdict::Unknown,
    ];
    let checked = verdicts.map(|verdict| answer([verdict; 6]));
    let mut answers = Vec::from(checked);
    answers.push(Answer::not_due(row(), date, &nothing));
    answers.push(Answer::unreadable(row(), "no JSON".to_owned()));
    let json = Report { answers }.to_json();
    let wrong: Vec<String> = validator
        .iter_errors(&json)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_json_shape_is_stable() {
    let json = report([Verdict::Ok; 6]).to_json();
    assert_eq!(json["verified"], true);
    assert_eq!(json["definitions"][0]["result"], "Verified");
    assert_eq!(
        json["definitions"][0]["checks"][0],
        json!({"condition": "schedule", "verdict": "ok", "detail": "as seen"})
    );
}
