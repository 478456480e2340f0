//! Declared is what is: the operator's claims, on a real API server, Temporal and Postgres.

use anyhow::Result;
use chrono::Utc;
use contracts::names;
use domain::{OverlapPolicy, RunOutcome, TriggerKey};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use store::{NewRun, RunEnd};
use temporal::{Pause, PauseOwner};
use testkit::wait::Seen;
use testkit::{Program, RunningProgram, Signal};

use crate::place::{PATIENCE, Place};

/// A comparison with Temporal every second, so that drift is found while a test waits.
const FAST: [(&str, &str); 2] = [("RESYNC_SECONDS", "1"), ("LEASE_DURATION_SECONDS", "3")];

async fn place(name: &str) -> Result<(Place, RunningProgram)> {
    let place = Place::new(name).await?;
    let operator = place.environment.start(Program::Operator, FAST).await?;
    Ok((place, operator))
}

fn daily() -> Value {
    json!({"trigger": {"cron": {"expression": "0 9 * * 1-5", "timezone": "Europe/Berlin"}}})
}

#[tokio::test]
async fn a_cron_definition_becomes_a_schedule_and_a_mirror_row() -> Result<()> {
    let (place, _operator) = place("cron").await?;
    place.create("daily", daily()).await?;
    let object = place
        .condition("daily", "Ready", ("True", "Synced"))
        .await?;

    let activity = object.activity_id().unwrap();
    let schedule = place.temporal.schedule(activity).await?.unwrap();
    assert_eq!(schedule.pause, Pause::No);
    assert_eq!(schedule.overlap, OverlapPolicy::Skip);
    let uid = object.metadata.uid.clone().unwrap().parse().ok();
    assert_eq!(schedule.object_uid, uid);

    let row = place.store.definition(activity).await?.unwrap();
    assert_eq!(row.name, "daily");
    assert!(row.enabled);

    let status = object.status.unwrap();
    assert_eq!(status.schedule_id, Some(names::schedule_id(activity)));
    assert!(status.next_run_time.unwrap() > Utc::now());
    Ok(())
}

#[tokio::test]
async fn an_event_definition_has_a_mirror_row_and_no_schedule() -> Result<()> {
    let (place, _operator) = place("event").await?;
    let spec = json!({"trigger": {"event": {"eventType": "user.created"}}});
    place.create("onboarding", spec).await?;
    let object = place
        .condition("onboarding", "ScheduleSynced", ("True", "NoSchedule"))
        .await?;
    let activity = object.activity_id().unwrap();
    assert_eq!(place.temporal.schedule(activity).await?, None);
    let row = place.store.definition(activity).await?.unwrap();
    assert_eq!(row.event_type.as_deref(), Some("user.created"));
    Ok(())
}

