//! What is claimed about the outcome: declared is what is, everywhere, and nothing else.

mod runs;

use anyhow::{Context as _, Result};
use contracts::names;
use crds::ActivityDefinition;
use kube::api::ListParams;
use serde_json::Value;
use store::Store;

use crate::expected::{Expected, ExpectedDefinition};
use crate::lane::Lane;
use crate::schedules::{self, Schedules};

/// In what the world differs from what is expected; empty when it does not. What is cheap to ask is
/// asked first, and as long as it differs the rest is not asked at all.
pub async fn differences(
    lane: &Lane,
    expected: &Expected,
    leniency: Leniency,
) -> Result<Vec<String>> {
    let objects = lane.definitions.list(&ListParams::default()).await?.items;
    let mut found = Vec::new();
    let mut declared = Vec::new();
    for definition in &expected.definitions {
        let object = objects
            .iter()
            .find(|object| object.metadata.name.as_ref() == Some(&definition.name));
        match object {
            Some(object) => {
                found.extend(compare_object(object, definition));
                declared.push(object);
            }
            None => found.push(format!("the definition {} is gone", definition.name)),
        }
    }
    for object in &objects {
        let name = object.metadata.name.clone().unwrap_or_default();
        if !expected.definitions.iter().any(|other| other.name == name) {
            found.push(format!("the definition {name} is still there"));
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let activities: Option<Vec<_>> = declared.iter().map(|object| object.activity_id()).collect();
    let activities = activities.context("an object has no id")?;
    found.extend(leaks(lane, expected, &activities).await?);
    if !found.is_empty() {
        return Ok(found);
    }
    for object in &declared {
        let schedules = (&lane.schedules, Some(expected.in_maintenance));
        found.extend(compare(object, &lane.store, schedules).await?);
    }
    for object in &objects {
        found.extend(runs::compare_status(lane, expected, object).await?);
    }
    if found.is_empty() {
        found.extend(runs::differences(lane, expected, &activities, leniency).await?);
    }
    Ok(found)
}

/// What a plan's fault excuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leniency {
    /// A sink or a model that refuses for good may stay without its report, if the ledger says so.
    pub refused_for_good: bool,
}

/// What an object says of itself.
pub(crate) fn compare_object(
    object: &ActivityDefinition,
    declared: &ExpectedDefinition,
) -> Vec<String> {
    let name = &declared.name;
    let mut found = Vec::new();
    let metadata = &object.metadata;
    if metadata.deletion_timestamp.is_some() {
        found.push(format!("{name} is being deleted"));
    }
    let finalizers = metadata.finalizers.clone().unwrap_or_default();
    if finalizers != [names::FINALIZER] {
        found.push(format!("{name} has the finalizers {finalizers:?}"));
    }
    let Some(status) = &object.status else {
        found.push(format!("{name} has no status"));
        return found;
    };
    if status.observed_generation != metadata.generation {
        found.push(format!(
            "{name} has the status of generation {:?}, not {:?}",
            status.observed_generation, metadata.generation
        ));
    }
    for (kind, expected, reason) in [
        ("Ready", "True", Some(declared.reason)),
        ("Reconciling", "False", None),
        ("Stalled", "False", None),
        ("ScheduleSynced", "True", None),
        ("MirrorSynced", "True", None),
    ] {
        let condition = status.conditions.iter().find(|other| other.type_ == kind);
        let is = condition.is_some_and(|condition| {
            condition.status == expected
                && reason.is_none_or(|reason| condition.reason == reason)
                && condition.observed_generation == metadata.generation
        });
        if !is {
            let is = condition.map(|is| format!("{} ({}): {}", is.status, is.reason, is.message));
            found.push(format!("{name}: {kind} is {is:?}, not {expected}"));
        }
    }
    let activity = object.activity_id().map(domain::ActivityId::as_uuid);
    if status.activity_id != activity {
        found.push(format!("{name}: status.activityId is wrong"));
    }
    found
}

/// In what the mirror row and the Schedule of an object differ from its spec, field by field.
pub(crate) async fn compare(
    object: &ActivityDefinition,
    store: &Store,
    (schedules, in_maintenance): (&Schedules, Option<bool>),
) -> Result<Vec<String>> {
    let activity = object.activity_id().context("the object has no id")?;
    let name = object.metadata.name.clone().unwrap_or_default();
    let mut found = Vec::new();
    match store.definition(activity).await? {
        None => found.push("there is no mirror row".to_owned()),
        Some(row) => {
            let spec = serde_json::to_value(&object.spec)?;
            let event_type = spec.pointer("/trigger/event/eventType");
            let uid = object.metadata.uid.clone().unwrap_or_default();
            let generation = object.metadata.generation.unwrap_or_default();
            for (field, is, ought) in [
                ("name", row.name.clone(), name.clone()),
                ("UID", row.uid.to_string(), uid),
                (
                    "generation",
                    row.generation.to_string(),
                    generation.to_string(),
                ),
                (
                    "enabled",
                    row.enabled.to_string(),
                    object.spec.enabled.to_string(),
                ),
                (
                    "event type",
                    row.event_type.unwrap_or_default(),
                    event_type
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned(),
                ),
                (
                    "display name",
                    row.display_name,
                    object.spec.display_name.clone().unwrap_or(name),
                ),
                ("spec", row.spec.to_string(), spec.to_string()),
            ] {
                if is != ought {
                    found.push(format!("mirror: {field} is {is}, not {ought}"));
                }
            }
        }
    }
    let schedule = schedules.describe(activity).await?;
    found.extend(schedules::differences(
        object,
        schedule.as_ref(),
        in_maintenance,
    )?);
    Ok(found)
}

/// What nobody declares.
async fn leaks(
    lane: &Lane,
    expected: &Expected,
    activities: &[domain::ActivityId],
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for row in lane.store.definitions().await? {
        if !activities
            .iter()
            .any(|activity| activity.as_uuid() == row.activity_id)
        {
            found.push(format!("the mirror row of {} is left", row.name));
        }
    }
    for id in lane.schedules.ids().await? {
        let activity = names::activity_of_schedule(&id);
        if activity.is_none_or(|activity| !activities.contains(&activity)) {
            found.push(format!("the Schedule {id} is left"));
        }
    }
    let rows = lane.store.event_types().await?;
    let mut types: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    types.sort_unstable();
    let mut declared: Vec<&str> = expected.event_types.iter().map(String::as_str).collect();
    declared.sort_unstable();
    if types != declared {
        found.push(format!("the event types are {types:?}, not {declared:?}"));
    }
    Ok(found)
}
