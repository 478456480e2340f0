//! Between the bodies of this API and the custom resource's spec. Pure.
//!
//! A spec says more than a body can; what a body does not speak of stays as it is.

use std::time::Duration;

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use contracts::rest;
use crds::{
    ActivityDefinition, ActivityDefinitionSpec, CronTriggerSpec, EventTriggerSpec,
    ExternalPausePolicySpec, MisfirePolicySpec, OverlapPolicySpec, TasksSpec, TierSpec,
    TriggerSpec, VerificationSpec,
};
use domain::ActivityId;
use kube::ResourceExt as _;
use uuid::Uuid;

use crate::error::{Error, Refusal};
use crate::kubernetes_refusal;

/// The longest name, in characters; the custom resource's limit for a display name.
const LONGEST_NAME: usize = 253;

/// The spec of a new definition.
pub(crate) fn new_spec(new: &rest::NewActivityDefinition) -> ActivityDefinitionSpec {
    ActivityDefinitionSpec {
        activity_id: None,
        display_name: Some(new.name.clone()),
        enabled: new.enabled,
        tier: TierSpec::default(),
        trigger: trigger(&new.trigger_config, None),
        context: Vec::new(),
        instruction: None,
        reports: Vec::new(),
        tasks: TasksSpec::default(),
        verification: VerificationSpec::default(),
        external_pause_policy: ExternalPausePolicySpec::default(),
    }
}

/// The spec after an update.
pub(crate) fn updated_spec(
    spec: &ActivityDefinitionSpec,
    update: &rest::ActivityDefinitionUpdate,
) -> ActivityDefinitionSpec {
    let mut updated = spec.clone();
    if let Some(name) = &update.name {
        updated.display_name = Some(name.clone());
    }
    if let Some(enabled) = update.enabled {
        updated.enabled = enabled;
    }
    if let Some(config) = &update.trigger_config {
        updated.trigger = trigger(config, spec.trigger.as_ref());
    }
    updated
}

/// The spec's trigger; what a body can't say is taken from the present one of the same kind.
fn trigger(config: &rest::TriggerConfig, present: Option<&TriggerSpec>) -> Option<TriggerSpec> {
    match config {
        rest::TriggerConfig::Cron {
            cron_expression,
            timezone,
            misfire_policy,
        } => {
            let present = present.and_then(|trigger| trigger.cron.as_ref());
            let misfire_policy = match misfire_policy {
                rest::MisfirePolicy::Skip => MisfirePolicySpec::Skip,
                rest::MisfirePolicy::CatchUp => MisfirePolicySpec::CatchUp,
            };
            Some(TriggerSpec {
                cron: Some(CronTriggerSpec {
                    expression: cron_expression.clone(),
                    timezone: timezone.clone(),
                    misfire_policy,
                    // Without catching up a window is a contradiction, and would be refused.
                    catch_up_window_seconds: present
                        .and_then(|cron| cron.catch_up_window_seconds)
                        .filter(|_| misfire_policy == MisfirePolicySpec::CatchUp),
                    overlap_policy: present
                        .map_or_else(OverlapPolicySpec::default, |cron| cron.overlap_policy),
                    jitter_seconds: present.map_or(0, |cron| cron.jitter_seconds),
                    start_time: present.and_then(|cron| cron.start_time),
                    end_time: present.and_then(|cron| cron.end_time),
                }),
                event: None,
            })
        }
        rest::TriggerConfig::Event {
            event_type,
            filters,
        } => Some(TriggerSpec {
            cron: None,
            event: Some(EventTriggerSpec {
                event_type: event_type.clone(),
                filters: filters.clone().into_iter().collect(),
                condition: present
                    .and_then(|trigger| trigger.event.as_ref())
                    .and_then(|event| event.condition.clone()),
                ordering: present
                    .and_then(|trigger| trigger.event.as_ref())
                    .map(|event| event.ordering)
                    .unwrap_or_default(),
            }),
        }),
        rest::TriggerConfig::Manual => None,
    }
}

/// Refuses a spec that could never be carried out, before anything is written.
pub(crate) fn check(
    spec: &ActivityDefinitionSpec,
    id: Option<ActivityId>,
    activity_timeout: Duration,
) -> Result<(), Refusal> {
    let name = spec.display_name.as_deref().unwrap_or_default();
    if spec.display_name.is_some() {
        check_name(name)?;
    }
    // A new definition has no id yet, and validation needs none.
    let id = id.unwrap_or_else(|| ActivityId::new(Uuid::nil()));
    let definition = spec
        .validate(id, name)
        .map_err(|invalid| kubernetes_refusal::of_definition(&invalid))?;
    definition
        .time_budget()
        .check(activity_timeout)
        .map_err(|exceeded| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, exceeded.to_string()))
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let length = name.chars().count();
    if name.trim().is_empty() {
        Err(Refusal::invalid(
            "name",
            "is empty; give the activity a name",
        ))
    } else if length > LONGEST_NAME {
        Err(Refusal::invalid(
            "name",
            format!("has {length} characters; at most {LONGEST_NAME} are accepted"),
        ))
    } else if name.chars().any(char::is_control) {
        Err(Refusal::invalid(
            "name",
            "has a control character, such as a line break; leave it out",
        ))
    } else {
        Ok(())
    }
}

