//! Mirrors EventTypes to Postgres, where the routers read them.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use contracts::names::{FIELD_MANAGER, FINALIZER};
use crds::condition::{reasons, types};
use crds::{EventType, EventTypeStatus, ValidationMode};
use domain::OutputSchema;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Error as FinalizerError, Event, finalizer};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use store::EventTypeRow;

use crate::Context;

/// A failed step of a reconcile of an EventType.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The mirror row could not be written or removed.
    #[error("unable to mirror the event type")]
    Mirror(#[source] store::Error),
    /// The status could not be written.
    #[error("failed to write the status of the event type")]
    Status(#[source] Box<kube::Error>),
    /// This replica must not write any more.
    #[error(transparent)]
    Leadership(Box<crate::Error>),
    /// The finalizer could not be put on or taken off, or what it guards failed.
    #[error("failed to keep the finalizer")]
    Finalizer(#[source] Box<FinalizerError<Error>>),
}

/// Brings the mirror row of one event type to what the object declares.
pub(crate) async fn reconcile(
    object: Arc<EventType>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    context
        .leadership
        .check()
        .map_err(|error| Error::Leadership(Box::new(error)))?;
    let namespace = object.namespace().unwrap_or_default();
    let event_types: Api<EventType> = Api::namespaced(context.client.clone(), &namespace);
    finalizer(&event_types, FINALIZER, object, |event| async {
        match event {
            Event::Apply(object) => apply(&context, &event_types, &object).await,
            Event::Cleanup(object) => clean_up(&context, &object).await,
        }
    })
    .await
    .map_err(|error| Error::Finalizer(Box::new(error)))
}

/// Tries again after a while; the error is in the log.
pub(crate) fn error_policy(object: Arc<EventType>, error: &Error, _: Arc<Context>) -> Action {
    tracing::warn!(
        event_type = object.name_any(),
        error = runtime::describe(error),
        "unable to reconcile an event type"
    );
    Action::requeue(Duration::from_secs(10))
}

async fn apply(
    context: &Context,
    event_types: &Api<EventType>,
    object: &EventType,
) -> Result<Action, Error> {
    let invalid = object
        .spec
        .schema
        .clone()
        .and_then(|schema| OutputSchema::compile(schema).err());
    let (ready, reason, message) = if let Some(error) = invalid {
        (
            "False",
            reasons::INVALID_SPEC,
            format!("spec.schema: {error}"),
        )
    } else {
        context
            .store
            .write_event_type(&row(object))
            .await
            .map_err(Error::Mirror)?;
        (
            "True",
            reasons::SYNCED,
            "every router knows the event type".to_owned(),
        )
    };
    let status = EventTypeStatus {
        observed_generation: object.metadata.generation,
        conditions: vec![crate::condition::condition(
            object.status.iter().flat_map(|status| &status.conditions),
            types::READY,
            (ready, reason, message),
            (object.meta(), Utc::now()),
        )],
    };
    if object.status.as_ref() == Some(&status) {
        return Ok(Action::await_change());
    }
    let patch = json!({
        "apiVersion": EventType::api_version(&()),
        "kind": EventType::kind(&()),
        "metadata": {"name": object.name_any(), "uid": object.uid()},
        "status": status,
    });
    event_types
        .patch_status(
            &object.name_any(),
            &PatchParams::apply(FIELD_MANAGER).force(),
            &Patch::Apply(patch),
        )
        .await
        .map_err(|error| Error::Status(Box::new(error)))?;
    Ok(Action::await_change())
}

async fn clean_up(context: &Context, object: &EventType) -> Result<Action, Error> {
    let uid = object.uid().and_then(|uid| uid.parse().ok());
    if let Some(uid) = uid {
        context
            .store
            .delete_event_type(uid)
            .await
            .map_err(Error::Mirror)?;
    }
    Ok(Action::await_change())
}

fn row(object: &EventType) -> EventTypeRow {
    EventTypeRow {
        name: object.name_any(),
        namespace: object.namespace().unwrap_or_default(),
        uid: object
            .uid()
            .and_then(|uid| uid.parse().ok())
            .unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or_default(),
        description: object.spec.description.clone(),
        schema: object.spec.schema.clone(),
        validation: match object.spec.validation {
            ValidationMode::Enforce => "Enforce",
            ValidationMode::Warn => "Warn",
        }
        .to_owned(),
    }
}