#[tokio::test]
async fn a_bad_spec_is_stalled_with_its_field_and_the_next_good_one_recovers() -> Result<()> {
    // Without a webhook, as when the operator was down: the CRD's schema alone can't see that
    // there is no 61st minute.
    let place = Place::new("bad spec").await?;
    let elsewhere = [("WEBHOOK_URL", "https://127.0.0.1:1")];
    let _operator = place
        .environment
        .start(Program::Operator, elsewhere)
        .await?;
    let bad = json!({"trigger": {"cron": {"expression": "61 9 * * *"}}});
    place.create("daily", bad).await?;
    let stalled = place
        .condition("daily", "Stalled", ("True", "InvalidSpec"))
        .await?;
    let conditions = stalled.status.unwrap().conditions;
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    assert!(ready.unwrap().message.contains("trigger.cron.expression"));

    place.merge("daily", json!({"spec": daily()})).await?;
    place
        .condition("daily", "Ready", ("True", "Synced"))
        .await?;
    place
        .condition("daily", "Stalled", ("False", "Synced"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn disabling_pauses_and_enabling_resumes() -> Result<()> {
    let (place, _operator) = place("disable").await?;
    place.create("daily", daily()).await?;
    let object = place
        .condition("daily", "Ready", ("True", "Synced"))
        .await?;
    let activity = object.activity_id().unwrap();

    place
        .merge("daily", json!({"spec": {"enabled": false}}))
        .await?;
    place
        .condition("daily", "Ready", ("True", "Suspended"))
        .await?;
    let paused = place.temporal.schedule(activity).await?.unwrap().pause;
    let owner = PauseOwner::Disabled;
    assert!(matches!(paused, Pause::Because { owner: by, .. } if by == owner));
    assert!(!place.store.definition(activity).await?.unwrap().enabled);

    place
        .merge("daily", json!({"spec": {"enabled": true}}))
        .await?;
    place
        .condition("daily", "Ready", ("True", "Synced"))
        .await?;
    let resumed = place.temporal.schedule(activity).await?.unwrap().pause;
    assert_eq!(resumed, Pause::No);
    Ok(())
}

#[tokio::test]
async fn a_deleted_definition_takes_its_schedule_and_row_and_leaves_its_history() -> Result<()> {
    let (place, _operator) = place("delete").await?;
    place.create("daily", daily()).await?;
    let object = place
        .condition("daily", "Ready", ("True", "Synced"))
        .await?;
    let activity = object.activity_id().unwrap();
    let run = NewRun {
        activity,
        trigger: TriggerKey::Manual {
            request_id: "once".to_owned(),
        },
        fired_at: Utc::now(),
        workflow_id: "workflow".to_owned(),
        workflow_run_id: "run".to_owned(),
        trace_id: None,
    };
    place.store.begin_run(&run).await?;

    place.delete("daily").await?;
    testkit::wait::until("the definition to be gone", PATIENCE, || async {
        let object = place.definitions.get_opt("daily").await?;
        Ok::<_, kube::Error>(object.is_none())
    })
    .await?;
    assert_eq!(place.temporal.schedule(activity).await?, None);
    assert_eq!(place.store.definition(activity).await?, None);
    assert!(place.store.run(run.run_id()).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_schedule_that_was_deleted_behind_our_back_comes_back() -> Result<()> {
    let (place, _operator) = place("drift").await?;
    place.create("daily", daily()).await?;
    let object = place
        .condition("daily", "Ready", ("True", "Synced"))
        .await?;
    let activity = object.activity_id().unwrap();
    assert!(place.temporal.delete_schedule(activity).await?);
    testkit::wait::until("the Schedule to be back", PATIENCE, || async {
        let schedule = place.temporal.schedule(activity).await?;
        Ok::<_, temporal::Error>(schedule.is_some())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn the_second_claimant_of_an_activity_id_is_stalled_and_touches_nothing() -> Result<()> {
    let (place, _operator) = place("claim").await?;
    let mut spec = daily();
    spec["activityId"] = json!("0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f");
    place.create("first", spec.clone()).await?;
    let first = place
        .condition("first", "Ready", ("True", "Synced"))
        .await?;
    let activity = first.activity_id().unwrap();
    let before = place.temporal.schedule(activity).await?;

    spec["trigger"]["cron"]["expression"] = json!("30 6 * * *");
    place.create("second", spec).await?;
    place
        .condition("second", "Stalled", ("True", "ActivityIdConflict"))
        .await?;
    assert_eq!(place.temporal.schedule(activity).await?, before);

    // And its end does not take the first one's Schedule with it.
    place.delete("second").await?;
    testkit::wait::until("the second to be gone", PATIENCE, || async {
        let object = place.definitions.get_opt("second").await?;
        Ok::<_, kube::Error>(object.is_none())
    })
    .await?;
    assert_eq!(place.temporal.schedule(activity).await?, before);
    assert_eq!(
        place.store.definition(activity).await?.unwrap().name,
        "first"
    );
    Ok(())
}

#[tokio::test]
async fn a_finalizer_that_somebody_takes_is_put_back() -> Result<()> {
    let (place, _operator) = place("finalizer").await?;
    place.create("daily", daily()).await?;
    place
        .condition("daily", "Ready", ("True", "Synced"))
        .await?;
    let others = json!({"metadata": {"finalizers": ["example.com/other"]}});
    place.merge("daily", others).await?;
    testkit::wait::until("both finalizers", PATIENCE, || async {
        let object = place.definitions.get("daily").await?;
        let both = ["example.com/other", names::FINALIZER].map(str::to_owned);
        Ok::<_, kube::Error>(object.metadata.finalizers.as_deref() == Some(&both))
    })
    .await?;
    let none = json!({"metadata": {"finalizers": [names::FINALIZER]}});
    place.merge("daily", none).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_as_declared_is_not_written_again() -> Result<()> {
    let (place, operator) = place("steady").await?;
    for number in 0..5 {
        place.create(&format!("daily-{number}"), daily()).await?;
    }
    for number in 0..5 {
        let name = format!("daily-{number}");
        place.condition(&name, "Ready", ("True", "Synced")).await?;
    }
    let versions = || async {
        let objects = place.definitions.list(&ListParams::default()).await?;
        let versions = objects
            .into_iter()
            .map(|object| object.metadata.resource_version);
        Ok::<Vec<_>, anyhow::Error>(versions.collect())
    };
    let before = (versions().await?, schedule_writes(&operator).await?);
    let resyncs = resync_time(&operator).await?;
    // Three more comparisons, told by the time of the last one.
    testkit::wait::until("three resyncs", PATIENCE, || async {
        let now = resync_time(&operator).await?;
        Ok::<_, anyhow::Error>(now >= resyncs + 3)
    })
    .await?;
    let after = (versions().await?, schedule_writes(&operator).await?);
    assert_eq!(before, after);
    Ok(())
}

#[tokio::test]
async fn the_status_says_when_the_last_run_was_and_how_it_ended() -> Result<()> {
    let (place, _operator) = place("last run").await?;
    place.create("by-hand", json!({})).await?;
    let object = place
        .condition("by-hand", "Ready", ("True", "Synced"))
        .await?;
    let run = NewRun {
        activity: object.activity_id().unwrap(),
        trigger: TriggerKey::Manual {
            request_id: "once".to_owned(),
        },
        fired_at: Utc::now(),
        workflow_id: "workflow".to_owned(),
        workflow_run_id: "run".to_owned(),
        trace_id: None,
    };
    place.store.begin_run(&run).await?;
    place
        .condition("by-hand", "RunVerified", ("Unknown", "RunInProgress"))
        .await?;
    let end = RunEnd {
        outcome: RunOutcome::Failed,
        error: Some("State Hub said 503".to_owned()),
        completed_at: Utc::now(),
    };
    place.store.end_run(run.run_id(), &end).await?;
    let object = place
        .condition("by-hand", "RunVerified", ("False", "RunFailed"))
        .await?;
    let last_run = object.status.unwrap().last_run.unwrap();
    assert_eq!(last_run.run_id, run.run_id().as_uuid());
    assert_eq!(last_run.result, "Failed");
    Ok(())
}

#[tokio::test]
async fn the_other_replica_takes_over_when_the_leader_is_killed() -> Result<()> {
    let (place, leader) = place("leader").await?;
    place.create("one", daily()).await?;
    place.condition("one", "Ready", ("True", "Synced")).await?;
    let _second = place.environment.start(Program::Operator, FAST).await?;
    leader.kill(Signal::KILL)?;
    place.create("two", daily()).await?;
    place.condition("two", "Ready", ("True", "Synced")).await?;
    Ok(())
}

#[tokio::test]
async fn an_open_maintenance_window_pauses_and_its_end_resumes() -> Result<()> {
    let (place, _operator) = place("window").await?;
    place.create("daily", daily()).await?;
    let object = place
        .condition("daily", "Ready", ("True", "Synced"))
        .await?;
    let activity = object.activity_id().unwrap();
    let windows: kube::Api<crds::MaintenanceWindow> = kube::Api::namespaced(
        place.environment.kube_client().await?,
        place.environment.namespace(),
    );
    let window = json!({
        "apiVersion": "activity-core.io/v1alpha1", "kind": "MaintenanceWindow",
        "metadata": {"name": "upgrade"},
        "spec": {"startTime": Utc::now() - chrono::Duration::hours(1),
                 "endTime": Utc::now() + chrono::Duration::hours(1),
                 "reason": "upgrade", "approvedBy": "Ada"},
    });
    let window = serde_json::from_value(window)?;
    windows.create(&PostParams::default(), &window).await?;
    place
        .condition("daily", "ScheduleSynced", ("True", "Suspended"))
        .await?;
    let owner = PauseOwner::Maintenance;
    let paused = place.temporal.schedule(activity).await?.unwrap().pause;
    assert!(matches!(paused, Pause::Because { owner: by, .. } if by == owner));

    testkit::wait::until("the window to say that it is open", PATIENCE, || async {
        let status = windows.get("upgrade").await?.status;
        Ok::<_, kube::Error>(status.is_some_and(|status| status.active))
    })
    .await?;

    // An end in the past closes it, an end in the future opens it again.
    for (end, reason) in [(-1, "Synced"), (60, "Suspended")] {
        let end = Utc::now() + chrono::Duration::minutes(end);
        let change = Patch::Merge(json!({"spec": {"endTime": end}}));
        windows
            .patch("upgrade", &PatchParams::default(), &change)
            .await?;
        place
            .condition("daily", "ScheduleSynced", ("True", reason))
            .await?;
    }

    windows.delete("upgrade", &DeleteParams::default()).await?;
    place
        .condition("daily", "ScheduleSynced", ("True", "Synced"))
        .await?;
    let resumed = place.temporal.schedule(activity).await?.unwrap().pause;
    assert_eq!(resumed, Pause::No);
    Ok(())
}

/// The sum over all writes to Schedules that the operator counted.
async fn schedule_writes(operator: &RunningProgram) -> Result<i64> {
    let text = metrics(operator).await?;
    let writes = text
        .lines()
        .filter(|line| line.starts_with("activity_core_operator_schedule_writes_total"));
    Ok(writes.filter_map(value).sum())
}

/// When the last comparison ended, in seconds.
async fn resync_time(operator: &RunningProgram) -> Result<i64> {
    let text = metrics(operator).await?;
    let line = text
        .lines()
        .find(|line| line.starts_with("activity_core_operator_last_resync_timestamp_seconds"));
    Ok(line.and_then(value).unwrap_or_default())
}

async fn metrics(operator: &RunningProgram) -> Result<String> {
    let url = format!("{}/metrics", operator.metrics_url());
    let seen = testkit::wait::until("the operator's metrics", PATIENCE, || async {
        let text = reqwest::get(&url).await?.text().await?;
        Ok::<_, reqwest::Error>(Seen::Done(text))
    });
    Ok(seen.await?)
}

fn value(line: &str) -> Option<i64> {
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn an_event_type_that_nobody_declares_is_swept_where_it_is_ours() -> Result<()> {
    let (place, _operator) = place("event type orphan").await?;
    let row = |namespace: &str, name: &str| store::EventTypeRow {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        uid: uuid::Uuid::new_v4(),
        generation: 1,
        description: None,
        schema: None,
        validation: "Enforce".to_owned(),
    };
    // What is left of an object that the API server let go before its finalizer was there.
    let ours = row(place.environment.namespace(), "user.gone");
    let theirs = row("elsewhere", "user.created");
    for row in [&ours, &theirs] {
        place.store.write_event_type(row).await?;
    }
    testkit::wait::until("the orphan to be swept", PATIENCE, || async {
        let rows = place.store.event_types().await?;
        Ok::<_, store::Error>(if rows == [theirs.clone()] {
            Seen::Done(())
        } else {
            Seen::not_yet(format!("{rows:?}"))
        })
    })
    .await?;
    Ok(())
}
