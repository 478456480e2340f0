//! Compares everything with everything, from time to time: by pages, not one by one.
//!
//! A listing of Temporal's Schedules and one of the mirror are held against the definitions that
//! are watched. What differs is handed to the reconciler; what nobody declared is swept, after
//! the API server itself has been asked whether that is so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crds::{ActivityDefinition, EventType};
use domain::ActivityId;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::ListParams;
use kube::runtime::events;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt};
use store::{MirrorRow, MirroredVersion};
use temporal::{ListedSchedule, Pause, PauseOwner, ScheduleSpec};
use uuid::Uuid;

use crate::Context;
use crate::context::Announcement;

/// The kinds of differences, as metric labels.
pub(crate) const DRIFT_KINDS: [&str; 6] = [
    "schedule_missing",
    "schedule_changed",
    "schedule_unwanted",
    "mirror_missing",
    "mirror_changed",
    "orphan",
];

/// What a comparison found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Definitions to reconcile, each with the kind of difference.
    pub differing: BTreeMap<String, (ObjectRef<ActivityDefinition>, &'static str)>,
    /// Activities that Temporal or the mirror knows and no definition declares.
    pub orphans: BTreeSet<ActivityId>,
}

/// Compares the definitions with the listings. Pauses are compared by whose they are, because a
/// listing does not say which windows are open.
pub(crate) fn compare(
    definitions: &[Arc<ActivityDefinition>],
    schedules: &[ListedSchedule],
    rows: &[MirroredVersion],
) -> Findings {
    let schedules: HashMap<ActivityId, &ListedSchedule> = schedules
        .iter()
        .map(|schedule| (schedule.activity, schedule))
        .collect();
    let rows: HashMap<Uuid, &MirroredVersion> =
        rows.iter().map(|row| (row.activity_id, row)).collect();
    let mut findings = Findings::default();
    let mut declared = BTreeSet::new();
    for object in definitions {
        let Some(activity) = object.activity_id() else {
            continue;
        };
        declared.insert(activity);
        let schedule = schedules.get(&activity).copied();
        let row = rows.get(&activity.as_uuid()).copied();
        if let Some(kind) = difference(object, activity, schedule, row) {
            findings.differing.insert(
                crate::activity_definition::describe(object),
                (ObjectRef::from_obj(object.as_ref()), kind),
            );
        }
    }
    let known = schedules
        .keys()
        .copied()
        .chain(rows.keys().copied().map(ActivityId::new));
    findings.orphans = known
        .filter(|activity| !declared.contains(activity))
        .collect();
    findings
}

fn difference(
    object: &ActivityDefinition,
    activity: ActivityId,
    schedule: Option<&ListedSchedule>,
    row: Option<&MirroredVersion>,
) -> Option<&'static str> {
    // What is refused or going away is the reconciler's business alone.
    if object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let definition = object.spec.validate(activity, &object.name_any()).ok()?;
    let uid = object.uid()?.parse::<Uuid>().ok()?;
    match row {
        None => return Some("mirror_missing"),
        Some(row) if row.uid != uid || Some(row.generation) != object.metadata.generation => {
            return Some("mirror_changed");
        }
        Some(_) => {}
    }
    let Some(declared) = ScheduleSpec::declared(&definition, uid, Pause::No) else {
        return schedule.map(|_| "schedule_unwanted");
    };
    let Some(schedule) = schedule else {
        return Some("schedule_missing");
    };
    let pause_fits = match &schedule.pause {
        Pause::No => definition.enabled,
        Pause::Because { owner, .. } => match owner {
            PauseOwner::Disabled => !definition.enabled,
            // The reconciler itself comes back when a window opens or closes.
            PauseOwner::Maintenance => definition.enabled,
            PauseOwner::External => {
                definition.enabled
                    && definition.external_pause == domain::ExternalPausePolicy::Report
            }
        },
    };
    let as_declared = schedule.digest.as_deref() == Some(declared.digest().as_str())
        && schedule.object_uid == Some(uid)
        && pause_fits;
    (!as_declared).then_some("schedule_changed")
}

