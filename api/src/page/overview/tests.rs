use domain::RunId;
use serde_json::json;
use store::Run;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn date() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 24).unwrap()
}

fn summary(number: u128, name: &str, expression: Option<&str>) -> DefinitionSummary {
    DefinitionSummary {
        activity_id: Uuid::from_u128(number),
        namespace: "activity-core".into(),
        name: name.into(),
        display_name: name.into(),
        enabled: true,
        event_type: None,
        cron: expression
            .map(|expression| json!({"expression": expression, "timezone": "Europe/Berlin"})),
        verification: Some(json!({"graceSeconds": 600})),
        decided_until: at("2026-11-24T10:00:00Z"),
    }
}

fn runs(number: u128, expected: &[(&str, RunOutcome)]) -> DayRuns {
    let expected = expected.iter();
    DayRuns {
        activity: ActivityId::new(Uuid::from_u128(number)),
        from: at("2026-11-23T23:00:00Z"),
        expected: expected
            .map(|(time, outcome)| (at(time), *outcome))
            .collect(),
        made_up: Vec::new(),
        others: 0,
        others_failed: 0,
    }
}

fn judged(summaries: Vec<DefinitionSummary>, runs: &[DayRuns]) -> Vec<Judged> {
    let mut triggers = Triggers::default();
    let subjects = summaries
        .into_iter()
        .map(|summary| Subject::of(summary, date(), &mut triggers));
    judge_all(subjects.collect(), runs, at("2026-11-24T10:05:00Z"))
}

fn names(judged: &[Judged]) -> Vec<&str> {
    let names = judged.iter().map(|one| one.subject.summary.name.as_str());
    names.collect()
}

#[test]
fn problems_come_first_and_a_day_is_that_of_the_definitions_time_zone() {
    let nine = "2026-11-24T08:00:00Z";
    let all = judged(
        vec![
            summary(1, "fine", Some("0 9 * * *")),
            summary(2, "idle", Some("0 9 1 1 *")),
            summary(3, "missing", Some("0 9 * * *")),
            summary(4, "running", Some("0 9 * * *")),
            summary(5, "on-request", None),
        ],
        &[
            runs(1, &[(nine, RunOutcome::Succeeded)]),
            runs(3, &[(nine, RunOutcome::Missed)]),
            runs(4, &[(nine, RunOutcome::Running)]),
        ],
    );
    assert_eq!(
        names(&all),
        ["missing", "running", "fine", "idle", "on-request"]
    );
    let tally = tally(&all);
    assert_eq!(tally.answer(), "No");
    assert_eq!(
        tally.sentence(),
        "1 of 3 expected runs is proven; 1 is missing; 1 is under way."
    );
    assert_eq!(all[0].subject.day.from, at("2026-11-23T23:00:00Z"));
}

#[test]
fn a_missing_run_is_told_with_its_evidence_and_others_are_counted() {
    let times = [
        "2026-11-24T00:00:00Z",
        "2026-11-24T01:00:00Z",
        "2026-11-24T02:00:00Z",
    ];
    let mut rows: Vec<(&str, RunOutcome)> = times
        .iter()
        .map(|time| (*time, RunOutcome::Missed))
        .collect();
    rows.push(("2026-11-24T03:00:00Z", RunOutcome::SkippedOverlap));
    rows.push(("2026-11-24T04:00:00Z", RunOutcome::Succeeded));
    let all = judged(
        vec![summary(1, "hourly", Some("0 * * * *"))],
        &[runs(1, &rows)],
    );
    let problem = Problem {
        run: Run {
            run_id: RunId::new(Uuid::from_u128(9)),
            activity: ActivityId::new(Uuid::from_u128(1)),
            activity_name: "hourly".into(),
            trigger_key: "schedule/2026-11-24T02:00:00Z".into(),
            scheduled_for: Some(at(times[2])),
            fired_at: None,
            completed_at: Some(at("2026-11-24T02:10:00Z")),
            outcome: RunOutcome::Missed,
            error: Some("nothing started it".into()),
            workflow_id: None,
            trace_id: None,
            usage: None,
            sort_time: at(times[2]),
        },
        evidence: vec!["Temporal has no workflow of it".into()],
    };
    let (told, untold) = told(&all[0], &[problem], date());
    // One more was missed, one was skipped, and that of eleven is awaited.
    assert_eq!((told.len(), untold), (3, 2));
    // The newest first; what was skipped on purpose comes last.
    assert_eq!(told[0].reason.as_deref(), Some("nothing started it"));
    assert_eq!(told[0].evidence, ["Temporal has no workflow of it"]);
    assert_eq!(told[0].run, Some(Uuid::from_u128(9)));
    assert!(told.iter().all(|time| time.badge.word == "Missing"));
}

#[test]
fn a_disabled_definition_expects_nothing_and_an_unreadable_one_is_unknown() {
    let mut disabled = summary(1, "disabled", Some("0 9 * * *"));
    disabled.enabled = false;
    let unreadable = summary(2, "unreadable", Some("no cron at all"));
    let all = judged(vec![disabled, unreadable], &[]);
    assert_eq!(names(&all), ["unreadable", "disabled"]);
    assert_eq!(all[1].badge.word, "Disabled");
    assert_eq!(tally(&all).answer(), "Unknown");
    let (told, _) = told(&all[0], &[], date());
    assert!(
        told[0]
            .reason
            .as_deref()
            .unwrap()
            .contains("no cron at all")
    );
}

#[test]
fn the_runs_to_come_are_listed_by_time() {
    let all = judged(
        vec![
            summary(1, "evening", Some("0 20 * * *")),
            summary(2, "noon", Some("0 12 * * *")),
            summary(3, "morning", Some("0 9 * * *")),
        ],
        &[],
    );
    let next = next_runs(&all, date());
    let listed: Vec<&str> = next.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(listed, ["noon", "evening"]);
}

#[test]
fn ten_thousand_definitions_are_judged_in_a_moment() {
    let summaries = (0..10_000).map(|number| {
        let expression = format!("{} {} * * *", number % 60, number % 24);
        summary(number, &format!("definition-{number}"), Some(&expression))
    });
    let begun = std::time::Instant::now();
    let all = judged(summaries.collect(), &[]);
    assert_eq!(all.len(), 10_000);
    // Unoptimized and on a busy machine; optimized it takes some tens of milliseconds.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}
