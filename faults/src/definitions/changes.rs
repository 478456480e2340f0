//! What a field is changed to: values that its schema allows, values that it forbids, and values
//! that only somebody can judge who knows what the field means.

use serde_json::{Map, Value, json};

use super::fields::{Field, pointer};

/// One change of one field.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// The field's path.
    pub(super) field: String,
    /// The words of which a refusal has to have one.
    pub(super) names: Vec<String>,
    /// What it is changed to; nothing takes it out.
    pub(super) value: Option<Value>,
    /// Whether that is right.
    pub(super) right: Right,
}

/// Whether a value is right, and who can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// It is.
    Yes,
    /// The API server refuses it by schema or rule.
    NotBySchema,
    /// Only the webhook and the operator know that it is not.
    NotByMeaning,
}

/// Every change of a field.
pub(super) fn changes(field: &Field) -> Vec<Change> {
    let change = |value: Option<Value>, right: Right| {
        let mut names = vec![field.name().to_owned()];
        if field.name() == "timeoutSeconds" {
            names.push("ACTIVITY_TIMEOUT_SECONDS".to_owned());
        }
        Change {
            field: field.path.clone(),
            names,
            value,
            right,
        }
    };
    let mut changes = Vec::new();
    if field.path == "activityId" {
        // What a definition is can't be changed, whatever the value.
        let id = json!("11111111-6a5e-4b6c-9d2f-3a1b2c4d5e6f");
        return vec![
            change(Some(id), Right::NotBySchema),
            change(Some(json!("not-a-uuid")), Right::NotBySchema),
            change(Some(json!(7)), Right::NotBySchema),
        ];
    }
    let all = [
        (Right::Yes, right_values(field)),
        (Right::NotBySchema, wrong_by_schema(field)),
        (Right::NotByMeaning, wrong_by_meaning(field)),
    ];
    for (right, values) in all {
        changes.extend(values.into_iter().map(|value| change(Some(value), right)));
    }
    let is_one_of_several = matches!(
        field.path.as_str(),
        "trigger.cron"
            | "trigger.event"
            | "context[].stateHub"
            | "context[].http"
            | "context[].previousReport"
            | "context[].http.headers[].value"
            | "context[].http.headers[].secretRef"
            | "reports[].stateHub"
            | "reports[].workingMemory"
            | "reports[].webhook"
    );
    let removed = if field.is_required || is_one_of_several {
        Right::NotBySchema
    } else {
        Right::Yes
    };
    changes.push(change(None, removed));
    changes
}

/// The spec with a change, and with whatever the field needs around it.
pub(super) fn apply(spec: &Value, change: &Change) -> Value {
    let mut spec = spec.clone();
    for (prefix, at, present, fragment) in surroundings() {
        let is_below = change
            .field
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        if is_below && spec.pointer(present).is_none() {
            set(&mut spec, at, Some(fragment));
        }
    }
    set(&mut spec, &pointer(&change.field), change.value.clone());
    match change.field.as_str() {
        "trigger.cron.catchUpWindowSeconds" if change.value.is_some() => {
            set(
                &mut spec,
                "/trigger/cron/misfirePolicy",
                Some(json!("CatchUp")),
            );
        }
        "trigger.cron.misfirePolicy" if change.value != Some(json!("CatchUp")) => {
            set(&mut spec, "/trigger/cron/catchUpWindowSeconds", None);
        }
        _ => {}
    }
    spec
}

/// Path, place, what shows that it is there already, and what is put there: outer ones first.
fn surroundings() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let context = |source: Value| json!([source]);
    let hub = json!({"name": "hub", "stateHub": {}});
    let web = json!({"name": "web", "http": {"url": "https://example.org/status"}});
    let before = json!({"name": "before", "previousReport": {}});
    let accept = json!([{"name": "Accept", "value": "text/plain"}]);
    let secret = json!([{"name": "Authorization", "secretRef": {"name": "web", "key": "token"}}]);
    let to_hub = json!([{"name": "hub", "stateHub": {"eventType": "triage"}}]);
    let to_memory = json!([{"name": "memory", "workingMemory": {"prefix": "triage"}}]);
    let to_hook = json!([{"name": "hook", "webhook": {"url": "https://example.org/hook"}}]);
    let signing = json!({"name": "hooks", "key": "signing"});
    let header = "/context/0/http/headers";
    vec![
        (
            "trigger.cron",
            "/trigger",
            "/trigger/cron",
            json!({"cron": {"expression": "0 9 * * *"}}),
        ),
        (
            "trigger.event",
            "/trigger",
            "/trigger/event",
            json!({"event": {"eventType": "user.created"}}),
        ),
        (
            "context[].stateHub",
            "/context",
            "/context/0/stateHub",
            context(hub.clone()),
        ),
        (
            "context[].http",
            "/context",
            "/context/0/http",
            context(web),
        ),
        (
            "context[].previousReport",
            "/context",
            "/context/0/previousReport",
            context(before),
        ),
        ("context[]", "/context", "/context/0", context(hub)),
        (
            "context[].http.headers[].value",
            header,
            "/context/0/http/headers/0/value",
            accept.clone(),
        ),
        (
            "context[].http.headers[].secretRef",
            header,
            "/context/0/http/headers/0/secretRef",
            secret,
        ),
        (
            "context[].http.headers[]",
            header,
            "/context/0/http/headers/0",
            accept,
        ),
        (
            "instruction",
            "/instruction",
            "/instruction",
            json!({"model": "m", "prompt": "p"}),
        ),
        (
            "reports[].stateHub",
            "/reports",
            "/reports/0/stateHub",
            to_hub.clone(),
        ),
        (
            "reports[].workingMemory",
            "/reports",
            "/reports/0/workingMemory",
            to_memory,
        ),
        (
            "reports[].webhook",
            "/reports",
            "/reports/0/webhook",
            to_hook,
        ),
        (
            "reports[].webhook.signingSecretRef",
            "/reports/0/webhook/signingSecretRef",
            "/reports/0/webhook/signingSecretRef",
            signing,
        ),
        ("reports[]", "/reports", "/reports/0", to_hub),
        ("tasks", "/tasks", "/tasks", json!({})),
        ("verification", "/verification", "/verification", json!({})),
    ]
}

