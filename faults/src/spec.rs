//! The specs that the workloads declare.

use serde_json::{Value, json};

/// Every weekday at nine.
pub(crate) fn weekdays() -> Value {
    json!({"trigger": {"cron": {"expression": "0 9 * * 1-5", "timezone": "Europe/Berlin"}}})
}

/// What differs from [`weekdays`] in every field of the trigger.
pub(crate) fn monthly() -> Value {
    json!({"displayName": "monthly", "trigger": {"cron": {
        "expression": "30 6 1 * *", "timezone": "America/New_York", "jitterSeconds": 7,
        "overlapPolicy": "BufferOne", "misfirePolicy": "CatchUp", "catchUpWindowSeconds": 3600,
        "startTime": "2026-01-01T00:00:00Z"}}})
}

/// There is no minute 61, which the CRD's schema can't see.
pub(crate) fn impossible() -> Value {
    json!({"trigger": {"cron": {"expression": "61 9 * * *"}}})
}

/// Started by an event of a type of its own.
pub(crate) fn on_event(event_type: &str) -> Value {
    json!({"trigger": {"event": {"eventType": event_type}}})
}

/// Adds every kind of sink, an instruction and every kind of context.
pub(crate) fn with_every_sink(mut spec: Value, webhook: &str) -> Value {
    let rest = json!({
        "context": [{"name": "hub", "stateHub": {"limit": 5}},
                    {"name": "previous", "previousReport": {}}],
        "instruction": {
            "model": "triage", "maxTokens": 500, "timeoutSeconds": 15,
            "prompt": "It is {{ run.date }}. {{ context.hub | tojson }}",
            "outputSchema": {"type": "object", "required": ["report", "tasks"],
                             "properties": {"report": {"type": "string"},
                                            "tasks": {"type": "array",
                                                      "items": {"type": "string"}}}}},
        "reports": [
            {"name": "hub", "stateHub": {"eventType": "daily_triage"}, "timeoutSeconds": 15},
            {"name": "memory", "workingMemory": {"prefix": "daily-triage"}, "timeoutSeconds": 15},
            {"name": "hook", "webhook": {"url": format!("{webhook}/hook")}, "timeoutSeconds": 15}],
        "tasks": {"type": "IssueCore"},
    });
    if let (Some(spec), Some(rest)) = (spec.as_object_mut(), rest.as_object()) {
        spec.extend(rest.clone());
    }
    spec
}

/// Adds two sinks and no instruction.
pub(crate) fn with_two_sinks(mut spec: Value) -> Value {
    spec["reports"] = json!([
        {"name": "hub", "stateHub": {"eventType": "daily_triage"}, "timeoutSeconds": 15},
        {"name": "memory", "workingMemory": {"prefix": "daily-triage"}, "timeoutSeconds": 15}]);
    spec
}