/// A definition as every answer shows it.
pub(crate) fn definition(object: &ActivityDefinition) -> Result<rest::ActivityDefinition, Error> {
    let lacks = |what: &str| {
        Error::Internal(format!(
            "the ActivityDefinition {} has no {what}",
            object.name_any()
        ))
    };
    Ok(rest::ActivityDefinition {
        id: object.activity_id().ok_or_else(|| lacks("UID"))?.as_uuid(),
        name: object.display_name(),
        namespace: object.namespace().unwrap_or_default(),
        enabled: object.spec.enabled,
        trigger_config: trigger_config(object.spec.trigger.as_ref()),
        created_at: created_at(object).ok_or_else(|| lacks("creation timestamp"))?,
    })
}

fn created_at(object: &ActivityDefinition) -> Option<DateTime<Utc>> {
    let created = object.metadata.creation_timestamp.as_ref()?;
    DateTime::from_timestamp(created.0.as_second(), 0)
}

fn trigger_config(spec: Option<&TriggerSpec>) -> rest::TriggerConfig {
    if let Some(cron) = spec.and_then(|trigger| trigger.cron.as_ref()) {
        return rest::TriggerConfig::Cron {
            cron_expression: cron.expression.clone(),
            timezone: cron.timezone.clone(),
            misfire_policy: match cron.misfire_policy {
                MisfirePolicySpec::Skip => rest::MisfirePolicy::Skip,
                MisfirePolicySpec::CatchUp => rest::MisfirePolicy::CatchUp,
            },
        };
    }
    match spec.and_then(|trigger| trigger.event.as_ref()) {
        Some(event) => rest::TriggerConfig::Event {
            event_type: event.event_type.clone(),
            filters: event.filters.clone().into_iter().collect(),
        },
        None => rest::TriggerConfig::Manual,
    }
}

/// A run of the ledger.
pub(crate) fn run(run: store::Run) -> rest::Run {
    rest::Run {
        run_id: run.run_id.as_uuid(),
        activity_id: run.activity.as_uuid(),
        activity_name: run.activity_name,
        trigger: run.trigger_key,
        scheduled_for: run.scheduled_for,
        fired_at: run.fired_at,
        completed_at: run.completed_at,
        outcome: run.outcome.as_str().to_owned(),
        error: run.error,
        workflow_id: run.workflow_id,
        trace_id: run.trace_id,
        usage: run.usage.map(|usage| rest::InstructionUsage {
            model: usage.model,
            prompt_sha256: usage.prompt_sha256,
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            milliseconds: usage.milliseconds,
        }),
    }
}

/// A delivery of the ledger.
pub(crate) fn delivery(delivery: store::Delivery) -> rest::Delivery {
    rest::Delivery {
        sink: delivery.sink,
        kind: delivery.kind,
        result: delivery.result.as_str().to_owned(),
        attempts: delivery.attempts,
        external_reference: delivery.external_reference,
        last_error: delivery.last_error,
        updated_at: delivery.updated_at,
    }
}

/// Feedback on a run; `is_sent` says whether there is a State Hub to tell it.
pub(crate) fn feedback(feedback: store::Feedback, is_sent: bool) -> rest::Feedback {
    rest::Feedback {
        id: feedback.id,
        run_id: feedback.run.as_uuid(),
        kind: feedback.kind.into(),
        comment: feedback.comment,
        author: feedback.author,
        created_at: feedback.created_at,
        note: match feedback.note_sent_at {
            Some(_) => rest::Note::Sent,
            None if is_sent => rest::Note::Pending,
            None => rest::Note::NotConfigured,
        },
        note_sent_at: feedback.note_sent_at,
        note_error: feedback.note_error,
    }
}

