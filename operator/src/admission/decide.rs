//! Decides on one admission request.

use std::time::Duration;

use crds::{ActivityDefinitionSpec, EventTypeSpec, MaintenanceWindowSpec};
use domain::{ActivityId, OutputSchema};
use kube::api::DynamicObject;
use kube::core::admission::AdmissionRequest;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

/// Accepts, or refuses with a text that names the field and what would be right.
pub(super) fn decide(
    request: &AdmissionRequest<DynamicObject>,
    time_limit: Duration,
) -> Result<(), String> {
    let Some(object) = &request.object else {
        return Ok(());
    };
    let spec = &object.data["spec"];
    // An object on its way out must be able to lose its finalizer, and one that was accepted
    // before must be able to change its labels, whatever we think of its spec by now.
    let unchanged = request
        .old_object
        .as_ref()
        .is_some_and(|old| old.data["spec"] == *spec);
    if unchanged || object.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    match request.kind.kind.as_str() {
        "ActivityDefinition" => {
            let name = object.metadata.name.as_deref().unwrap_or_default();
            check_definition(&parse::<ActivityDefinitionSpec>(spec)?, name, time_limit)
        }
        "EventType" => check_event_type(&parse::<EventTypeSpec>(spec)?),
        "MaintenanceWindow" => parse::<MaintenanceWindowSpec>(spec)?
            .validate()
            .map(|_| ())
            .map_err(|problem| format!("spec.{problem}")),
        // The registration names these three only.
        _ => Ok(()),
    }
}

fn parse<T: DeserializeOwned>(spec: &Value) -> Result<T, String> {
    T::deserialize(spec).map_err(|error| format!("spec: {error}"))
}

fn check_definition(
    spec: &ActivityDefinitionSpec,
    name: &str,
    time_limit: Duration,
) -> Result<(), String> {
    // The identity matters to no rule, and a new object has none yet.
    let id = ActivityId::new(spec.activity_id.unwrap_or(Uuid::nil()));
    let definition = spec
        .validate(id, name)
        .map_err(|problem| format!("spec.{problem}"))?;
    definition
        .time_budget()
        .check(time_limit)
        .map_err(|exceeded| format!("spec: {exceeded}"))
}

fn check_event_type(spec: &EventTypeSpec) -> Result<(), String> {
    match &spec.schema {
        Some(schema) => OutputSchema::compile(schema.clone())
            .map(|_| ())
            .map_err(|problem| format!("spec.schema: {problem}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::admission::AdmissionReview;
    use serde_json::json;

    use super::*;

    fn decide_on(kind: &str, spec: &Value, old: Option<&Value>) -> Result<(), String> {
        let object = |spec: &Value| {
            json!({"apiVersion": "activity-core.io/v1alpha1", "kind": kind,
                   "metadata": {"name": "x"}, "spec": spec})
        };
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "1", "name": "x", "namespace": "one", "operation": "CREATE",
                "userInfo": {},
                "kind": {"group": "activity-core.io", "version": "v1alpha1", "kind": kind},
                "resource": {"group": "activity-core.io", "version": "v1alpha1", "resource": "x"},
                "object": object(spec), "oldObject": old.map(object),
            },
        });
        let review: AdmissionReview<DynamicObject> = serde_json::from_value(review).unwrap();
        decide(&review.try_into().unwrap(), Duration::from_mins(15))
    }

    #[test]
    fn refuses_each_thing_that_the_schema_cannot_see() {
        let cron = |expression: &str, zone: &str| json!({"trigger": {"cron": {"expression": expression, "timezone": zone}}});
        let instruction = |prompt: &str, seconds: u32| json!({"instruction": {"model": "m", "prompt": prompt, "timeoutSeconds": seconds}});
        let schema = json!({"instruction": {
            "model": "m", "prompt": "p", "outputSchema": {"type": "objekt"}}});
        let condition = json!({"trigger": {"event": {
            "eventType": "user.created", "condition": "payload.tier = 'pro'"}}});
        for (spec, field) in [
            (cron("61 9 * * *", "UTC"), "spec.trigger.cron.expression"),
            (cron("0 9 * * *", "Mars/Base"), "spec.trigger.cron.timezone"),
            (condition, "spec.condition"),
            (instruction("{{ nothing }}", 1), "spec.instruction.prompt"),
            (instruction("p", 901), "ACTIVITY_TIMEOUT_SECONDS"),
            (schema, "spec.instruction.outputSchema"),
        ] {
            let refusal = decide_on("ActivityDefinition", &spec, None).unwrap_err();
            assert!(refusal.contains(field), "{refusal} does not name {field}");
        }
        let event_type = json!({"schema": {"type": "objekt"}});
        assert!(decide_on("EventType", &event_type, None).is_err());
        let window = json!({"recurrence": {"cron": "61 * * * *", "durationSeconds": 60},
                            "reason": "r", "approvedBy": "a"});
        assert!(decide_on("MaintenanceWindow", &window, None).is_err());
    }

    #[test]
    fn accepts_what_is_right() {
        let spec = json!({"trigger": {"cron": {"expression": "0 9 * * 1-5"}}});
        assert_eq!(decide_on("ActivityDefinition", &spec, None), Ok(()));
        assert_eq!(decide_on("EventType", &json!({}), None), Ok(()));
    }

    #[test]
    fn an_unchanged_spec_is_never_in_the_way_of_a_label() {
        let spec = json!({"trigger": {"cron": {"expression": "61 9 * * *"}}});
        assert!(decide_on("ActivityDefinition", &spec, None).is_err());
        assert_eq!(decide_on("ActivityDefinition", &spec, Some(&spec)), Ok(()));
    }
}
