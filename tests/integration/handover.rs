//! One operator writes at a time, whatever is done to it, and none hangs on what is gone for good.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::{Value, json};
use testkit::servers::TemporalOptions;
use testkit::{Program, Signal};

use crate::place::{PATIENCE, Place};

const FAST: [(&str, &str); 2] = [("RESYNC_SECONDS", "1"), ("LEASE_DURATION_SECONDS", "3")];

fn daily() -> Value {
    json!({"trigger": {"cron": {"expression": "0 9 * * *"}}})
}

#[tokio::test]
async fn a_leader_that_was_frozen_past_its_lease_writes_nothing_more() -> Result<()> {
    let place = Place::new("frozen").await?;
    let frozen = place.environment.start(Program::Operator, FAST).await?;
    place.create("before", daily()).await?;
    place
        .condition("before", "Ready", ("True", "Synced"))
        .await?;

    frozen.kill(Signal::STOP)?;
    let _second = place.environment.start(Program::Operator, FAST).await?;
    place.create("during", daily()).await?;
    place
        .condition("during", "Ready", ("True", "Synced"))
        .await?;
    // It wakes up in the belief that it leads, and must end instead of writing.
    frozen.kill(Signal::CONT)?;
    let status = frozen.wait(Duration::from_secs(30)).await?;
    assert!(!status.success(), "it ended as if nothing had happened");
    place.create("after", daily()).await?;
    place
        .condition("after", "Ready", ("True", "Synced"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_leader_that_is_told_to_stop_hands_over_before_its_lease_ends() -> Result<()> {
    let place = Place::new("polite").await?;
    let slow = [("LEASE_DURATION_SECONDS", "600")];
    let first = place.environment.start(Program::Operator, slow).await?;
    place.create("before", daily()).await?;
    place
        .condition("before", "Ready", ("True", "Synced"))
        .await?;
    first.stop().await?;
    // With a lease of ten minutes, only a lease that was handed over is free now.
    let _second = place.environment.start(Program::Operator, slow).await?;
    place.create("after", daily()).await?;
    place
        .condition("after", "Ready", ("True", "Synced"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_replica_that_waits_for_a_long_lease_takes_over_as_soon_as_it_is_handed_over()
-> Result<()> {
    let place = Place::new("stand-by").await?;
    let slow = [("LEASE_DURATION_SECONDS", "3600")];
    let first = place.environment.start(Program::Operator, slow).await?;
    place.create("before", daily()).await?;
    place
        .condition("before", "Ready", ("True", "Synced"))
        .await?;
    let _second = place.environment.start(Program::Operator, slow).await?;
    first.stop().await?;
    place.create("after", daily()).await?;
    place
        .condition("after", "Ready", ("True", "Synced"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_leader_that_is_told_to_stop_while_temporal_hangs_still_hands_over() -> Result<()> {
    let place = Place::new("hanging").await?;
    let options = TemporalOptions {
        namespaces: vec!["own".to_owned()],
        ..TemporalOptions::default()
    };
    let temporal = place.environment.start_temporal(options).await?;
    let host = temporal.host().to_owned();
    let settings = [
        ("TEMPORAL_HOST", host.as_str()),
        ("TEMPORAL_NAMESPACE", "own"),
        ("RESYNC_SECONDS", "1"),
        ("LEASE_DURATION_SECONDS", "3600"),
    ];
    let operator = place.environment.start(Program::Operator, settings).await?;
    place.create("before", daily()).await?;
    place
        .condition("before", "Ready", ("True", "Synced"))
        .await?;
    temporal.process().signal(Signal::STOP)?;
    place.create("during", daily()).await?;
    // The finalizer comes first, so from here on the operator waits for Temporal.
    testkit::wait::until("the operator to be at work", PATIENCE, || async {
        let during = place.definitions.get("during").await?;
        Ok::<_, kube::Error>(during.metadata.finalizers.is_some())
    })
    .await?;
    operator.kill(Signal::TERM)?;
    let status = operator.wait(Duration::from_secs(20)).await?;
    temporal.process().signal(Signal::CONT)?;
    assert!(status.success(), "it did not end by itself: {status}");
    let leases: kube::Api<Lease> = kube::Api::namespaced(
        place.environment.kube_client().await?,
        place.environment.namespace(),
    );
    let lease = leases.get("actcore-operator").await?;
    assert_eq!(lease.spec.and_then(|spec| spec.holder_identity), None);
    Ok(())
}

#[tokio::test]
async fn operators_that_wait_for_postgres_longer_than_a_lease_lasts_all_stay() -> Result<()> {
    // Far longer than the Lease of FAST.
    const OUTAGE: Duration = Duration::from_secs(8);
    let place = Place::new("patient").await?;
    let administrator = place.administrator().await?;
    let database = place.database_name();
    administrator.lock_out(&database).await?;
    let let_in = async {
        tokio::time::sleep(OUTAGE).await;
        administrator.let_in(&database).await
    };
    let start = || place.environment.start(Program::Operator, FAST);
    let (first, second, let_in) = tokio::join!(start(), start(), let_in);
    let_in?;
    let (first, second) = (first?, second?);
    place.create("after", daily()).await?;
    place
        .condition("after", "Ready", ("True", "Synced"))
        .await?;
    for operator in [first, second] {
        assert_eq!(operator.exit_status(), None, "it did not stay");
    }
    Ok(())
}

#[tokio::test]
async fn a_deletion_waits_for_temporal_and_ends_without_it_when_told_to() -> Result<()> {
    let place = Place::new("gone for good").await?;
    let options = TemporalOptions {
        namespaces: vec!["own".to_owned()],
        ..TemporalOptions::default()
    };
    let temporal = place.environment.start_temporal(options).await?;
    let host = temporal.host().to_owned();
    let settings = [
        ("TEMPORAL_HOST", host.as_str()),
        ("TEMPORAL_NAMESPACE", "own"),
    ];
    let _operator = place.environment.start(Program::Operator, settings).await?;
    place.create("daily", daily()).await?;
    let object = place
        .condition("daily", "Ready", ("True", "Synced"))
        .await?;
    let activity = object.activity_id().context("no id")?;
    temporal.process().signal(Signal::KILL)?;
    temporal.process().wait(Duration::from_secs(10)).await?;

    place.delete("daily").await?;
    let deleting = place.definitions.get("daily").await?;
    assert!(deleting.metadata.deletion_timestamp.is_some());
    assert!(place.store.definition(activity).await?.is_some());

    let abandon = json!({"metadata": {"annotations": {
        "activity-core.io/abandon-schedule": "true"}}});
    place.merge("daily", abandon).await?;
    testkit::wait::until("the definition to be let go", PATIENCE, || async {
        Ok::<_, kube::Error>(place.definitions.get_opt("daily").await?.is_none())
    })
    .await?;
    assert!(place.store.definition(activity).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_definition_waits_for_postgres_and_needs_no_restart() -> Result<()> {
    let place = Place::new("postgres away").await?;
    let _operator = place.environment.start(Program::Operator, FAST).await?;
    place.create("before", daily()).await?;
    place
        .condition("before", "Ready", ("True", "Synced"))
        .await?;

    // Nobody may connect, and nobody is connected any more: as good as gone.
    let name = place.database_name();
    let admin = place.administrator().await?;
    admin.lock_out(&name).await?;
    place.create("during", daily()).await?;
    place
        .condition("during", "Ready", ("False", "PostgresUnavailable"))
        .await?;
    admin.let_in(&name).await?;
    place
        .condition("during", "Ready", ("True", "Synced"))
        .await?;
    Ok(())
}
