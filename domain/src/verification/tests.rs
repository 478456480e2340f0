use uuid::Uuid;

use super::*;
use crate::{
    ActivityId, CatchUp, CronExpression, CronSchedule, CronTrigger, ExternalPausePolicy,
    ReportSink, TaskSink, Tier,
};

const DAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 11, 24).unwrap();

fn run_id() -> RunId {
    RunId::new(Uuid::from_u128(7))
}

fn report(name: &str, kind: ReportSinkKind) -> ReportSink {
    ReportSink {
        name: name.to_owned(),
        kind,
        timeout: Duration::from_secs(30),
    }
}

fn daily_triage() -> Definition {
    Definition {
        id: ActivityId::new(Uuid::from_u128(1)),
        name: "daily-triage".to_owned(),
        enabled: true,
        tier: Tier::Critical,
        trigger: Trigger::Cron(CronTrigger {
            schedule: CronSchedule {
                expression: CronExpression::parse("0 7 * * *").unwrap(),
                time_zone: TimeZone::UTC,
                start: None,
                end: None,
            },
            catch_up: CatchUp::Skip,
            overlap: OverlapPolicy::Skip,
            jitter: Duration::ZERO,
        }),
        context: Vec::new(),
        instruction: None,
        reports: vec![
            report(
                "hub",
                ReportSinkKind::StateHub {
                    event_type: "daily_triage".to_owned(),
                },
            ),
            report(
                "memory",
                ReportSinkKind::WorkingMemory {
                    prefix: "daily-triage".to_owned(),
                },
            ),
        ],
        tasks: TaskSink::Null,
        grace: Duration::from_mins(15),
        external_pause: ExternalPausePolicy::Report,
    }
}

fn everything_happened() -> Evidence {
    Evidence {
        schedule: Ok(Some(ScheduleEvidence {
            id: "activity-schedule-1".to_owned(),
            paused: false,
            note: String::new(),
            overlap: OverlapPolicy::Skip,
        })),
        workflow: Ok(Some(WorkflowEvidence {
            id: "activity-run-1".to_owned(),
            started_at: Some(at("07:00:00")),
            status: WorkflowStatus::Completed,
            retrying: None,
        })),
        ledger: Ok(Some(LedgerEvidence {
            run_id: run_id(),
            scheduled_for: None,
            fired_at: None,
            outcome: RunOutcome::Succeeded,
            error: None,
        })),
        absent: Ok(Vec::new()),
        progress: Ok(vec![run_id()]),
        files: Ok(vec![FileEvidence {
            name: "daily-triage-2026-11-24-7.md".to_owned(),
            run_id: Some(run_id()),
        }]),
    }
}

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-11-24T{text}Z").parse().unwrap()
}

fn checks_at(evidence: &Evidence, now: &str) -> Vec<Check> {
    let definition = daily_triage();
    let subject = Subject {
        definition: &definition,
        date: DAY,
        time_limit: Duration::from_mins(15),
        now: at(now),
    };
    verify(&subject, evidence)
}

fn verdict(evidence: &Evidence, condition: Condition) -> Verdict {
    let checks = checks_at(evidence, "12:00:00");
    let check = checks.iter().find(|check| check.condition == condition);
    let verdict = check.unwrap().verdict;
    assert_eq!(
        is_verified(&checks),
        verdict.is_good() && checks.iter().all(|check| check.verdict.is_good())
    );
    verdict
}

#[test]
fn a_run_with_all_its_evidence_is_verified() {
    for condition in Condition::ALL {
        assert_eq!(verdict(&everything_happened(), condition), Verdict::Ok);
    }
}

#[test]
fn each_broken_condition_fails_its_own_check() {
    let other_run = RunId::new(Uuid::from_u128(8));
    let paused = |mut evidence: Evidence| {
        if let Ok(Some(schedule)) = &mut evidence.schedule {
            schedule.paused = true;
        }
        evidence
    };
    let cases = [
        (Condition::Schedule, paused(everything_happened())),
        (
            Condition::Workflow,
            Evidence {
                workflow: Ok(None),
                ..everything_happened()
            },
        ),
        (
            Condition::Ledger,
            Evidence {
                ledger: Ok(None),
                ..everything_happened()
            },
        ),
        (
            Condition::Progress,
            Evidence {
                progress: Ok(vec![other_run]),
                ..everything_happened()
            },
        ),
        (
            Condition::WorkingMemory,
            Evidence {
                files: Ok(vec![FileEvidence {
                    name: "daily-triage-2026-11-24-8.md".to_owned(),
                    run_id: Some(other_run),
                }]),
                ..everything_happened()
            },
        ),
    ];
    for (condition, evidence) in cases {
        assert_eq!(
            verdict(&evidence, condition),
            Verdict::Failed,
            "{condition:?}"
        );
    }
}

#[test]
fn what_could_not_be_looked_at_is_unknown_and_not_verified() {
    let evidence = Evidence {
        progress: Err("connection refused".to_owned()),
        ..everything_happened()
    };
    assert_eq!(verdict(&evidence, Condition::Progress), Verdict::Unknown);
}

#[test]
fn without_the_ledger_nothing_is_known_of_the_reports_either() {
    let evidence = Evidence {
        ledger: Err("connection refused".to_owned()),
        ..everything_happened()
    };
    for condition in [
        Condition::Ledger,
        Condition::Progress,
        Condition::WorkingMemory,
    ] {
        assert_eq!(verdict(&evidence, condition), Verdict::Unknown);
    }
}

