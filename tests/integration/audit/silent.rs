//! A Schedule that has stopped firing although everything looks well.

use anyhow::{Context as _, Result};
use contracts::names;
use domain::RunOutcome;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use temporalio_client::NamespacedClient as _;
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::IntoRequest as _;
use temporalio_common::protos::temporal::api::schedule::v1::{Schedule, ScheduleSpec};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeScheduleRequest, UpdateScheduleRequest,
};
use testkit::Program;
use testkit::wait::until;

use super::watched::{Often, each};
use crate::place::PATIENCE;
use crate::verify::command::Actcore;

/// Writes another calendar into the Schedule and leaves everything else as it is, our note with its
/// digest too: no listing shows the difference, and Temporal goes on to name a next run.
async fn move_to_2099(often: &Often) -> Result<()> {
    let mut client = often.place.temporal.client().clone();
    let schedule_id = names::schedule_id(often.activity);
    let described = DescribeScheduleRequest {
        namespace: client.namespace(),
        schedule_id: schedule_id.clone(),
    };
    let described = client.describe_schedule(described.into_request()).await?;
    let schedule = described.into_inner().schedule.context("no Schedule")?;
    let elsewhere = ScheduleSpec {
        cron_string: vec!["0 0 1 1 * 2099".to_owned()],
        ..Default::default()
    };
    let update = UpdateScheduleRequest {
        namespace: client.namespace(),
        schedule_id,
        schedule: Some(Schedule {
            spec: Some(elsewhere),
            ..schedule
        }),
        identity: "somebody".to_owned(),
        request_id: uuid::Uuid::new_v4().to_string(),
        ..Default::default()
    };
    client.update_schedule(update.into_request()).await?;
    Ok(())
}

#[tokio::test]
async fn a_schedule_that_silently_stopped_is_found_reported_and_written_anew() -> Result<()> {
    let often = Box::pin(Often::new("silent", || each(20))).await?;
    let place = &often.place;
    let _worker = place.environment.start(Program::Worker, []).await?;
    let first = often.came_to(RunOutcome::Succeeded, chrono::DateTime::UNIX_EPOCH);
    let first = first.await?;
    assert_eq!(
        often.series("activity_core_run_missing", "").await?,
        Some(0)
    );

    move_to_2099(&often).await?;
    let listed = place.temporal.schedule_seen(often.activity).await?;
    let next = listed.and_then(|schedule| schedule.next);
    assert_eq!(next, Some("2099-01-01T00:00:00Z".parse()?));

    place
        .condition("often", "RunVerified", ("False", "RunMissed"))
        .await?;
    assert_eq!(
        often.series("activity_core_run_missing", "").await?,
        Some(1)
    );
    let missed = often
        .came_to(RunOutcome::Missed, first.scheduled_for)
        .await?;
    let evidence = missed.evidence.join("\n");
    for fact in [
        "the ledger has no run of it",
        "Temporal has no workflow activity-run-",
        "is there and not paused",
        "says that it runs next at 2099-01-01T00:00:00Z",
    ] {
        assert!(evidence.contains(fact), "{fact} is not in\n{evidence}");
    }
    let counted = often
        .series("activity_core_expected_runs_total", "Missed")
        .await?;
    assert!(counted >= Some(1), "{counted:?}");
    let kube = place.environment.kube_client().await?;
    let events: Api<Event> = Api::namespaced(kube, place.environment.namespace());
    until("the Event", PATIENCE, || async {
        let events = events.list(&ListParams::default()).await?;
        let found = events.into_iter().find(|event| {
            event.reason.as_deref() == Some("RunMissed")
                && event.type_.as_deref() == Some("Warning")
        });
        Ok::<_, kube::Error>(found)
    })
    .await?;

    // It fires again by itself, because it was written anew.
    let again = often
        .came_to(RunOutcome::Succeeded, missed.scheduled_for)
        .await?;
    place
        .condition("often", "RunVerified", ("True", "RunSucceeded"))
        .await?;
    often.assert_complete().await?;

    // What is missing is made up for, and stays in the history as what it was.
    let from = missed.scheduled_for.to_rfc3339();
    let to = again.scheduled_for.to_rfc3339();
    let words = ["backfill", "often", "--from", &from, "--to", &to];
    let words = [&words[..], &["--only-missing", "--yes", "--wait"]].concat();
    let done = Actcore::new(place.environment.env()).run(&words).await?;
    assert_eq!(done.code, 0, "{done:?}");
    let rows = often.rows().await?;
    let row = rows.iter().find(|row| row.run_id == missed.run_id);
    let row = row.context("the missed run has gone")?;
    assert_eq!(row.outcome, RunOutcome::Missed);
    let made_up = row.made_up_by.context("nothing made up for it")?;
    assert_eq!(made_up.outcome, RunOutcome::Succeeded);
    until("the status to count no missed run", PATIENCE, || async {
        let status = place.definitions.get("often").await?.status;
        Ok::<_, kube::Error>(status.and_then(|status| status.missed_runs) == Some(0))
    })
    .await?;

    // The series go with the definition.
    place.delete("often").await?;
    until("the series to be gone", PATIENCE, || async {
        let run_missing = often.series("activity_core_run_missing", "").await?;
        let expected = often
            .series("activity_core_expected_runs_total", "")
            .await?;
        anyhow::Ok(run_missing.is_none() && expected.is_none())
    })
    .await?;
    Ok(())
}
