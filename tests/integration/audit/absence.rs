//! Runs that never were, each for another reason, and what held at their times.

use anyhow::{Context as _, Result};
use chrono::{DateTime, TimeDelta, Utc};
use crds::MaintenanceWindow;
use domain::RunOutcome;
use domain::audit::PeriodState;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use temporalio_client::WorkflowTerminateOptions;
use testkit::wait::until;
use testkit::{Program, Signal};

use super::watched::{FAST, Often, each};
use crate::place::PATIENCE;

#[tokio::test]
async fn what_was_left_out_on_purpose_says_why_and_a_note_says_when_all_is_well() -> Result<()> {
    let often = Box::pin(Often::new("left out", || each(5))).await?;
    let place = &often.place;
    let _worker = place.environment.start(Program::Worker, []).await?;
    let ran = often
        .came_to(RunOutcome::Succeeded, DateTime::UNIX_EPOCH)
        .await?;

    place
        .merge("often", json!({"spec": {"enabled": false}}))
        .await?;
    let disabled = often
        .came_to(RunOutcome::SkippedDisabled, ran.scheduled_for)
        .await?;
    let words = disabled.error.context("no words")?;
    assert!(words.contains("the definition was disabled"), "{words}");
    assert!(words.contains("generation 2"), "{words}");

    place
        .merge("often", json!({"spec": {"enabled": true}}))
        .await?;
    let ran = often
        .came_to(RunOutcome::Succeeded, disabled.scheduled_for)
        .await?;

    let kube = place.environment.kube_client().await?;
    let windows: Api<MaintenanceWindow> = Api::namespaced(kube, place.environment.namespace());
    let window = json!({
        "apiVersion": "activity-core.io/v1alpha1", "kind": "MaintenanceWindow",
        "metadata": {"name": "upgrade"},
        "spec": {"startTime": Utc::now() - TimeDelta::hours(1),
                 "endTime": Utc::now() + TimeDelta::hours(1),
                 "reason": "new disks", "approvedBy": "Ada"},
    });
    let window = serde_json::from_value(window)?;
    windows.create(&PostParams::default(), &window).await?;
    let skipped = often
        .came_to(RunOutcome::SkippedMaintenance, ran.scheduled_for)
        .await?;
    let words = skipped.error.context("no words")?;
    assert!(
        words.contains("maintenance window upgrade: new disks (approved by Ada)"),
        "{words}"
    );
    let active = often.series("activity_core_maintenance_active", "").await?;
    assert_eq!(active, Some(1));
    assert_eq!(
        often.series("activity_core_run_missing", "").await?,
        Some(0)
    );
    let hub = &place.environment.stand_ins().state_hub;
    assert_eq!(hub.entries().len(), 0, "{:#?}", hub.entries());

    windows.delete("upgrade", &DeleteParams::default()).await?;
    often
        .came_to(RunOutcome::Succeeded, skipped.scheduled_for)
        .await?;
    until("the progress note", PATIENCE, || async {
        Ok::<_, anyhow::Error>(!hub.entries().is_empty())
    })
    .await?;
    let noted = &hub.entries()[0];
    assert_eq!(noted.event_type, "planned_skip");
    let summary = noted.summary.clone().unwrap_or_default();
    assert!(summary.contains("all is well again"), "{summary}");
    assert_eq!(noted.detail["activity_id"], often.activity.to_string());

    // Two more runs later it is still one note, and no time is without a row.
    let later = Utc::now();
    let next = often.came_to(RunOutcome::Succeeded, later).await?;
    often
        .came_to(RunOutcome::Succeeded, next.scheduled_for)
        .await?;
    assert_eq!(hub.entries().len(), 1, "{:#?}", hub.entries());
    often.assert_complete().await?;
    Ok(())
}

#[tokio::test]
async fn a_run_that_no_worker_takes_up_is_in_the_way_until_it_is_ended() -> Result<()> {
    let spec = || {
        let mut spec = each(10);
        // Right after the definition comes into force no time is expected, and beside many other
        // tests that takes half a minute.
        spec["trigger"]["cron"]["startTime"] = json!(Utc::now() + TimeDelta::seconds(60));
        spec
    };
    let often = Box::pin(Often::new("no worker", spec)).await?;
    let place = &often.place;
    let running = often
        .came_to(RunOutcome::Running, DateTime::UNIX_EPOCH)
        .await?;
    let evidence = running.evidence.join("\n");
    assert!(
        evidence.contains("no worker has taken it up yet"),
        "{evidence}"
    );
    let left_out = often
        .came_to(RunOutcome::SkippedOverlap, running.scheduled_for)
        .await?;
    let words = left_out.error.context("no words")?;
    assert!(words.contains(&running.run_id.to_string()), "{words}");

    let workflow = contracts::names::workflow_id_at(often.activity, running.scheduled_for);
    let client = place.temporal.client();
    client
        .get_workflow_handle::<temporalio_client::UntypedWorkflow>(workflow)
        .terminate(WorkflowTerminateOptions::default())
        .await?;
    until("the row to be closed", PATIENCE, || async {
        let run = place.store.run(running.run_id).await?;
        Ok::<_, store::Error>(run.is_some_and(|run| {
            run.outcome == RunOutcome::Failed
                && run
                    .error
                    .is_some_and(|error| error.contains("was terminated"))
        }))
    })
    .await?;
    // Its start has nanoseconds. They must not make it come into force again with each reconcile.
    let periods = place.store.periods(often.activity).await?;
    assert_eq!(periods.len(), 1, "{periods:?}");
    often.assert_complete().await?;
    Ok(())
}

#[tokio::test]
async fn what_held_while_no_operator_was_there_decides_and_not_what_holds_after() -> Result<()> {
    let mut spec = each(2);
    spec["enabled"] = json!(false);
    let often = Box::pin(Often::new("no operator", || spec)).await?;
    let place = &often.place;
    let before = often
        .came_to(RunOutcome::SkippedDisabled, DateTime::UNIX_EPOCH)
        .await?;

    often.operator.kill(Signal::KILL)?;
    let killed = Utc::now();
    place
        .merge("often", json!({"spec": {"enabled": true}}))
        .await?;
    let several = killed + TimeDelta::seconds(7);
    until("several times to pass", PATIENCE, || async {
        Ok::<_, anyhow::Error>(Utc::now() > several)
    })
    .await?;
    let _second = place.environment.start(Program::Operator, FAST).await?;
    // The audit decides the times before the definition is taken up as well, so both are waited for.
    let enabled = until(
        "the time without an operator to be decided",
        PATIENCE,
        || async {
            let periods = place.store.periods(often.activity).await?;
            let active = periods
                .iter()
                .find(|period| period.in_force.state == PeriodState::Active);
            let enabled = active.map(|period| period.from);
            let rows = often.rows().await?;
            let is_decided =
                |from: &DateTime<Utc>| rows.iter().any(|row| row.scheduled_for > *from);
            anyhow::Ok(enabled.filter(is_decided))
        },
    )
    .await?;
    assert!(enabled > several);
    let rows = often.rows().await?;
    let between: Vec<_> = rows
        .iter()
        .filter(|row| row.scheduled_for > before.scheduled_for && row.scheduled_for < enabled)
        .collect();
    assert!(between.len() >= 3, "{rows:#?}");
    for row in between {
        assert_eq!(row.outcome, RunOutcome::SkippedDisabled, "{row:#?}");
    }
    often.assert_complete().await?;
    Ok(())
}
