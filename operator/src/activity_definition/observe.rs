//! Reads everything that a reconcile decides on. It judges nothing and writes nothing.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use crds::{ActivityDefinition, MaintenanceWindow};
use domain::audit::WindowCause;
use domain::{ActivityId, Window};
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt as _};
use store::{MirrorState, RunSummary};

use super::status::Outcome;
use crate::Context;

/// How long after its time a run that has not begun makes us look at the earliest, so that
/// `nextRunTime` does not stay in the past. A thousand that are due together have all begun by then, and
/// to look at them meanwhile would keep the last ones waiting.
const NEXT_RUN_SHOWN: TimeDelta = TimeDelta::minutes(1);

/// How much later it may be, so that not all are looked at in the same second.
const NEXT_RUN_SHOWN_WITHIN: Duration = Duration::from_mins(1);

/// What was seen of one definition's world, each part with its own failure.
#[derive(Debug)]
pub(super) struct Observed {
    /// When it was seen.
    pub now: DateTime<Utc>,
    /// Temporal's Schedule; `Ok(None)` when there is none.
    pub schedule: Result<Option<temporal::Observed>, temporal::Error>,
    /// The mirror row and what goes with it; `Ok(None)` when there is none.
    pub mirror: Result<Option<MirrorState>, store::Error>,
    /// The runs in short.
    pub runs: Result<RunSummary, store::Error>,
    /// Another definition that claims the same activity id with better right.
    pub rival: Option<String>,
    /// The maintenance window that is open, and when that changes.
    pub maintenance: Maintenance,
    /// Whether the Schedule failed to fire although it looks as declared.
    pub is_distrusted: bool,
}

/// Whether a maintenance window is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Maintenance {
    /// The window that is open.
    pub open: Option<WindowCause>,
    /// When a window that selects the definition opens or closes next.
    pub next_change: Option<DateTime<Utc>>,
}

/// Observes the world of one definition.
pub(super) async fn observe(
    context: &Context,
    object: &ActivityDefinition,
    now: DateTime<Utc>,
) -> Observed {
    // Objects from the API server have a UID, so there always is an id.
    let activity = object
        .activity_id()
        .unwrap_or(ActivityId::new(uuid::Uuid::nil()));
    let (schedule, mirror, runs) = tokio::join!(
        context.temporal.schedule(activity),
        context.store.mirror_state(activity),
        context.store.run_summary(activity),
    );
    Observed {
        now,
        schedule,
        mirror,
        runs,
        rival: rival(&claimants(context, activity), object),
        maintenance: maintenance(&context.windows.state(), object, now),
        is_distrusted: context.distrusted.contains(activity),
    }
}

impl Observed {
    /// When to look at a definition again although nothing has told us to: when a maintenance
    /// window opens or closes, when the next run's time has passed, and when it should be decided.
    /// `None` is "when told".
    pub(super) fn next_look(
        &self,
        object: &ActivityDefinition,
        outcome: &Outcome,
    ) -> Option<Duration> {
        let now = self.now;
        let definition = outcome.definition();
        let decided_by =
            definition.and_then(|definition| super::verified::next_verification(definition, now));
        // A run that begins tells us by itself, so this is for one that does not.
        let next_run = definition
            .and_then(|definition| super::status::next_run(definition, now))
            .map(|next| next + NEXT_RUN_SHOWN + super::share(object, NEXT_RUN_SHOWN_WITHIN));
        [self.maintenance.next_change, decided_by, next_run]
            .into_iter()
            .flatten()
            .min()
            .map(|next| (next - now).to_std().unwrap_or_default() + Duration::from_secs(1))
    }
}

/// Every definition that claims the activity now, as far as the watch has told.
fn claimants(context: &Context, activity: ActivityId) -> Vec<Arc<ActivityDefinition>> {
    let claims = context.claims.of(activity);
    claims
        .iter()
        .filter_map(|claim| context.definitions.get(claim))
        .collect()
}

/// The definition that has the same activity id with better right: the older one, and of two
/// equally old ones the one with the smaller UID.
fn rival(all: &[Arc<ActivityDefinition>], object: &ActivityDefinition) -> Option<String> {
    let seniority = |candidate: &ActivityDefinition| {
        (
            candidate.creation_timestamp().map(|time| time.0),
            candidate.uid(),
        )
    };
    all.iter()
        .filter(|other| other.uid() != object.uid())
        .filter(|other| other.activity_id() == object.activity_id())
        .filter(|other| seniority(other) < seniority(object))
        .map(|other| super::describe(other))
        .min()
}