/// Sets or takes out what is at a pointer whose parent is there.
fn set(spec: &mut Value, pointer: &str, value: Option<Value>) {
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        return;
    };
    match (spec.pointer_mut(parent), value) {
        (Some(Value::Object(parent)), Some(value)) => {
            parent.insert(last.to_owned(), value);
        }
        (Some(Value::Object(parent)), None) => {
            parent.remove(last);
        }
        _ => {}
    }
}

/// Values that are right, by what the field means or by its schema.
fn right_values(field: &Field) -> Vec<Value> {
    if let Some(values) = known(&field.path) {
        return values;
    }
    let schema = &field.schema;
    if let Some(values) = schema["enum"].as_array() {
        return values.clone();
    }
    match schema["type"].as_str().unwrap_or_default() {
        "boolean" => vec![json!(true), json!(false)],
        "integer" => {
            let low = integer(&schema["minimum"]).unwrap_or(1);
            let high = integer(&schema["maximum"]).unwrap_or(1000);
            if field.name() == "timeoutSeconds" {
                // All of them together have to fit under the limit of an activity.
                return vec![json!(low), json!(30), json!(61)];
            }
            vec![json!(low), json!(low + (high - low) / 3), json!(high)]
        }
        "string" => vec![json!("a"), json!("word"), json!("daily-triage")],
        _ => Vec::new(),
    }
}

/// The right values of fields of which the schema does not say all.
fn known(path: &str) -> Option<Vec<Value>> {
    let reports: Vec<Value> = (0..16)
        .map(|number| json!({"name": format!("r{number}"), "stateHub": {"eventType": "x"}}))
        .collect();
    let sources: Vec<Value> = (0..16)
        .map(|number| json!({"name": format!("s{number}"), "previousReport": {}}))
        .collect();
    let values = match path {
        "displayName" => json!(["Daily triage", "Tägliche Übersicht ☀", "x".repeat(253)]),
        "trigger" => {
            json!([{"cron": {"expression": "15 3 * * 0"}}, {"event": {"eventType": "a.b"}}])
        }
        "trigger.cron" => json!([{"expression": "1 2 3 4 *", "timezone": "Asia/Tokyo"}]),
        "trigger.cron.expression" => json!([
            "0 9 * * 1-5",
            "*/20 8-17 * * *",
            "0 0 1 1 *",
            "@daily",
            "@monthly",
            "5 4 29 2 *",
            "30 0 9 * * 1 *",
            "0 9 1,15 * *"
        ]),
        "trigger.cron.timezone" => json!([
            "Europe/Berlin",
            "America/New_York",
            "Asia/Kathmandu",
            "Pacific/Apia",
            "UTC"
        ]),
        "trigger.cron.startTime" => json!(["2026-01-01T00:00:00Z", "2026-06-01T12:30:00+02:00"]),
        "trigger.cron.endTime" => json!(["2050-01-01T00:00:00Z", "2060-06-01T12:30:00-05:00"]),
        "trigger.event" => json!([{"eventType": "order.paid", "ordering": "BySubject"}]),
        "trigger.event.eventType" => json!(["user.created", "A", "order-paid_v2"]),
        "trigger.event.condition" => json!(["payload.tier == 'pro'", "size(payload) > 0", "true"]),
        "trigger.event.filters" => json!([
            {}, {"tier": "pro"}, {"n": 1, "yes": true, "deep": {"list": [1, null]}}]),
        "context" => json!([[], sources, [{"name": "hub", "stateHub": {"limit": 5}}]]),
        "context[].name" | "context[].http.headers[].secretRef.key" => json!(["a", "theName_1"]),
        "context[].stateHub" => json!([{}, {"eventType": "triage", "limit": 500}]),
        "context[].http" => json!([{"url": "http://example.org"}]),
        "context[].http.url" | "reports[].webhook.url" => {
            json!(["https://example.org/a?b=c", "http://localhost:1/x"])
        }
        "context[].http.headers" => json!([[], [{"name": "X-A", "value": ""}]]),
        "context[].http.headers[].name" => json!(["X-Token", "accept"]),
        "context[].http.headers[].value" => json!(["", "text/html; q=0.5"]),
        "context[].http.headers[].secretRef" => json!([{"name": "other", "key": "k"}]),
        "context[].previousReport" => json!([{}]),
        "instruction" => json!([{"model": "large", "prompt": "Say {{ run.date }}."}]),
        "instruction.prompt" => json!([
            "p",
            "{{ run.date }}",
            "{% if run.date %}yes{% endif %}",
            "y".repeat(65536)
        ]),
        "instruction.outputSchema" => json!([
            {}, {"type": "object", "required": ["report"], "properties": {"report": {"type": "string"}}}]),
        "reports" => json!([[], reports, [{"name": "m", "workingMemory": {"prefix": "p"}}]]),
        "reports[].stateHub" => json!([{"eventType": "daily_triage"}]),
        "reports[].webhook" => json!([{"url": "https://example.org/hook"}]),
        "reports[].webhook.signingSecretRef" => json!([{"name": "s", "key": "k"}]),
        "reports[].workingMemory" => json!([{"prefix": "daily"}]),
        "tasks" => json!([{}, {"type": "IssueCore", "dryRun": true}]),
        "verification" => json!([{}, {"graceSeconds": 60}]),
        _ => return None,
    };
    values.as_array().cloned()
}

