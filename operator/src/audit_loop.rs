//! The audit on the leader: a pass every few seconds, and what follows from it.
//!
//! Each run that is entered wakes its definition through the ledger's notifications, so status and
//! gauges are the reconciler's. Here are the Events, the counters, the Schedules that are to be
//! written anew, and the progress notes after a maintenance window.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use audit::{Closed, Entered, Ledger, PassReport, Surroundings};
use chrono::{DateTime, TimeDelta, Utc};
use contracts::state_hub::{NewProgress, ProgressDetail};
use contracts::workflow::format_time;
use crds::condition::{reasons, types};
use crds::{ActivityDefinition, MaintenanceWindow};
use domain::audit::WindowCause;
use domain::{ActivityId, RunOutcome};
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};
use runtime::Shutdown;
use serde_json::{Map, json};
use store::OwedNote;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::activity_definition::{cause, selects};
use crate::context::Announcement;
use crate::{Arguments, Context, definition_metrics};

/// How long the audit may be silent before that counts as a time in which no operator was there.
const SILENCE: TimeDelta = TimeDelta::minutes(2);

/// How long a pass may take. What it entered by then stays.
const PATIENCE: Duration = Duration::from_mins(5);

/// The type of the progress entry after a maintenance window.
const PLANNED_SKIP: &str = "planned_skip";

/// The name space of the notes' ids.
const NOTES: Uuid = Uuid::from_u128(0x5b4f_7f0e_2f0b_4d52_9a54_5d0c_9a3e_7c11);

/// Passes until the process is to stop.
pub(crate) async fn run(
    context: &Context,
    arguments: &Arguments,
    wake: &mpsc::Sender<ObjectRef<ActivityDefinition>>,
    shutdown: &Shutdown,
) {
    // Windows are judged by the caches.
    let filled = shutdown.or(futures::future::join(
        context.definitions.wait_until_ready(),
        context.windows.wait_until_ready(),
    ));
    if filled.await.is_none() {
        return;
    }
    let mut ledger = Ledger::new(
        context.store.clone(),
        context.temporal.clone(),
        arguments.watch_namespace.clone(),
    );
    let period = Duration::from_secs(u64::from(arguments.audit_seconds));
    while shutdown.sleep(period).await {
        let timer = context.metrics.audit_seconds.start_timer();
        let passed = tokio::time::timeout(PATIENCE, pass(context, &mut ledger, wake)).await;
        timer.observe_duration();
        let passed = passed.unwrap_or_else(|_| {
            let seconds = PATIENCE.as_secs();
            Err(anyhow::anyhow!("the pass did not end within {seconds} s"))
        });
        match passed {
            Ok(None) => context
                .metrics
                .audit_last_success
                .set(Utc::now().timestamp()),
            Ok(Some(unasked)) => tracing::warn!(
                error = unasked,
                retry_in_seconds = period.as_secs(),
                "Temporal can't be asked, so the audit decides nothing that depends on it"
            ),
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                retry_in_seconds = period.as_secs(),
                "unable to audit"
            ),
        }
    }
}

/// One pass; what is returned is why something could not be decided.
async fn pass(
    context: &Context,
    ledger: &mut Ledger,
    wake: &mpsc::Sender<ObjectRef<ActivityDefinition>>,
) -> anyhow::Result<Option<String>> {
    context.leadership.check()?;
    let now = Utc::now();
    if let Some(gap) = context.store.note_pass(now, SILENCE).await? {
        tracing::info!(
            from = format_time(gap.start),
            until = format_time(gap.end),
            "no operator was at work"
        );
    }
    let report = ledger.pass(&Cluster { context }, now).await?;
    let present = context.definitions.state();
    let present: HashSet<_> = present
        .iter()
        .map(|object| definition_metrics::key(object))
        .collect();
    context.metrics.definitions.retain(&present);
    follow_up(context, &report, wake).await;
    leave_notes(context).await?;
    Ok(report.unasked)
}

/// What the audit needs to know of the cluster.
struct Cluster<'context> {
    context: &'context Context,
}

impl Surroundings for Cluster<'_> {
    fn may_write(&self) -> bool {
        self.context.leadership.check().is_ok()
    }

    fn declared_window(&self, activity: ActivityId, time: DateTime<Utc>) -> Option<WindowCause> {
        let object = object_of(self.context, activity)?;
        let windows = self.context.windows.state();
        windows
            .iter()
            .filter(|window| window.namespace() == object.namespace() && selects(window, &object))
            .filter(|window| was_declared_by(window, time))
            .find(|window| {
                let times = window.spec.validate();
                times.is_ok_and(|times| times.open_until(time).is_some())
            })
            .map(|window| cause(window))
    }
}