/// A type of event.
pub(crate) fn event_type(object: crds::EventType) -> rest::EventType {
    rest::EventType {
        name: object.name_any(),
        namespace: object.namespace().unwrap_or_default(),
        description: object.spec.description,
        schema: object.spec.schema,
        validation: match object.spec.validation {
            crds::ValidationMode::Enforce => "Enforce",
            crds::ValidationMode::Warn => "Warn",
        }
        .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const LIMIT: Duration = Duration::from_mins(15);

    fn new(body: Value) -> ActivityDefinitionSpec {
        new_spec(&serde_json::from_value(body).unwrap())
    }

    fn spec(spec: Value) -> ActivityDefinitionSpec {
        serde_json::from_value(spec).unwrap()
    }

    fn updated(before: Value, update: Value) -> Value {
        let update = serde_json::from_value(update).unwrap();
        serde_json::to_value(updated_spec(&spec(before), &update)).unwrap()
    }

    #[test]
    fn a_trigger_comes_back_as_it_was_sent() {
        for config in [
            json!({"trigger_type": "cron", "cron_expression": "0 9 * * 1-5",
                   "timezone": "Europe/Berlin", "misfire_policy": "catch_up"}),
            json!({"trigger_type": "event", "event_type": "user.created",
                   "filters": {"tier": "pro", "seats": 3}}),
            json!({"trigger_type": "manual"}),
        ] {
            let spec = new(json!({"name": "x", "trigger_config": config}));
            let shown = serde_json::to_value(trigger_config(spec.trigger.as_ref())).unwrap();
            assert_eq!(shown, config);
        }
    }

    #[test]
    fn an_update_leaves_alone_what_it_does_not_speak_of() {
        let before = json!({
            "displayName": "Daily", "tier": "Critical",
            "trigger": {"cron": {"expression": "0 9 * * *", "overlapPolicy": "BufferOne"}},
            "reports": [{"name": "hub", "stateHub": {"eventType": "daily"}}],
        });
        let disabled = updated(before.clone(), json!({"enabled": false}));
        assert_eq!(disabled["enabled"], false);
        let mut expected = serde_json::to_value(spec(before)).unwrap();
        expected["enabled"] = json!(false);
        assert_eq!(disabled, expected);
    }

    #[test]
    fn a_new_time_keeps_the_overlap_policy_and_drops_a_useless_window() {
        let after = updated(
            json!({"trigger": {"cron": {
                "expression": "0 9 * * *", "overlapPolicy": "BufferOne", "jitterSeconds": 5,
                "misfirePolicy": "CatchUp", "catchUpWindowSeconds": 60}}}),
            json!({"trigger_config": {"trigger_type": "cron", "cron_expression": "0 7 * * *"}}),
        );
        let cron = &after["trigger"]["cron"];
        assert_eq!(cron["expression"], "0 7 * * *");
        assert_eq!(cron["overlapPolicy"], "BufferOne");
        assert_eq!(cron["jitterSeconds"], 5);
        assert_eq!(cron["misfirePolicy"], "Skip");
        assert!(cron.get("catchUpWindowSeconds").is_none());
    }

    #[test]
    fn new_filters_replace_the_old_ones() {
        let after = updated(
            json!({"trigger": {"event": {"eventType": "a", "filters": {"tier": "pro"},
                                         "condition": "payload.seats > 1"}}}),
            json!({"trigger_config": {"trigger_type": "event", "event_type": "b",
                                      "filters": {"region": null}}}),
        );
        let event = &after["trigger"]["event"];
        assert_eq!(event["filters"], json!({"region": null}));
        assert_eq!(event["condition"], "payload.seats > 1");
    }

    #[test]
    fn what_could_never_run_is_refused_and_named() {
        let cron = |expression: &str, timezone: &str| {
            new(
                json!({"name": "x", "trigger_config": {"trigger_type": "cron",
                "cron_expression": expression, "timezone": timezone}}),
            )
        };
        let named =
            |name: &str| new(json!({"name": name, "trigger_config": {"trigger_type": "manual"}}));
        for (spec, field) in [
            (cron("61 * * * *", "UTC"), "trigger_config.cron_expression"),
            (cron("0 9 * * *", "Mars/Base"), "trigger_config.timezone"),
            (named(" "), "name"),
            (named(&"x".repeat(254)), "name"),
            (named("a\nb"), "name"),
        ] {
            let refused = check(&spec, None, LIMIT).unwrap_err();
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(refused.field.as_deref(), Some(field), "{}", refused.detail);
        }
        assert_eq!(
            check(&cron("0 9 * * 1-5", "Europe/Berlin"), None, LIMIT),
            Ok(())
        );
    }

    #[test]
    fn a_run_that_would_take_too_long_is_refused_with_the_arithmetic() {
        let long = spec(json!({"instruction":
            {"model": "m", "prompt": "p", "timeoutSeconds": 901}}));
        let refused = check(&long, None, LIMIT).unwrap_err();
        assert!(refused.detail.contains("901"), "{}", refused.detail);
    }
}
