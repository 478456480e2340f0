//! Says in a MaintenanceWindow's status whether it is valid and whether it is open. Pausing is
//! the definitions' reconciler's business, which looks at the windows itself.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::names::FIELD_MANAGER;
use crds::condition::{reasons, types};
use crds::{MaintenanceWindow, MaintenanceWindowStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::core::Selector;
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use crate::Context;
use crate::condition::condition;

/// A failed step of a reconcile of a MaintenanceWindow.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The status could not be written.
    #[error("failed to write the status of the maintenance window")]
    Status(#[source] Box<kube::Error>),
    /// This replica must not write any more.
    #[error(transparent)]
    Leadership(Box<crate::Error>),
}

/// Brings the status of one window up to date, and comes back when the window opens or closes.
pub(crate) async fn reconcile(
    object: Arc<MaintenanceWindow>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let now = Utc::now();
    let (status, next_change) = status(&object, now);
    if object.status.as_ref() != Some(&status) {
        context
            .leadership
            .check()
            .map_err(|error| Error::Leadership(Box::new(error)))?;
        write(&context, &object, &status).await?;
    }
    Ok(next_change.map_or_else(Action::await_change, |next| {
        let pause = (next - now).to_std().unwrap_or_default();
        // A moment later, so that it has happened by then.
        Action::requeue(pause + Duration::from_millis(100))
    }))
}

/// Tries again after a while; the error is in the log.
pub(crate) fn error_policy(
    object: Arc<MaintenanceWindow>,
    error: &Error,
    _: Arc<Context>,
) -> Action {
    tracing::warn!(
        maintenance_window = object.name_any(),
        error = runtime::describe(error),
        "unable to reconcile a maintenance window"
    );
    Action::requeue(Duration::from_secs(10))
}

/// Decides the status, and when it changes by itself.
fn status(
    object: &MaintenanceWindow,
    now: DateTime<Utc>,
) -> (MaintenanceWindowStatus, Option<DateTime<Utc>>) {
    let before = object.status.iter().flat_map(|status| &status.conditions);
    let ready = |value: &str, reason: &str, message: String| -> Condition {
        condition(
            before.clone(),
            types::READY,
            (value, reason, message),
            (object.meta(), now),
        )
    };
    let selector = Selector::try_from(object.spec.selector.clone())
        .map_err(|error| format!("spec.selector: {error}"));
    let window = object
        .spec
        .validate()
        .map_err(|problem| format!("spec.{problem}"));
    let (active, next_change, condition) = match selector.and(window) {
        Err(problem) => (false, None, ready("False", reasons::INVALID_SPEC, problem)),
        Ok(window) => {
            let open_until = window.open_until(now);
            let message = open_until.map_or_else(
                || "the window is closed".to_owned(),
                |until| {
                    let until = contracts::workflow::format_time(until);
                    format!("the window is open until {until}")
                },
            );
            (
                open_until.is_some(),
                window.next_change(now),
                ready("True", reasons::SYNCED, message),
            )
        }
    };
    let status = MaintenanceWindowStatus {
        observed_generation: object.metadata.generation,
        active,
        conditions: vec![condition],
    };
    (status, next_change)
}

async fn write(
    context: &Context,
    object: &MaintenanceWindow,
    status: &MaintenanceWindowStatus,
) -> Result<(), Error> {
    let namespace = object.namespace().unwrap_or_default();
    let windows: Api<MaintenanceWindow> = Api::namespaced(context.client.clone(), &namespace);
    let patch = json!({
        "apiVersion": MaintenanceWindow::api_version(&()),
        "kind": MaintenanceWindow::kind(&()),
        "metadata": {"name": object.name_any(), "uid": object.uid()},
        "status": status,
    });
    windows
        .patch_status(
            &object.name_any(),
            &PatchParams::apply(FIELD_MANAGER).force(),
            &Patch::Apply(patch),
        )
        .await
        .map(|_| ())
        .map_err(|error| Error::Status(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(spec: serde_json::Value) -> MaintenanceWindow {
        let object = json!({
            "apiVersion": "activity-core.io/v1alpha1", "kind": "MaintenanceWindow",
            "metadata": {"name": "upgrade", "generation": 3}, "spec": spec,
        });
        serde_json::from_value(object).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn says_whether_it_is_open_and_when_that_changes() {
        let window = window(json!({
            "startTime": "2026-01-01T10:00:00Z", "endTime": "2026-01-01T12:00:00Z",
            "reason": "upgrade", "approvedBy": "Ada"}));
        let (before, opens) = status(&window, at("2026-01-01T09:00:00Z"));
        assert!(!before.active);
        assert_eq!(opens, Some(at("2026-01-01T10:00:00Z")));
        let (during, closes) = status(&window, at("2026-01-01T11:00:00Z"));
        assert!(during.active);
        assert_eq!(closes, Some(at("2026-01-01T12:00:00Z")));
        assert_eq!(during.observed_generation, Some(3));
    }

    #[test]
    fn a_window_that_cannot_be_read_says_why() {
        let window = window(json!({
            "recurrence": {"cron": "61 * * * *", "durationSeconds": 60},
            "reason": "upgrade", "approvedBy": "Ada"}));
        let (status, next_change) = status(&window, at("2026-01-01T09:00:00Z"));
        assert_eq!(status.conditions[0].status, "False");
        assert!(status.conditions[0].message.contains("expression"));
        assert_eq!(next_change, None);
    }
}
