//! Temporal goes, comes back, and comes back empty: the operator waits, says so, and puts
//! everything right again without a restart.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{TimeDelta, Utc};
use crds::ActivityDefinition;
use domain::{ActivityId, RunOutcome, Trigger, TriggerKey};
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use serde_json::{Value, json};
use store::{NewRun, RunEnd};
use temporal::{Pause, ScheduleAction, ScheduleSpec};
use testkit::ports::PortChoice;
use testkit::servers::TemporalOptions;
use testkit::wait::Seen;
use testkit::{Program, Signal, Stack, StackOptions};
use uuid::Uuid;

use crate::place::{PATIENCE, Place};
use crate::verify::command::Actcore;

fn daily() -> Value {
    json!({"trigger": {"cron": {"expression": "0 9 * * *"}}})
}

/// The connection is gone just before the run ends: its end is announced to nobody.
#[tokio::test]
async fn a_run_that_ends_while_nobody_listens_is_told_of_all_the_same() -> Result<()> {
    let place = Place::new("listener lost").await?;
    let _operator = place.environment.start(Program::Operator, []).await?;
    place.create("daily", daily()).await?;
    let object = place
        .condition("daily", "Ready", ("True", "Synced"))
        .await?;
    let run = NewRun {
        activity: object.activity_id().context("no id")?,
        trigger: TriggerKey::Schedule(Utc::now()),
        fired_at: Utc::now(),
        workflow_id: "activity-run".to_owned(),
        workflow_run_id: "1".to_owned(),
        trace_id: None,
    };
    place.store.begin_run(&run).await?;
    place
        .condition("daily", "RunVerified", ("Unknown", "RunInProgress"))
        .await?;

    let cut = sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and query ilike 'listen%'",
    );
    let cut = cut.execute(place.store.pool()).await?;
    assert_eq!(cut.rows_affected(), 1, "nobody listened");
    let end = RunEnd {
        outcome: RunOutcome::Succeeded,
        error: None,
        completed_at: Utc::now(),
    };
    place.store.end_run(run.run_id(), &end).await?;
    place
        .condition("daily", "RunVerified", ("True", "RunSucceeded"))
        .await?;
    Ok(())
}

