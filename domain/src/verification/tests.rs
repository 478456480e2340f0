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
        progress: Ok(vec![run_id()]),
        files: Ok(vec![FileEvidence {
            name: "daily-triage-2026-11-24-7.md".to_owned(),
            run_id: Some(run_id()),
        }]),
    }
}

fn verdict(evidence: &Evidence, condition: Condition) -> Verdict {
    let definition = daily_triage();
    let subject = Subject {
        definition: &definition,
        date: DAY,
        time_limit: Duration::from_mins(15),
    };
    let checks = verify(&subject, evidence);
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
