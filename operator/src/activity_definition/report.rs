//! Says what became of a reconcile: one status write, one Event per change, metrics.

use crds::condition::{reasons, types};
use crds::{ActivityDefinition, ActivityDefinitionStatus, HandledReconcile};
use domain::Trigger;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::EventType;
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use super::observe::Observed;
use super::status::{Outcome, ScheduleResult, Standing, status};
use super::verified::{are_reports_missing, is_run_missing};
use crate::context::Announcement;
use crate::definition_metrics::Gauges;
use crate::{Context, Error};

/// Writes the status if it changed, publishes what changed, and counts.
pub(super) async fn report(
    context: &Context,
    object: &ActivityDefinition,
    observed: &Observed,
    (outcome, answer): (&Outcome, Option<HandledReconcile>),
) -> Result<Standing, Error> {
    let (mut status, standing) = status(object, observed, outcome);
    status.last_handled_reconcile = answer.or(status.last_handled_reconcile);
    let mut owed = Ok(standing);
    if standing == Standing::Ready {
        match carry_out_trigger(context, object, outcome).await {
            Ok(handled) => status.last_handled_trigger = handled,
            // The status is written all the same, and the start is tried again.
            Err(error) => owed = Err(error),
        }
    }
    measure(context, object, observed, (outcome, standing));
    let before = object.status.clone().unwrap_or_default();
    if status == before {
        return owed;
    }
    context.leadership.check()?;
    write(context, object, &status).await?;
    for condition in &status.conditions {
        if has_turned(condition, &before) {
            publish(context, object, condition).await;
        }
    }
    owed
}

/// Starts the run that the annotation asks for, once per request id, and returns the id of the
/// last request that was carried out. The workflow id makes a repetition harmless. A start that
/// failed is owed, even one that Temporal refuses: a refusal may be one of credentials, and nobody
/// would ask again.
async fn carry_out_trigger(
    context: &Context,
    object: &ActivityDefinition,
    outcome: &Outcome,
) -> Result<Option<String>, Error> {
    let handled = object
        .status
        .as_ref()
        .and_then(|status| status.last_handled_trigger.clone());
    let requested = object
        .annotations()
        .get(contracts::names::TRIGGER_ANNOTATION)
        .filter(|requested| !requested.is_empty() && Some(*requested) != handled.as_ref());
    let (Some(request_id), Some(definition)) = (requested, outcome.definition()) else {
        return Ok(handled);
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
            Ok(Some(request_id.clone()))
        }
        Err(source) => {
            let announcement = Announcement {
                type_: EventType::Warning,
                reason: reasons::RUN_NOT_STARTED,
                action: "StartRun",
                note: format!(
                    "the run {request_id} is not started yet, and will be tried again: {}",
                    runtime::describe(&source)
                ),
            };
            context.publish(announcement, &object.object_ref(&())).await;
            Err(Error::StartRun {
                object: super::describe(object),
                source,
            })
        }
    }
}

/// Brings the metrics of a definition up to date.
fn measure(
    context: &Context,
    object: &ActivityDefinition,
    observed: &Observed,
    (outcome, standing): (&Outcome, Standing),
) {
    context
        .metrics
        .reconciles
        .with_label_values(&[standing.as_str()])
        .inc();
    let definition = outcome.definition();
    let runs = observed.runs.as_ref().ok();
    let judged = definition.zip(runs);
    let is_cron = definition.is_some_and(|found| matches!(found.trigger, Trigger::Cron(_)));
    let schedule = match outcome {
        Outcome::Refused(_) => None,
        Outcome::Executed { schedule, .. } => Some(schedule),
    };
    let is_missing = match (schedule, &observed.schedule) {
        // What could not be looked at stays as it was last seen.
        (_, Err(_)) => None,
        (Some(ScheduleResult::Failed { .. } | ScheduleResult::NotTried), Ok(None)) => Some(is_cron),
        (_, Ok(_)) => Some(false),
    };
    let paused = match schedule {
        Some(ScheduleResult::Unknown) | None => None,
        Some(schedule) => Some(matches!(schedule, ScheduleResult::PausedExternally(_))),
    };
    context.metrics.definitions.set(
        object,
        Gauges {
            ready: standing == Standing::Ready,
            schedule_missing: is_missing,
            schedule_paused: paused,
            run_missing: judged.map(|(definition, runs)| is_run_missing(definition, runs)),
            reports_missing: judged
                .map(|(definition, _)| are_reports_missing(definition, observed)),
            maintenance_active: observed.maintenance.open.is_some(),
        },
    );
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
    let written = definitions
        .patch_status(&object.name_any(), &parameters, &Patch::Apply(patch))
        .await
        .map_err(Error::kubernetes(
            "write the status",
            &super::describe(object),
        ))?;
    context.unseen.wrote(&written);
    Ok(())
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
    // The audit publishes one for each missed run, not only for the first in a row.
    if condition.reason == reasons::RUN_MISSED {
        return;
    }
    let announcement = Announcement {
        type_: if condition.status == "False" {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: &condition.reason,
        action: &condition.type_,
        note: condition.message.clone(),
    };
    context.publish(announcement, &object.object_ref(&())).await;
}