/// A wrong or lost Temporal namespace must not look like one without Schedules: what is deleted then
/// would leave its Schedule behind.
#[tokio::test]
async fn a_missing_temporal_namespace_says_nothing_about_what_is_in_it() -> Result<()> {
    let mut place = Place::new("no namespace").await?;
    let host = place.environment.temporal_host().to_owned();
    place.use_temporal(&host, "no-such").await?;
    let activity = ActivityId::new(Uuid::new_v4());
    let errors = [
        place.temporal.schedule(activity).await.map(drop),
        place.temporal.schedule_seen(activity).await.map(drop),
        place.temporal.delete_schedule(activity).await.map(drop),
        place
            .temporal
            .knows_workflow("activity-run")
            .await
            .map(drop),
    ]
    .map(|answer| answer.map_err(|error| error.to_string()));
    for error in errors {
        let error = error.expect_err("an answer from a namespace that is not there");
        assert!(error.contains("no-such"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn losing_temporals_database_rebuilds_every_schedule_without_a_restart() -> Result<()> {
    let mut place = Place::new("temporal lost").await?;
    let options = TemporalOptions {
        namespaces: vec!["own".to_owned()],
        ..TemporalOptions::default()
    };
    let temporal = place.environment.start_temporal(options.clone()).await?;
    let host = temporal.host().to_owned();
    place.use_temporal(&host, "own").await?;
    let settings = [
        ("TEMPORAL_HOST", host.as_str()),
        ("TEMPORAL_NAMESPACE", "own"),
        ("RESYNC_SECONDS", "2"),
    ];
    let _operator = place.environment.start(Program::Operator, settings).await?;
    place.create("before", daily()).await?;
    let object = place
        .condition("before", "Ready", ("True", "Synced"))
        .await?;
    let before = object.activity_id().context("no id")?;
    // Its time came two minutes ago, and must not come again with the new Schedule.
    let due = (Utc::now() - TimeDelta::minutes(2)).format("%M %H * * *");
    let due = json!({"trigger": {"cron": {"expression": due.to_string()}}});
    place.create("was-due", due).await?;
    let object = place
        .condition("was-due", "Ready", ("True", "Synced"))
        .await?;
    let was_due = object.activity_id().context("no id")?;

    temporal.process().signal(Signal::KILL)?;
    temporal.process().wait(Duration::from_secs(10)).await?;
    place.create("during", daily()).await?;
    place
        .condition("during", "Ready", ("False", "TemporalUnavailable"))
        .await?;
    place
        .condition("during", "Reconciling", ("True", "Progressing"))
        .await?;

    let port = host.rsplit(':').next().and_then(|port| port.parse().ok());
    let options = TemporalOptions {
        port: PortChoice::Preferred(port.context("no port")?),
        ..options
    };
    let _temporal = place.environment.start_temporal(options).await?;
    let object = place
        .condition("during", "Ready", ("True", "Synced"))
        .await?;
    let during = object.activity_id().context("no id")?;
    testkit::wait::until("all Schedules in the empty Temporal", PATIENCE, || async {
        let listed = place.temporal.list_schedules().await?;
        let present = listed.iter().map(|schedule| schedule.activity);
        let present: BTreeSet<_> = present.collect();
        Ok::<_, temporal::Error>(present == BTreeSet::from([before, during, was_due]))
    })
    .await?;
    let workflows = place.temporal.latest_workflows(&[was_due]).await?;
    assert!(workflows.is_empty(), "{workflows:?}");
    Ok(())
}

#[tokio::test]
async fn an_orphan_is_swept_and_a_terminating_namespace_is_let_go() -> Result<()> {
    // An operator that watches every namespace needs a cluster of its own.
    let stack = Stack::start(StackOptions {
        temporal_namespaces: 1,
        ..StackOptions::default()
    })
    .await?;
    let place = Place::on(&stack, "sweep").await?;
    let everywhere = [("WATCH_NAMESPACE", ""), ("RESYNC_SECONDS", "1")];
    let operator = place
        .environment
        .start(Program::Operator, everywhere)
        .await?;

    // What an operator leaves behind whose object vanished without its finalizer.
    place.create("vanishing", daily()).await?;
    let object = place
        .condition("vanishing", "Ready", ("True", "Synced"))
        .await?;
    let orphan = object.activity_id().context("no id")?;
    operator.kill(Signal::KILL)?;
    operator.wait(Duration::from_secs(10)).await?;
    let no_finalizer = json!({"metadata": {"finalizers": null}});
    place.merge("vanishing", no_finalizer).await?;
    place.delete("vanishing").await?;
    place.create("staying", daily()).await?;
    // What the operator of another cluster made, which shares the Temporal namespace.
    let foreign = foreign_schedule()?;
    place.temporal.create_schedule(&foreign).await?;

    // It compares by itself only after an hour; a person does not wait for that.
    let slow = [("WATCH_NAMESPACE", ""), ("RESYNC_SECONDS", "3600")];
    let _operator = place.environment.start(Program::Operator, slow).await?;
    let object = place
        .condition("staying", "Ready", ("True", "Synced"))
        .await?;
    let staying = object.activity_id().context("no id")?;
    let actcore = Actcore::new(place.environment.env());
    let synced = actcore.run(&["sync", "-o", "json"]).await?;
    assert_eq!(synced.code, 0, "{synced:?}");
    let named = format!("{}/vanishing", place.environment.namespace());
    let deleted = synced.json()["orphans"][&named].clone();
    let deleted = deleted
        .as_str()
        .context("the orphan is not told")?
        .to_owned();
    assert!(deleted.contains(&orphan.to_string()), "{deleted}");
    assert_eq!(place.temporal.schedule(orphan).await?, None);
    assert_eq!(place.store.definition(orphan).await?, None);
    assert!(place.temporal.schedule(staying).await?.is_some());
    let foreign = place.temporal.schedule(foreign.action.activity).await?;
    assert!(foreign.is_some(), "another cluster's Schedule was swept");

    let client = place.environment.kube_client().await?;
    let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(client.clone());
    let metadata = ObjectMeta {
        name: Some("short-lived".to_owned()),
        ..ObjectMeta::default()
    };
    let namespace = k8s_openapi::api::core::v1::Namespace {
        metadata,
        ..k8s_openapi::api::core::v1::Namespace::default()
    };
    namespaces
        .create(&PostParams::default(), &namespace)
        .await?;
    let definitions: Api<ActivityDefinition> = Api::namespaced(client, "short-lived");
    let object = json!({
        "apiVersion": "activity-core.io/v1alpha1", "kind": "ActivityDefinition",
        "metadata": {"name": "daily"}, "spec": daily(),
    });
    let object = definitions
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?;
    let activity = object.activity_id().context("no id")?;
    testkit::wait::until("its Schedule", PATIENCE, || async {
        let schedule = place.temporal.schedule(activity).await?;
        Ok::<_, temporal::Error>(schedule.is_some())
    })
    .await?;
    namespaces
        .delete("short-lived", &DeleteParams::default())
        .await?;
    testkit::wait::until("the namespace to be gone", PATIENCE, || async {
        let namespace = namespaces.get_opt("short-lived").await?;
        Ok::<_, kube::Error>(match namespace {
            None => Seen::Done(()),
            Some(namespace) => Seen::not_yet(format!("{:?}", namespace.status)),
        })
    })
    .await?;
    assert!(place.temporal.schedule(activity).await?.is_none());
    Ok(())
}

fn foreign_schedule() -> Result<ScheduleSpec> {
    let activity = ActivityId::new(Uuid::new_v4());
    let spec: crds::ActivityDefinitionSpec = serde_json::from_value(daily())?;
    let Trigger::Cron(trigger) = spec.validate(activity, "elsewhere")?.trigger else {
        anyhow::bail!("no cron trigger");
    };
    Ok(ScheduleSpec {
        object_uid: Uuid::new_v4(),
        action: ScheduleAction {
            activity,
            activity_name: "elsewhere".to_owned(),
        },
        trigger,
        pause: Pause::No,
    })
}
