use chrono::DateTime;
use contracts::event::Headers;
use contracts::names;
use domain::{ActivityId, RunId, TriggerKey};
use serde_json::{Value, json};
use store::{EventTypeRow, MirrorRow};
use uuid::Uuid;

use super::*;

fn definition(number: u128, object: &str, event: &Value) -> MirrorRow {
    let (namespace, name) = object.split_once('/').unwrap();
    let event_type = event["eventType"].as_str().unwrap().to_owned();
    MirrorRow {
        activity_id: Uuid::from_u128(number),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: Uuid::from_u128(number),
        generation: 1,
        display_name: name.to_owned(),
        enabled: true,
        event_type: Some(event_type),
        spec: json!({"trigger": {"event": event}}),
    }
}

fn event_type(namespace: &str, validation: &str, schema: &Value) -> EventTypeRow {
    EventTypeRow {
        name: "user.created".to_owned(),
        namespace: namespace.to_owned(),
        uid: Uuid::nil(),
        generation: 1,
        description: None,
        schema: Some(schema.clone()),
        validation: validation.to_owned(),
    }
}

fn user_created(payload: &Value) -> Vec<u8> {
    json!({
        "event_id": "1", "type": "user.created", "source": "user-service",
        "occurred_at": "2026-11-24T09:00:00Z", "trace_id": "abc", "payload": payload,
    })
    .to_string()
    .into_bytes()
}

fn plan(body: &[u8], definitions: Vec<MirrorRow>, event_types: Vec<EventTypeRow>) -> String {
    decide_on(body, &Snapshot::build(definitions, event_types)).to_string()
}

fn decide_on(body: &[u8], snapshot: &Snapshot) -> Decision {
    let received = Received {
        body,
        headers: &Headers::default(),
        at: DateTime::UNIX_EPOCH,
    };
    decide(&received, snapshot)
}

#[test]
fn starts_what_matches_and_says_why_the_others_do_not() {
    let mut disabled = definition(4, "team/off", &json!({"eventType": "user.created"}));
    disabled.enabled = false;
    disabled.spec["enabled"] = json!(false);
    let printed = plan(
        &user_created(&json!({"tier": "pro"})),
        vec![
            definition(1, "team/all", &json!({"eventType": "user.created"})),
            definition(
                2,
                "team/free",
                &json!({"eventType": "user.created", "filters": {"tier": "free"}}),
            ),
            definition(
                3,
                "team/never",
                &json!({"eventType": "user.created", "condition": "payload.tier == 'gold'"}),
            ),
            disabled,
            definition(5, "team/other", &json!({"eventType": "user.deleted"})),
        ],
        vec![],
    );
    let activity = ActivityId::new(Uuid::from_u128(1));
    let trigger = TriggerKey::Event {
        source: "user-service".to_owned(),
        event_id: "1".to_owned(),
    };
    let workflow = names::event_workflow_id(activity, RunId::of(activity, &trigger));
    assert_eq!(
        printed,
        format!(
            "start team/all as {workflow}\n\
         skip team/free: payload.tier is \"pro\", the filter asks for \"free\"\n\
         skip team/never: the condition answers false\n\
         skip team/off: the definition is disabled\n"
        )
    );
}

#[test]
fn a_condition_that_errors_is_a_dead_letter_and_holds_up_nobody_else() {
    let printed = plan(
        &user_created(&json!({})),
        vec![
            definition(
                1,
                "team/broken",
                &json!({"eventType": "user.created", "condition": "payload.tier == 'pro'"}),
            ),
            definition(2, "team/sound", &json!({"eventType": "user.created"})),
        ],
        vec![],
    );
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 2, "{printed}");
    assert!(lines[0].starts_with("start team/sound as "), "{printed}");
    assert!(
        lines[1].starts_with("dead letter ConditionError: team/broken: condition: "),
        "{printed}"
    );
}

#[test]
fn an_unreadable_event_is_a_dead_letter() {
    let printed = plan(b"{", vec![], vec![]);
    assert!(
        printed.starts_with("dead letter InvalidEnvelope: the event is not JSON"),
        "{printed}"
    );
}

#[test]
fn an_event_that_nobody_waits_for_leads_to_nothing() {
    assert_eq!(plan(&user_created(&json!({})), vec![], vec![]), "");
}