/// Compares once, and returns what is to be reconciled.
pub(crate) async fn resync(
    context: &Context,
) -> anyhow::Result<Vec<ObjectRef<ActivityDefinition>>> {
    context.leadership.check()?;
    let (schedules, rows) = tokio::join!(
        context.temporal.list_schedules(),
        context.store.mirrored_versions()
    );
    let (schedules, rows) = (schedules?, rows?);
    // Taken after the listings: a definition that is newer than they are is reconciled anyhow,
    // and one that is older can't be taken for an orphan.
    let definitions = context.definitions.state();
    let findings = compare(&definitions, &schedules, &rows);
    for (name, (_, kind)) in &findings.differing {
        tracing::info!(definition = name, kind, "found a difference");
        context.metrics.drift.with_label_values(&[kind]).inc();
    }
    for (object, _) in findings
        .differing
        .values()
        .filter(|(_, kind)| *kind == "schedule_missing")
    {
        if let Some(object) = context.definitions.get(object) {
            context.metrics.definitions.set_schedule_missing(&object);
        }
    }
    sweep(context, findings.orphans, &rows).await?;
    sweep_event_types(context).await?;
    context
        .metrics
        .last_resync
        .set(chrono::Utc::now().timestamp());
    Ok(findings
        .differing
        .into_values()
        .map(|(object, _)| object)
        .collect())
}

/// Removes what no definition declares: what is of a namespace that is watched, since another
/// operator's definitions are no orphans. The cache may be behind, so the API server is asked for
/// every definition first.
async fn sweep(
    context: &Context,
    mut orphans: BTreeSet<ActivityId>,
    rows: &[MirroredVersion],
) -> anyhow::Result<()> {
    if context.watched.is_some() {
        let ours = rows.iter().filter(|row| context.watches(&row.namespace));
        let ours: BTreeSet<_> = ours.map(|row| ActivityId::new(row.activity_id)).collect();
        orphans.retain(|activity| ours.contains(activity));
    }
    if orphans.is_empty() {
        return Ok(());
    }
    let declared: BTreeSet<ActivityId> = context
        .declared::<ActivityDefinition>()
        .list(&kube::api::ListParams::default())
        .await?
        .into_iter()
        .filter_map(|object| object.activity_id())
        .collect();
    for activity in orphans.difference(&declared) {
        sweep_one(context, *activity).await?;
    }
    Ok(())
}

/// Removes one orphan, if it is ours: its mirror row is in our data base, and the Schedule's memo
/// names the same object. A Schedule without such a row may belong to another cluster that shares
/// the Temporal namespace, and is left alone.
async fn sweep_one(context: &Context, activity: ActivityId) -> anyhow::Result<()> {
    let Some(row) = context.store.definition(activity).await? else {
        tracing::warn!(%activity, "a Schedule that no definition of this cluster made is left alone");
        return Ok(());
    };
    let schedule = context.temporal.schedule(activity).await?;
    context.leadership.check()?;
    tracing::warn!(%activity, object_uid = %row.uid, "sweeping what no definition declares");
    if schedule.is_some_and(|schedule| schedule.object_uid == Some(row.uid)) {
        context.temporal.delete_schedule(activity).await?;
    }
    context.store.delete_definition(activity, row.uid).await?;
    announce_sweep(context, &row).await;
    context.metrics.drift.with_label_values(&["orphan"]).inc();
    Ok(())
}

/// Removes the rows of event types that are gone. The API server lets an object go whose finalizer
/// comes in the same moment as its deletion, so a finalizer is no proof that nothing is left.
async fn sweep_event_types(context: &Context) -> anyhow::Result<()> {
    let mut rows = context.store.event_types().await?;
    rows.retain(|row| context.watches(&row.namespace));
    // From its cache first, which costs the API server nothing; then for certain.
    for asking in [ListParams::default().match_any(), ListParams::default()] {
        if rows.is_empty() {
            return Ok(());
        }
        let declared = context.declared::<EventType>();
        let declared = declared.list_metadata(&asking).await?;
        let declared: BTreeSet<String> = declared.into_iter().filter_map(|it| it.uid()).collect();
        rows.retain(|row| !declared.contains(&row.uid.to_string()));
    }
    for row in rows {
        context.leadership.check()?;
        tracing::warn!(
            event_type = row.name,
            namespace = row.namespace,
            object_uid = %row.uid,
            "sweeping an event type that nobody declares"
        );
        context.store.delete_event_type(row.uid).await?;
        context.metrics.drift.with_label_values(&["orphan"]).inc();
    }
    Ok(())
}

/// An Event about the object that is gone, so that people see what became of its Schedule.
async fn announce_sweep(context: &Context, row: &MirrorRow) {
    let announcement = Announcement {
        type_: events::EventType::Normal,
        reason: crds::condition::reasons::ORPHAN_SWEPT,
        action: "Sweep",
        note: format!(
            "deleted the Schedule and the mirror row of activity {}, which no definition declares",
            row.activity_id
        ),
    };
    let gone = ObjectReference {
        api_version: Some(ActivityDefinition::api_version(&()).into_owned()),
        kind: Some(ActivityDefinition::kind(&()).into_owned()),
        namespace: Some(row.namespace.clone()),
        name: Some(row.name.clone()),
        uid: Some(row.uid.to_string()),
        ..ObjectReference::default()
    };
    context.publish(announcement, &gone).await;
}
