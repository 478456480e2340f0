//! Says what became of a reconcile: one status write, one Event per change, metrics.

use crds::condition::types;
use crds::{ActivityDefinition, ActivityDefinitionStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use super::observe::Observed;
use super::status::{Outcome, Standing, status};
use crate::{Context, Error};

/// Writes the status if it changed, publishes what changed, and counts.
pub(super) async fn report(
    context: &Context,
    object: &ActivityDefinition,
    observed: &Observed,
    outcome: &Outcome,
) -> Result<Standing, Error> {
    let (mut status, standing) = status(object, observed, outcome);
    if standing == Standing::Ready {
        status.last_handled_trigger = carry_out_trigger(context, object, outcome).await;
    }
    count(context, object, standing);
    let before = object.status.clone().unwrap_or_default();
    if status == before {
        return Ok(standing);
    }
    context.leadership.check()?;
    write(context, object, &status).await?;
    for condition in &status.conditions {
        if has_turned(condition, &before) {
            publish(context, object, condition).await;
        }
    }
    Ok(standing)
}

/// Starts the run that the annotation asks for, once per request id, and returns the id of the
/// last request that was carried out. The workflow id makes a repetition harmless.
async fn carry_out_trigger(
    context: &Context,
    object: &ActivityDefinition,
    outcome: &Outcome,
) -> Option<String> {
    let handled = object
        .status
        .as_ref()
        .and_then(|status| status.last_handled_trigger.clone());
    let requested = object
        .annotations()
        .get(contracts::names::TRIGGER_ANNOTATION)
        .filter(|requested| !requested.is_empty() && Some(*requested) != handled.as_ref());
    let (Some(request_id), Some(definition)) = (requested, outcome.definition()) else {
        return handled;
    };
    let start = temporal::RunStart::by_request(definition.id, &definition.name, request_id);
    match context.temporal.start_run(&start).await {
        Ok(_) => {
            tracing::info!(
                definition = super::describe(object),
                request_id,
                run_id = %start.run_id,
                "started a run as asked by the annotation"
            );
            Some(request_id.clone())
        }
        Err(error) => {
            tracing::warn!(
                definition = super::describe(object),
                request_id,
                error = runtime::describe(&error),
                "unable to start the run that the annotation asks for"
            );
            handled
        }
    }
}

fn count(context: &Context, object: &ActivityDefinition, standing: Standing) {
    context
        .metrics
        .reconciles
        .with_label_values(&[standing.as_str()])
        .inc();
    context
        .metrics
        .definition_ready
        .with_label_values(&[
            object.namespace().unwrap_or_default().as_str(),
            object.name_any().as_str(),
            super::execute::object_tier(object),
        ])
        .set(i64::from(standing == Standing::Ready));
}

async fn write(
    context: &Context,
    object: &ActivityDefinition,
    status: &ActivityDefinitionStatus,
) -> Result<(), Error> {
    let namespace = object.namespace().unwrap_or_default();
    let definitions: Api<ActivityDefinition> = Api::namespaced(context.client.clone(), &namespace);
    let patch = json!({
        "apiVersion": ActivityDefinition::api_version(&()),
        "kind": ActivityDefinition::kind(&()),
        "metadata": {"name": object.name_any(), "uid": object.uid()},
        "status": status,
    });
    let parameters = PatchParams::apply(contracts::names::FIELD_MANAGER).force();
    definitions
        .patch_status(&object.name_any(), &parameters, &Patch::Apply(patch))
        .await
        .map(|_| ())
        .map_err(Error::kubernetes(
            "write the status",
            &super::describe(object),
        ))
}

/// Whether a condition says something else than before. A first "false" of a condition that is
/// only about trouble is no news.
fn has_turned(condition: &Condition, before: &ActivityDefinitionStatus) -> bool {
    let previous = before
        .conditions
        .iter()
        .find(|previous| previous.type_ == condition.type_);
    match previous {
        Some(previous) => {
            previous.status != condition.status || previous.reason != condition.reason
        }
        None => condition.type_ == types::READY || condition.status == "False",
    }
}

async fn publish(context: &Context, object: &ActivityDefinition, condition: &Condition) {
    // Reconciling and Stalled say the same as Ready, seen from another side.
    if [types::RECONCILING, types::STALLED].contains(&condition.type_.as_str()) {
        return;
    }
    let event = Event {
        type_: if condition.status == "False" {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: condition.reason.clone(),
        note: Some(condition.message.chars().take(1000).collect()),
        action: condition.type_.clone(),
        secondary: None,
    };
    if let Err(error) = context
        .recorder
        .publish(&event, &object.object_ref(&()))
        .await
    {
        tracing::warn!(
            definition = super::describe(object),
            error = runtime::describe(&error),
            "unable to publish an Event"
        );
    }
}