/// Values that the schema forbids.
fn wrong_by_schema(field: &Field) -> Vec<Value> {
    let schema = &field.schema;
    let mut values = Vec::new();
    match schema["type"].as_str().unwrap_or_default() {
        "boolean" => values.extend([json!("yes"), json!(1)]),
        "integer" => {
            values.extend([json!("ten"), json!(1.5)]);
            values.extend(integer(&schema["minimum"]).map(|low| json!(low - 1)));
            values.extend(integer(&schema["maximum"]).map(|high| json!(high + 1)));
        }
        "string" => {
            values.push(json!(7));
            if schema["enum"].is_array() {
                values.push(json!("Sometimes"));
            }
            if schema["format"] == "date-time" {
                values.push(json!("tomorrow"));
            }
            if integer(&schema["minLength"]).is_some_and(|least| least > 0) {
                values.push(json!(""));
            }
            if schema["pattern"].is_string() {
                values.push(json!("../up\n"));
            }
            let most = integer(&schema["maxLength"]).and_then(|most| usize::try_from(most).ok());
            values.extend(most.map(|most| json!("z".repeat(most + 1))));
        }
        "array" => {
            values.extend([json!("one"), json!([7])]);
            let twice = match field.path.as_str() {
                "context" => {
                    json!([{"name": "a", "previousReport": {}}, {"name": "a", "stateHub": {}}])
                }
                "reports" => json!([{"name": "a", "workingMemory": {"prefix": "p"}},
                                    {"name": "a", "stateHub": {"eventType": "x"}}]),
                _ => json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
            };
            values.push(twice);
        }
        "object" => {
            values.extend([json!(7), json!("text")]);
            if schema["properties"].is_object() {
                values.push(json!({"colour": "blue"}));
            }
            if schema["maxProperties"].is_number() {
                let many = (0..33).map(|number| (format!("k{number}"), json!(1)));
                values.push(Value::Object(many.collect::<Map<_, _>>()));
            }
        }
        _ => {}
    }
    values
}

/// Values that the schema can't judge.
fn wrong_by_meaning(field: &Field) -> Vec<Value> {
    let values = match field.path.as_str() {
        "trigger.cron.expression" => json!(["61 9 * * *", "0 0 30 2 *", "often", "* * * *"]),
        "trigger.cron.timezone" => json!(["Mars/Base", "CEST"]),
        "trigger.event.condition" => json!(["payload.tier = 'pro'", "playload.tier", "1 +"]),
        "instruction.prompt" => json!(["{{ run.date", "{{ context.nothing }}", "{% for %}"]),
        "instruction.outputSchema" => json!([{"type": "objekt"}, {"required": 7}]),
        "instruction.timeoutSeconds" => json!([901, 86400]),
        "reports[].timeoutSeconds" => json!([901, 3600]),
        _ => return Vec::new(),
    };
    values.as_array().cloned().unwrap_or_default()
}

/// The limits of a schema are numbers with a point.
fn integer(value: &Value) -> Option<i64> {
    value.to_string().trim_end_matches(".0").parse().ok()
}
