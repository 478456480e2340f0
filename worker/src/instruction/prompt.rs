//! What a prompt sees, and how the conversation with the model begins.

use contracts::step::RunStart;
use contracts::workflow::{RunTrigger, format_time};
use domain::{Definition, OutputSchema, RunId};
use serde_json::{Map, Value, json};

use super::endpoint::Message;
use crate::error::StepError;
use crate::report::date_of;

/// The values behind the names that a template may use.
pub(super) fn values(
    definition: &Definition,
    start: &RunStart,
    run_id: RunId,
    context: &Map<String, Value>,
) -> Result<Value, StepError> {
    let trigger = start.trigger_key().map_err(StepError::InvalidStart)?;
    let scheduled_for = trigger.scheduled_for();
    let mut values = json!({
        "activity": {"id": definition.id.as_uuid(), "name": definition.name},
        "run": {
            "id": run_id.as_uuid(),
            "scheduled_for": scheduled_for.map(format_time),
            "date": date_of(definition, scheduled_for, start.fired_at).to_string(),
        },
        "trigger": {"kind": trigger.kind().as_str()},
        "context": context,
    });
    if let RunTrigger::Event {
        event_id,
        event_type,
        source,
        occurred_at,
        subject,
        payload,
        trace_id: _,
    } = &start.request.trigger
    {
        values["event"] = json!({
            "event_id": event_id,
            "type": event_type,
            "source": source,
            "occurred_at": format_time(*occurred_at),
            "subject": subject,
            "payload": payload,
        });
    }
    Ok(values)
}

/// The conversation's beginning. The schema is told in words too: far from every compatible
/// endpoint knows a response format.
pub(super) fn messages(prompt: &str, schema: Option<&OutputSchema>) -> Vec<Message> {
    let instruction = schema.map(|schema| {
        Message::system(format!(
            "Answer with one JSON document and nothing else: no explanation, no Markdown. It must \
             satisfy this JSON Schema:\n{}",
            schema.as_json()
        ))
    });
    instruction
        .into_iter()
        .chain([Message::user(prompt.to_owned())])
        .collect()
}

/// What is said to an answer that does not satisfy the schema.
pub(super) fn repair(problem: &str) -> String {
    format!(
        "That answer can't be used: {problem}. Answer again with the corrected JSON document and \
         nothing else."
    )
}

#[cfg(test)]
mod tests {
    use contracts::workflow::RunRequest;
    use domain::ActivityId;
    use uuid::Uuid;

    use super::*;

    fn definition() -> Definition {
        let spec: crds::ActivityDefinitionSpec = serde_json::from_value(json!({
            "displayName": "Daily triage",
            "trigger": {"cron": {"expression": "30 0 * * *", "timezone": "Europe/Berlin"}},
        }))
        .unwrap();
        spec.validate(ActivityId::new(Uuid::from_u128(1)), "daily")
            .unwrap()
    }

    fn start(trigger: RunTrigger) -> RunStart {
        RunStart {
            request: RunRequest {
                activity_id: Uuid::from_u128(1),
                trigger,
            },
            workflow_id: "activity-run-00000000-0000-0000-0000-000000000001-2026-11-23T23:30:00Z"
                .to_owned(),
            workflow_run_id: "w".to_owned(),
            fired_at: "2026-11-23T23:30:01Z".parse().unwrap(),
        }
    }

    fn values_of(trigger: RunTrigger) -> Value {
        let run = RunId::new(Uuid::from_u128(7));
        let context = Map::from_iter([("hub".to_owned(), json!([1, 2]))]);
        values(&definition(), &start(trigger), run, &context).unwrap()
    }

    #[test]
    fn a_scheduled_run_shows_its_time_and_its_day() {
        assert_eq!(
            values_of(RunTrigger::Schedule),
            json!({
                "activity": {"id": "00000000-0000-0000-0000-000000000001", "name": "Daily triage"},
                "run": {
                    "id": "00000000-0000-0000-0000-000000000007",
                    "scheduled_for": "2026-11-23T23:30:00Z",
                    "date": "2026-11-24",
                },
                "trigger": {"kind": "schedule"},
                "context": {"hub": [1, 2]},
            })
        );
    }

    #[test]
    fn an_events_run_shows_the_event() {
        let values = values_of(RunTrigger::Event {
            event_id: "1".to_owned(),
            event_type: "user.created".to_owned(),
            source: "users".to_owned(),
            occurred_at: "2026-11-23T23:00:00Z".parse().unwrap(),
            subject: Some("user/42".to_owned()),
            trace_id: None,
            payload: json!({"tier": "pro"}),
        });
        assert_eq!(values["trigger"]["kind"], "event");
        assert_eq!(values["event"]["type"], "user.created");
        assert_eq!(values["event"]["payload"]["tier"], "pro");
        assert_eq!(values["run"]["scheduled_for"], Value::Null);
    }

    #[test]
    fn the_schema_is_told_before_the_question() {
        let schema = OutputSchema::compile(json!({"type": "object"})).unwrap();
        let told = messages("why?", Some(&schema));
        assert_eq!(told.len(), 2);
        assert!(told[0].content.contains("{\"type\":\"object\"}"));
        assert_eq!(told[1].content, "why?");
        assert_eq!(messages("why?", None).len(), 1);
    }
}
