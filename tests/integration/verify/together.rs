//! Many definitions verified together, which must be told what each is told alone.

use std::time::Duration;

use anyhow::Result;
use audit::{Auditor, StateHub, Surveyed, WorkingMemory};
use chrono::Utc;
use domain::verification::{Check, Condition, Verdict};
use domain::{ActivityId, OverlapPolicy, RunOutcome, Trigger, TriggerKey};
use store::{NewRun, RunEnd};
use temporal::{Pause, PauseOwner, RunStart, ScheduleSpec};
use testkit::wait::{self, Seen};
use uuid::Uuid;

use super::proven::Proven;
use crate::place::PATIENCE;

const TIME_LIMIT: Duration = Duration::from_mins(15);

/// More than one query names.
const MANUAL: usize = 120;

/// What is done to the Schedule of one definition.
type Change = fn(&mut ScheduleSpec);

#[tokio::test]
async fn all_together_are_told_what_each_is_told_alone() -> Result<()> {
    let proven = Box::pin(Proven::new("together")).await?;
    let auditor = auditor(&proven)?;
    let mut surveyed = vec![of(&proven, proven.activity)];
    let changes: [(Change, Verdict); 4] = [
        (|_| (), Verdict::Ok),
        (
            |spec| spec.pause = because(PauseOwner::External),
            Verdict::Failed,
        ),
        (
            |spec| spec.pause = because(PauseOwner::Maintenance),
            Verdict::Failed,
        ),
        (
            |spec| spec.trigger.overlap = OverlapPolicy::BufferOne,
            Verdict::Failed,
        ),
    ];
    let mut verdicts = vec![Verdict::Ok];
    for (change, verdict) in changes {
        let one = of(&proven, ActivityId::new(Uuid::new_v4()));
        let mut spec = proven.schedule.clone();
        spec.object_uid = one.object_uid;
        spec.action.activity = one.definition.id;
        change(&mut spec);
        proven.place.temporal.create_schedule(&spec).await?;
        surveyed.push(one);
        verdicts.push(verdict);
    }
    // The first of them has a run that failed, and the next a workflow that nobody works on.
    fail_run(&proven, surveyed[1].definition.id).await?;
    let start = RunStart::by_request(surveyed[2].definition.id, "busy", "nobody-works-on-it");
    proven.place.temporal.start_run(&start).await?;
    // One has no Schedule, and many need none.
    surveyed.push(of(&proven, ActivityId::new(Uuid::new_v4())));
    verdicts.push(Verdict::Failed);
    for _ in 0..MANUAL {
        let mut manual = of(&proven, ActivityId::new(Uuid::new_v4()));
        manual.definition.trigger = Trigger::Manual;
        surveyed.push(manual);
        verdicts.push(Verdict::NotApplicable);
    }

    // A listing follows a change by a moment.
    let together = wait::until("all together to be told the same", PATIENCE, || async {
        let together = auditor.verify_all(&surveyed, TIME_LIMIT).await;
        let mut alone = Vec::new();
        for one in &surveyed {
            let checks = auditor.verify(&one.definition, one.date, TIME_LIMIT).await;
            alone.push(checks);
        }
        let running = workflow(&together[2]);
        let differing = together
            .iter()
            .zip(&alone)
            .find(|(one, other)| one != other);
        anyhow::Ok(match differing {
            None if running.detail.contains("still running") => Seen::Done(together.clone()),
            other => Seen::not_yet(format!("{other:?}, {running:?}")),
        })
    });
    let together = together.await?;
    let schedules = together.iter().map(|checks| schedule(checks).verdict);
    assert_eq!(schedules.collect::<Vec<_>>(), verdicts);
    assert!(
        together[0].iter().all(|check| check.verdict.is_good()),
        "{:?}",
        together[0]
    );
    let failed = together[1]
        .iter()
        .find(|check| check.condition == Condition::Ledger);
    assert!(
        failed.is_some_and(|check| check.detail.contains("no luck")),
        "{failed:?}"
    );
    Ok(())
}

#[tokio::test]
async fn all_together_are_unknown_where_a_system_is_away() -> Result<()> {
    let proven = Box::pin(Proven::new("together, away")).await?;
    let auditor = Auditor {
        temporal: Err("Temporal is away".to_owned()),
        ..auditor(&proven)?
    };
    let surveyed = [of(&proven, proven.activity)];
    let together = auditor.verify_all(&surveyed, TIME_LIMIT).await;
    let unknown = together[0]
        .iter()
        .filter(|check| check.verdict == Verdict::Unknown);
    let unknown: Vec<_> = unknown.map(|check| check.condition).collect();
    assert_eq!(unknown, [Condition::Schedule, Condition::Workflow]);
    Ok(())
}

fn auditor(proven: &Proven) -> Result<Auditor> {
    let environment = &proven.place.environment;
    Ok(Auditor {
        store: proven.place.store.clone(),
        temporal: Ok(proven.place.temporal.clone()),
        state_hub: Ok(StateHub::new(environment.stand_ins().state_hub.url())?),
        working_memory: Ok(WorkingMemory::new(environment.working_memory().to_owned())),
    })
}

/// The proven definition under another id.
fn of(proven: &Proven, activity: ActivityId) -> Surveyed {
    let mut definition = proven.definition.clone();
    definition.id = activity;
    Surveyed {
        definition,
        object_uid: activity.as_uuid(),
        date: proven.date,
    }
}

fn because(owner: PauseOwner) -> Pause {
    Pause::Because {
        owner,
        reason: "for a while".to_owned(),
    }
}

async fn fail_run(proven: &Proven, activity: ActivityId) -> Result<()> {
    let run = NewRun {
        activity,
        trigger: TriggerKey::Manual {
            request_id: "unlucky".to_owned(),
        },
        fired_at: proven.fired_at,
        workflow_id: "unlucky".to_owned(),
        workflow_run_id: Uuid::new_v4().to_string(),
        trace_id: None,
    };
    let end = RunEnd {
        outcome: RunOutcome::Failed,
        error: Some("no luck".to_owned()),
        completed_at: Utc::now(),
    };
    proven.place.store.begin_run(&run).await?;
    proven.place.store.end_run(run.run_id(), &end).await?;
    Ok(())
}

fn schedule(checks: &[Check]) -> &Check {
    &checks[0]
}

fn workflow(checks: &[Check]) -> &Check {
    &checks[1]
}