#[test]
fn an_enforced_schema_holds_up_its_own_namespace_only() {
    let printed = plan(
        &user_created(&json!({"tier": 1})),
        vec![
            definition(1, "team/one", &json!({"eventType": "user.created"})),
            definition(2, "other/one", &json!({"eventType": "user.created"})),
        ],
        vec![event_type(
            "team",
            "Enforce",
            &json!({"properties": {"tier": {"type": "string"}}}),
        )],
    );
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 2, "{printed}");
    assert!(lines[0].starts_with("start other/one as "), "{printed}");
    assert!(
        lines[1].starts_with("dead letter SchemaViolation: team/user.created: payload/tier: "),
        "{printed}"
    );
}

#[test]
fn the_definitions_that_a_broken_schema_holds_back_are_named() {
    let snapshot = Snapshot::build(
        vec![definition(
            1,
            "team/one",
            &json!({"eventType": "user.created"}),
        )],
        vec![event_type(
            "team",
            "Enforce",
            &json!({"required": ["region"]}),
        )],
    );
    let decision = decide_on(&user_created(&json!({})), &snapshot);
    let [held_back] = &decision.held_back[..] else {
        panic!("{decision:?}");
    };
    assert_eq!(held_back.object.to_string(), "team/one");
    assert_eq!(held_back.by.to_string(), "team/user.created");
    assert_eq!(held_back.reason, Reason::SchemaViolation);
}

#[test]
fn order_is_kept_by_subject_where_the_definition_asks_for_it() {
    let in_order = json!({"eventType": "user.created", "ordering": "BySubject"});
    let snapshot = Snapshot::build(
        vec![
            definition(1, "team/in-order", &in_order),
            definition(2, "team/any", &json!({"eventType": "user.created"})),
        ],
        vec![],
    );
    let orders = |subject: &Value| {
        let mut event: Value = serde_json::from_slice(&user_created(&json!({}))).unwrap();
        event["subject"] = subject.clone();
        let decision = decide_on(event.to_string().as_bytes(), &snapshot);
        let starts = decision.starts.into_iter();
        starts.map(|start| start.in_order_of).collect::<Vec<_>>()
    };
    assert_eq!(
        orders(&json!("user/42")),
        [Some("user/42".to_owned()), None]
    );
    assert_eq!(orders(&json!(null)), [None, None]);
}

#[test]
fn a_schema_that_warns_lets_the_event_through() {
    let printed = plan(
        &user_created(&json!({"tier": 1})),
        vec![definition(
            1,
            "team/one",
            &json!({"eventType": "user.created"}),
        )],
        vec![event_type("team", "Warn", &json!({"required": ["region"]}))],
    );
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("start team/one as "), "{printed}");
    assert!(
        lines[1].starts_with("warn SchemaViolation: team/user.created: "),
        "{printed}"
    );
}

#[test]
fn an_event_for_a_definition_that_cannot_be_read_is_not_lost() {
    let mut newer = definition(1, "team/newer", &json!({"eventType": "user.created"}));
    newer.spec = json!({"trigger": {"event": {"eventType": 7}}});
    let mut newer_and_off = newer.clone();
    newer_and_off.enabled = false;
    newer_and_off.name = "off".to_owned();
    let printed = plan(
        &user_created(&json!({})),
        vec![newer, newer_and_off],
        vec![event_type("other", "Enforce", &json!({"type": "nothing"}))],
    );
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 3, "{printed}");
    assert_eq!(lines[0], "skip team/off: the definition is disabled");
    assert!(
        lines[1].starts_with("dead letter UnreadableDefinition: other/user.created: schema: "),
        "{printed}"
    );
    assert!(
        lines[2].starts_with("dead letter UnreadableDefinition: team/newer: "),
        "{printed}"
    );
}

#[test]
fn equal_event_ids_of_two_sources_are_two_runs() {
    let snapshot = Snapshot::build(
        vec![definition(
            1,
            "team/all",
            &json!({"eventType": "user.created"}),
        )],
        vec![],
    );
    let run = |source: &str| {
        let mut event: Value = serde_json::from_slice(&user_created(&json!({}))).unwrap();
        event["source"] = json!(source);
        let decision = decide_on(event.to_string().as_bytes(), &snapshot);
        decision.starts[0].start.run_id
    };
    assert_ne!(run("users"), run("billing"));
    assert_eq!(run("users"), run("users"));
}