/// Whether a window had been declared as it stands by `time`. A window that was changed later
/// proves nothing about before.
fn was_declared_by(window: &MaintenanceWindow, time: DateTime<Utc>) -> bool {
    let second = |at: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time| at.0.as_second();
    let created = window.creation_timestamp();
    let is_unchanged = window.metadata.generation.is_none_or(|number| number <= 1);
    // The status is written by us, and says nothing about the spec.
    let changed = window
        .managed_fields()
        .iter()
        .filter(|entry| entry.subresource.is_none())
        .filter_map(|entry| entry.time.as_ref().map(second))
        .max()
        .filter(|_| !is_unchanged);
    created
        .as_ref()
        .map(second)
        .max(changed)
        .is_some_and(|declared| declared <= time.timestamp())
}

/// The definition of an activity; of several claimants the first, which is the rare case of two
/// that fight for one id.
fn object_of(context: &Context, activity: ActivityId) -> Option<Arc<ActivityDefinition>> {
    let claims = context.claims.of(activity);
    claims
        .iter()
        .find_map(|claim| context.definitions.get(claim))
}

async fn follow_up(
    context: &Context,
    report: &PassReport,
    wake: &mpsc::Sender<ObjectRef<ActivityDefinition>>,
) {
    for (activity, outcome) in &report.outcomes {
        if let Some(object) = object_of(context, *activity) {
            context.metrics.definitions.count(&object, *outcome);
        }
    }
    let mut missed: BTreeMap<Uuid, Vec<&Entered>> = BTreeMap::new();
    for entered in &report.entered {
        log(entered);
        if entered.entry.finding.outcome == RunOutcome::Missed {
            let of = missed.entry(entered.entry.activity.as_uuid()).or_default();
            of.push(entered);
        }
    }
    for (activity, runs) in missed {
        let activity = ActivityId::new(activity);
        context.distrusted.note(activity);
        let Some(object) = object_of(context, activity) else {
            continue;
        };
        publish(context, &object, (reasons::RUN_MISSED, missed_note(&runs))).await;
        // The receiver goes away only when the process stops.
        let _ = wake.send(ObjectRef::from_obj(object.as_ref())).await;
    }
    for closed in &report.closed {
        announce_closed(context, closed).await;
    }
}

fn log(entered: &Entered) {
    let finding = &entered.entry.finding;
    tracing::info!(
        definition = format!("{}/{}", entered.namespace, entered.name),
        run_id = %entered.entry.run_id(),
        scheduled_for = format_time(entered.entry.time),
        outcome = %finding.outcome,
        "{}",
        finding.summary
    );
}

/// One Event for all runs of a definition that one pass found missing.
fn missed_note(runs: &[&Entered]) -> String {
    let newest = runs.iter().max_by_key(|run| run.entry.time);
    let newest = newest.map_or("", |run| run.entry.finding.summary.as_str());
    match runs.len() {
        0 | 1 => newest.to_owned(),
        several => format!("{several} runs are missing; the last: {newest}"),
    }
}

async fn announce_closed(context: &Context, closed: &Closed) {
    let reason = closed.end.error.clone().unwrap_or_default();
    tracing::warn!(
        run_id = %closed.run.run_id,
        activity_id = %closed.run.activity,
        outcome = %closed.end.outcome,
        "closed the row of a run: {reason}"
    );
    if let Some(object) = object_of(context, closed.run.activity) {
        let note = format!("run {}: {reason}", closed.run.run_id);
        publish(context, &object, (reasons::RUN_CLOSED, note)).await;
    }
}

async fn publish(context: &Context, object: &ActivityDefinition, (reason, note): (&str, String)) {
    let announcement = Announcement {
        type_: EventType::Warning,
        reason,
        action: types::RUN_VERIFIED,
        note,
    };
    context.publish(announcement, &object.object_ref(&())).await;
}

/// Leaves the progress notes that are owed: a window left runs out, and the schedule is healthy
/// again.
async fn leave_notes(context: &Context) -> anyhow::Result<()> {
    let Some(state_hub) = &context.state_hub else {
        return Ok(());
    };
    for owed in context.store.owed_notes().await? {
        context.leadership.check()?;
        let (note, id) = note(&owed);
        match state_hub.leave_note(note, &id).await {
            Ok(_) => {
                context.store.note_left(&owed, Utc::now()).await?;
                tracing::info!(
                    definition = owed.display_name,
                    window = owed.window_name,
                    "left a progress note: a window left runs out, and all is well again"
                );
            }
            Err(problem) => tracing::warn!(
                definition = owed.display_name,
                window = owed.window_name,
                error = problem,
                "unable to leave a progress note; it is tried again"
            ),
        }
    }
    Ok(())
}

