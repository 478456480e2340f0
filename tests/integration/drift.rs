//! Whatever somebody does behind our back is put right, reported, or left alone, as declared.

use anyhow::{Context, Result};
use contracts::names;
use crds::ActivityDefinition;
use domain::ActivityId;
use serde_json::{Value, json};
use temporal::{Pause, PauseOwner, ScheduleAction, ScheduleSpec};
use temporalio_client::schedules::{PauseScheduleOptions, ScheduleHandle, UnpauseScheduleOptions};
use temporalio_client::{Client, RpcOptions};
use testkit::wait::Seen;
use testkit::{Program, RunningProgram};

use crate::place::{PATIENCE, Place};

async fn place(name: &str) -> Result<(Place, RunningProgram)> {
    let place = Place::new(name).await?;
    let fast = [("RESYNC_SECONDS", "1")];
    let operator = place.environment.start(Program::Operator, fast).await?;
    Ok((place, operator))
}

fn daily() -> Value {
    json!({"trigger": {"cron": {"expression": "0 9 * * *"}}})
}

async fn ready(place: &Place, name: &str, spec: Value) -> Result<(ActivityDefinition, ActivityId)> {
    place.create(name, spec).await?;
    let object = place.condition(name, "Ready", ("True", "Synced")).await?;
    let activity = object.activity_id().context("no id")?;
    Ok((object, activity))
}

fn handle(place: &Place, activity: ActivityId) -> ScheduleHandle<Client> {
    let client = place.temporal.client();
    client.get_schedule_handle(names::schedule_id(activity))
}

async fn pause_by_hand(place: &Place, activity: ActivityId) -> Result<()> {
    handle(place, activity)
        .pause(
            Some("Ada is looking into it"),
            PauseScheduleOptions::default(),
        )
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_pause_by_hand_is_reported_with_its_words_and_ends_by_hand() -> Result<()> {
    let (place, _operator) = place("pause report").await?;
    let (_, activity) = ready(&place, "daily", daily()).await?;
    pause_by_hand(&place, activity).await?;
    let object = place
        .condition("daily", "ScheduleSynced", ("False", "PausedExternally"))
        .await?;
    let conditions = object.status.context("no status")?.conditions;
    let message = conditions.iter().find(|c| c.type_ == "ScheduleSynced");
    assert!(
        message
            .context("no condition")?
            .message
            .contains("Ada is looking into it")
    );
    place
        .condition("daily", "Stalled", ("True", "PausedExternally"))
        .await?;

    // A new spec is carried out under the pause, and the pause stays.
    place
        .merge(
            "daily",
            json!({"spec": {"trigger": {"cron": {"jitterSeconds": 5}}}}),
        )
        .await?;
    place
        .condition("daily", "ScheduleSynced", ("False", "PausedExternally"))
        .await?;
    let schedule = place.temporal.schedule(activity).await?.context("gone")?;
    let owner = PauseOwner::External;
    assert!(
        matches!(&schedule.pause, Pause::Because { owner: by, reason }
        if *by == owner && reason == "Ada is looking into it")
    );

    handle(&place, activity)
        .unpause(None::<&str>, UnpauseScheduleOptions::default())
        .await?;
    place
        .condition("daily", "Ready", ("True", "Synced"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_pause_by_hand_is_undone_where_the_definition_says_repair() -> Result<()> {
    let (place, _operator) = place("pause repair").await?;
    let mut spec = daily();
    spec["externalPausePolicy"] = json!("Repair");
    let (_, activity) = ready(&place, "daily", spec).await?;
    pause_by_hand(&place, activity).await?;
    testkit::wait::until("the pause to be undone", PATIENCE, || async {
        let schedule = place.temporal.schedule(activity).await?;
        Ok::<_, temporal::Error>(match schedule {
            Some(schedule) if schedule.pause == Pause::No && schedule.digest.is_some() => {
                Seen::Done(())
            }
            other => Seen::not_yet(format!("{other:?}")),
        })
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_schedule_that_was_edited_is_as_declared_again() -> Result<()> {
    let (place, _operator) = place("edited").await?;
    let (object, activity) = ready(&place, "daily", daily()).await?;
    let declared = place.temporal.schedule(activity).await?.context("gone")?;

    let mut other = object.spec.clone();
    let cron = other
        .trigger
        .as_mut()
        .and_then(|trigger| trigger.cron.as_mut());
    cron.context("no cron")?.expression = "59 23 * * *".to_owned();
    let other = other.validate(activity, "daily")?;
    let domain::Trigger::Cron(trigger) = other.trigger else {
        anyhow::bail!("no cron trigger");
    };
    let edited = ScheduleSpec {
        object_uid: declared.object_uid.context("no UID")?,
        action: ScheduleAction {
            activity,
            activity_name: "daily".to_owned(),
        },
        trigger,
        pause: Pause::No,
    };
    place.temporal.replace_schedule(&edited).await?;
    testkit::wait::until("the edit to be undone", PATIENCE, || async {
        let schedule = place.temporal.schedule(activity).await?;
        Ok::<_, temporal::Error>(schedule.as_ref() == Some(&declared))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_definition_made_anew_under_its_name_has_a_schedule_of_its_own() -> Result<()> {
    let (place, _operator) = place("recreate").await?;
    let (first, old) = ready(&place, "daily", daily()).await?;
    place.delete("daily").await?;
    testkit::wait::until("the first to be gone", PATIENCE, || async {
        Ok::<_, kube::Error>(place.definitions.get_opt("daily").await?.is_none())
    })
    .await?;
    let (second, new) = ready(&place, "daily", daily()).await?;
    assert_ne!(first.metadata.uid, second.metadata.uid);
    assert_ne!(old, new);
    assert_eq!(place.temporal.schedule(old).await?, None);
    assert!(place.temporal.schedule(new).await?.is_some());
    let rows = place.store.definitions().await?;
    assert_eq!(rows.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_renamed_definition_keeps_its_identity_and_its_history() -> Result<()> {
    let (place, _operator) = place("rename").await?;
    let mut spec = daily();
    spec["activityId"] = json!("0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f");
    let (_, activity) = ready(&place, "old-name", spec.clone()).await?;
    place.delete("old-name").await?;
    // The new name is there before the old one has let go: first stalled, then taken over.
    place.create("new-name", spec).await?;
    place
        .condition("new-name", "Ready", ("True", "Synced"))
        .await?;
    let row = place.store.definition(activity).await?.context("no row")?;
    assert_eq!(row.name, "new-name");
    let handle = handle(&place, activity);
    assert!(!handle.describe(RpcOptions::default()).await?.paused());
    Ok(())
}