fn maintenance(
    windows: &[Arc<MaintenanceWindow>],
    object: &ActivityDefinition,
    now: DateTime<Utc>,
) -> Maintenance {
    let selecting: Vec<(&MaintenanceWindow, Window)> = windows
        .iter()
        .filter(|window| window.namespace() == object.namespace() && selects(window, object))
        .filter_map(|window| Some((window.as_ref(), window.spec.validate().ok()?)))
        .collect();
    // Of several open windows the one that closes last explains the pause.
    let open = selecting
        .iter()
        .filter_map(|(window, times)| Some((times.open_until(now)?, *window)))
        .max_by_key(|(until, _)| *until)
        .map(|(_, window)| cause(window));
    Maintenance {
        open,
        next_change: selecting
            .iter()
            .filter_map(|(_, times)| times.next_change(now))
            .min(),
    }
}

/// A window as evidence. An object from the API server has a UID.
pub(crate) fn cause(window: &MaintenanceWindow) -> WindowCause {
    let uid = window.uid().and_then(|uid| uid.parse().ok());
    WindowCause {
        uid: uid.unwrap_or_default(),
        name: window.name_any(),
        reason: window.spec.reason.clone(),
        approved_by: window.spec.approved_by.clone(),
    }
}

/// A window as pauses and conditions name it.
pub(super) fn describe_window(window: &WindowCause) -> String {
    format!(
        "maintenance window {}: {} (approved by {})",
        window.name, window.reason, window.approved_by
    )
}

/// Whether a window selects a definition. A selector that can't be read selects nothing: the
/// window's own status says so.
pub(crate) fn selects(window: &MaintenanceWindow, object: &ActivityDefinition) -> bool {
    Selector::try_from(window.spec.selector.clone())
        .is_ok_and(|selector| selector.matches(object.labels()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(name: &str, created: &str, labels: serde_json::Value) -> Arc<ActivityDefinition> {
        let object = json!({
            "apiVersion": "activity-core.io/v1alpha1", "kind": "ActivityDefinition",
            "metadata": {"name": name, "namespace": "one", "uid": uuid::Uuid::new_v4(),
                         "creationTimestamp": created, "labels": labels},
            "spec": {"activityId": "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f"},
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn window(name: &str, end: &str, selector: serde_json::Value) -> Arc<MaintenanceWindow> {
        let object = json!({
            "apiVersion": "activity-core.io/v1alpha1", "kind": "MaintenanceWindow",
            "metadata": {"name": name, "namespace": "one"},
            "spec": {"startTime": "2026-01-01T10:00:00Z", "endTime": end, "selector": selector,
                     "reason": "upgrade", "approvedBy": "Ada"},
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn the_older_definition_has_the_better_right_to_an_activity_id() {
        let first = definition("first", "2026-01-01T00:00:00Z", json!({}));
        let second = definition("second", "2026-01-01T00:00:01Z", json!({}));
        let all = [first.clone(), second.clone()];
        assert_eq!(rival(&all, &first), None);
        assert_eq!(rival(&all, &second), Some("one/first".to_owned()));
    }

    #[test]
    fn of_overlapping_windows_the_one_that_closes_last_explains_the_pause() {
        let object = definition("first", "2026-01-01T00:00:00Z", json!({"team": "a"}));
        let windows = [
            window("short", "2026-01-01T11:00:00Z", json!({})),
            window(
                "long",
                "2026-01-01T12:00:00Z",
                json!({"matchLabels": {"team": "a"}}),
            ),
            window(
                "other",
                "2026-01-01T13:00:00Z",
                json!({"matchLabels": {"team": "b"}}),
            ),
        ];
        let at = |text: &str| maintenance(&windows, &object, text.parse().unwrap());
        let both = at("2026-01-01T10:30:00Z");
        assert_eq!(both.open.unwrap().name, "long");
        assert_eq!(
            both.next_change,
            Some("2026-01-01T11:00:00Z".parse().unwrap())
        );
        assert!(at("2026-01-01T11:30:00Z").open.is_some());
        assert_eq!(at("2026-01-01T12:00:00Z"), Maintenance::default());
    }
}