/// The note and its identity, which is the same however often it is tried.
fn note(owed: &OwedNote) -> (NewProgress, String) {
    let key = format!(
        "{}/{}/{}",
        owed.activity_id,
        owed.window_uid,
        format_time(owed.first_skipped)
    );
    let runs = if owed.skipped == 1 {
        format!("the run of {} was", format_time(owed.first_skipped))
    } else {
        format!(
            "{} runs from {} to {} were",
            owed.skipped,
            format_time(owed.first_skipped),
            format_time(owed.last_skipped)
        )
    };
    let summary = format!(
        "{}: {runs} left out by maintenance window {} ({}, approved by {}); the run of {} \
         succeeded, so all is well again",
        owed.display_name,
        owed.window_name,
        owed.window_reason,
        owed.window_approved_by,
        format_time(owed.healthy_at)
    );
    let more = json!({
        "window": owed.window_name,
        "reason": owed.window_reason,
        "approved_by": owed.window_approved_by,
        "skipped": owed.skipped,
        "first_skipped": format_time(owed.first_skipped),
        "last_skipped": format_time(owed.last_skipped),
        "healthy_run_id": owed.healthy_run_id.to_string(),
    });
    let note = NewProgress {
        event_type: PLANNED_SKIP.to_owned(),
        summary,
        detail: ProgressDetail {
            activity_core_run_id: owed.first_run_id,
            activity_id: Some(owed.activity_id),
            report: None,
            more: more.as_object().cloned().unwrap_or_else(Map::new),
        },
    };
    (note, Uuid::new_v5(&NOTES, key.as_bytes()).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn window(generation: i64, fields: Value) -> MaintenanceWindow {
        let object = json!({
            "apiVersion": "activity-core.io/v1alpha1", "kind": "MaintenanceWindow",
            "metadata": {"name": "upgrade", "generation": generation,
                         "creationTimestamp": "2026-01-01T09:00:00Z", "managedFields": fields},
            "spec": {"startTime": "2026-01-01T10:00:00Z", "endTime": "2026-01-01T12:00:00Z",
                     "reason": "new disks", "approvedBy": "Ada"},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_window_counts_only_from_when_it_was_declared_as_it_stands() {
        let edited = json!([
            {"manager": "kubectl", "operation": "Update", "time": "2026-01-01T11:00:00Z"},
            {"manager": "us", "operation": "Apply", "time": "2026-01-01T15:00:00Z",
             "subresource": "status"},
        ]);
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        for (generation, before, after) in [
            (1, "2026-01-01T08:59:59Z", "2026-01-01T09:00:00Z"),
            (2, "2026-01-01T10:59:59Z", "2026-01-01T11:00:00Z"),
        ] {
            let window = window(generation, edited.clone());
            assert!(!was_declared_by(&window, at(before)), "{generation}");
            assert!(was_declared_by(&window, at(after)), "{generation}");
        }
    }

    #[test]
    fn a_note_tells_what_was_left_out_why_and_that_all_is_well() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let owed = OwedNote {
            activity_id: Uuid::from_u128(1),
            display_name: "Daily triage".to_owned(),
            window_uid: Uuid::from_u128(2),
            window_name: "upgrade".to_owned(),
            window_reason: "new disks".to_owned(),
            window_approved_by: "Ada".to_owned(),
            first_run_id: Uuid::from_u128(3),
            first_skipped: at("2026-01-01T10:00:00Z"),
            last_skipped: at("2026-01-01T10:00:00Z"),
            skipped: 1,
            healthy_run_id: Uuid::from_u128(4),
            healthy_at: at("2026-01-02T10:00:00Z"),
        };
        let (first, id) = note(&owed);
        assert_eq!(
            first.summary,
            "Daily triage: the run of 2026-01-01T10:00:00Z was left out by maintenance window \
             upgrade (new disks, approved by Ada); the run of 2026-01-02T10:00:00Z succeeded, so \
             all is well again"
        );
        let later = OwedNote {
            healthy_at: at("2026-01-03T10:00:00Z"),
            ..owed
        };
        assert_eq!(note(&later).1, id);
    }
}