#[test]
fn a_workflow_that_retries_visibly_counts_and_one_that_hangs_does_not() {
    let running = |retrying: Option<&str>| Evidence {
        workflow: Ok(Some(WorkflowEvidence {
            id: "activity-run-1".to_owned(),
            started_at: Some(at("11:44:00")),
            status: WorkflowStatus::Running,
            retrying: retrying.map(str::to_owned),
        })),
        ..everything_happened()
    };
    let retrying = running(Some("deliver_report, attempt 3: 503"));
    assert_eq!(verdict(&retrying, Condition::Workflow), Verdict::Ok);
    assert_eq!(
        verdict(&running(None), Condition::Workflow),
        Verdict::Failed
    );
}

/// The verdicts of the workflow, the ledger, the progress entry and the report file.
fn verdicts(evidence: &Evidence, now: &str) -> String {
    let checks = checks_at(evidence, now);
    let verdicts = checks[1..5].iter().map(|check| check.verdict.as_str());
    verdicts.collect::<Vec<_>>().join(" ")
}

fn ledger_words(evidence: &Evidence, now: &str) -> String {
    checks_at(evidence, now)[2].detail.clone()
}

fn nothing_reported(row: Option<LedgerEvidence>) -> Evidence {
    Evidence {
        ledger: Ok(row),
        progress: Ok(Vec::new()),
        files: Ok(Vec::new()),
        ..everything_happened()
    }
}

#[test]
fn a_run_in_progress_is_unknown_within_its_grace_and_failed_after() {
    let row = LedgerEvidence {
        run_id: run_id(),
        scheduled_for: Some(at("07:00:00")),
        fired_at: Some(at("07:00:01")),
        outcome: RunOutcome::Running,
        error: None,
    };
    let evidence = Evidence {
        workflow: Ok(Some(WorkflowEvidence {
            id: "activity-run-1".to_owned(),
            started_at: Some(at("07:00:01")),
            status: WorkflowStatus::Running,
            retrying: None,
        })),
        ..nothing_reported(Some(row))
    };
    assert_eq!(
        verdicts(&evidence, "07:15:00"),
        "unknown unknown unknown unknown"
    );
    assert!(!is_verified(&checks_at(&evidence, "07:15:00")));
    assert_eq!(
        verdicts(&evidence, "07:15:02"),
        "FAILED FAILED FAILED FAILED"
    );
    // What it has reported already is there.
    let reported = Evidence {
        progress: Ok(vec![run_id()]),
        ..evidence
    };
    assert_eq!(
        verdicts(&reported, "07:05:00"),
        "unknown unknown ok unknown"
    );
}

#[test]
fn a_run_that_is_not_due_yet_is_unknown_and_never_ok() {
    let evidence = nothing_reported(None);
    assert_eq!(
        verdicts(&evidence, "07:14:59"),
        "ok unknown unknown unknown"
    );
    assert_eq!(
        ledger_words(&evidence, "06:00:00"),
        "the run of 2026-11-24 is not due yet: expected at 2026-11-24T07:00:00Z, missing from \
         2026-11-24T07:15:00Z on"
    );
    assert_eq!(verdicts(&evidence, "07:15:00"), "ok FAILED FAILED FAILED");
    assert_eq!(
        ledger_words(&evidence, "07:15:00"),
        "activity_runs has no run of 2026-11-24"
    );
}

fn absent(outcome: RunOutcome, words: &str) -> AbsentEvidence {
    AbsentEvidence {
        scheduled_for: at("07:00:00"),
        outcome,
        words: words.to_owned(),
    }
}

#[test]
fn a_planned_skip_says_so_and_is_nothing_to_be_woken_up_for() {
    let words = "left out on purpose: maintenance window upgrade: new disks (approved by Ada)";
    let evidence = Evidence {
        absent: Ok(vec![absent(RunOutcome::SkippedMaintenance, words)]),
        ..nothing_reported(None)
    };
    assert_eq!(verdicts(&evidence, "12:00:00"), "ok n/a n/a n/a");
    assert_eq!(
        ledger_words(&evidence, "12:00:00"),
        format!("no run of 2026-11-24, and none was to be: {words}")
    );
}

#[test]
fn a_missed_run_is_not_hidden_by_another_run_of_the_day() {
    let missed = absent(RunOutcome::Missed, "no run of 07:00: the Schedule is gone");
    let evidence = Evidence {
        absent: Ok(vec![missed]),
        ..everything_happened()
    };
    assert_eq!(verdicts(&evidence, "12:00:00"), "ok FAILED ok ok");
    assert_eq!(
        ledger_words(&evidence, "12:00:00"),
        "no run of 07:00: the Schedule is gone"
    );
    let overlapped = absent(RunOutcome::SkippedOverlap, "the run before was still going");
    let evidence = |row| Evidence {
        absent: Ok(vec![overlapped.clone()]),
        ..row
    };
    let none = evidence(nothing_reported(None));
    assert_eq!(verdicts(&none, "12:00:00"), "ok FAILED FAILED FAILED");
    let another = evidence(everything_happened());
    assert_eq!(verdicts(&another, "12:00:00"), "ok ok ok ok");
    assert!(ledger_words(&another, "12:00:00").contains("the run before was still going"));
}
