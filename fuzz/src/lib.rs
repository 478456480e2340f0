//! What is claimed of every input that comes from outside, however hostile: nothing panics, nothing
//! runs for ever, the same input leads to the same, and what is accepted keeps its promises.
//!
//! Each function takes bytes and panics when a claim is broken. `make fuzz` gives them to libFuzzer;
//! the tests here try the seeds and some thousand variants of each, so that a break that was found
//! once stays found.
//!
//! That what is refused is refused with a good text is for the tests of each crate to say.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::OnceLock;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::event::{Headers, Received};
use contracts::rest::{
    ActivityDefinitionUpdate, EventTypeUpdate, NewActivityDefinition, NewEventType, NewFeedback,
};
use crds::ActivityDefinitionSpec;
use domain::{
    ActivityId, CelCondition, Definition, Event, Filters, PromptTemplate, Trigger, route,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

/// The most times of a schedule that are looked at.
const OCCURRENCES: usize = 10;

/// A message and its headers: lines `name: value`, an empty line, the body.
pub fn envelope(data: &[u8]) {
    let (head, body) = split(data, b"\n\n");
    let head = String::from_utf8_lossy(head);
    let headers: Headers = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let received = Received {
        body,
        headers: &headers,
        at: moment(),
    };
    let read = || contracts::event::read(&received).map_err(|error| error.to_string());
    let event = read();
    assert_eq!(event, read(), "read twice");
    let Ok(event) = event else { return };
    for name in [&event.event_id, &event.event_type, &event.source] {
        assert!(!name.is_empty(), "{event:?}");
    }
    // Of the same event the same becomes, and its key names it alone.
    assert_eq!(event.trigger_key(), event.clone().trigger_key());
    for definition in definitions() {
        let decided = route(definition, &event);
        assert_eq!(decided, route(definition, &event), "decided twice");
    }
}

/// Filters and a payload, a line each.
pub fn filter(data: &[u8]) {
    let (filters, payload) = split(data, b"\n");
    let Ok(payload) = serde_json::from_slice::<Value>(payload) else {
        return;
    };
    if let Ok(filters) = serde_json::from_slice(filters)
        && let Ok(filters) = Filters::parse(filters)
    {
        assert_eq!(filters.check(&payload), filters.check(&payload));
    }
    // What asks for exactly what is there is satisfied.
    let Value::Object(members) = &payload else {
        return;
    };
    if let Ok(exact) = Filters::parse(members.clone().into_iter().collect()) {
        assert_eq!(exact.check(&payload), Ok(()), "{payload}");
    }
}

/// A condition and a payload, a line each.
pub fn condition(data: &[u8]) {
    let (source, payload) = split(data, b"\n");
    let source = String::from_utf8_lossy(source);
    let Ok(condition) = CelCondition::compile(&source) else {
        return;
    };
    assert_eq!(condition.source(), source);
    let event = event(serde_json::from_slice(payload).unwrap_or_default());
    assert_eq!(condition.evaluate(&event), condition.evaluate(&event));
}

/// A prompt and a context, with an empty line between.
pub fn template(data: &[u8]) {
    let (source, context) = split(data, b"\n\n");
    let source = String::from_utf8_lossy(source);
    let names = BTreeSet::from(["sales".to_owned()]);
    let Ok(template) = PromptTemplate::compile(&source, &names) else {
        return;
    };
    let context: Value = serde_json::from_slice(context).unwrap_or_default();
    let values = json!({
        "activity": {"id": Uuid::nil(), "name": "report"},
        "run": {"id": Uuid::nil(), "scheduled_for": null, "date": "2026-11-24"},
        "trigger": {"kind": "manual"},
        "context": {"sales": context},
    });
    assert_eq!(template.render(&values), template.render(&values));
}

/// The spec of an ActivityDefinition as JSON.
pub fn definition(data: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<ActivityDefinitionSpec>(data) else {
        return;
    };
    let validated = || spec.validate(ActivityId::new(Uuid::nil()), "fuzz");
    let Ok(definition) = validated() else {
        return;
    };
    assert_eq!(Ok(&definition), validated().as_ref(), "validated twice");
    // What was accepted is still accepted when the API server hands it back.
    let stored = serde_json::to_vec(&spec).and_then(|text| serde_json::from_slice(&text));
    assert_eq!(stored.ok(), Some(spec.clone()), "stored and read");
    let _ = definition.time_budget().total();
    let _ = route(&definition, &event(json!({"tier": "pro"})));
    if let Trigger::Cron(cron) = &definition.trigger {
        let range = moment()..moment() + TimeDelta::days(366);
        let times = cron.schedule.first_occurrences(range.clone(), OCCURRENCES);
        assert!(times.is_sorted_by(|one, next| one < next), "{times:?}");
        assert!(times.iter().all(|time| range.contains(time)), "{times:?}");
    }
}

/// A body of the REST API.
pub fn rest_body(data: &[u8]) {
    same_again::<NewActivityDefinition>(data);
    same_again::<ActivityDefinitionUpdate>(data);
    same_again::<NewEventType>(data);
    same_again::<EventTypeUpdate>(data);
    same_again::<NewFeedback>(data);
}

/// What is read from a body and written again is read as the same.
fn same_again<T: DeserializeOwned + Serialize + PartialEq + Debug>(data: &[u8]) {
    let Ok(body) = serde_json::from_slice::<T>(data) else {
        return;
    };
    let written = serde_json::to_vec(&body).expect("a body has only text keys");
    assert_eq!(serde_json::from_slice::<T>(&written).ok(), Some(body));
}

/// What every event is tried on.
fn definitions() -> &'static [Definition] {
    static DEFINITIONS: OnceLock<Vec<Definition>> = OnceLock::new();
    DEFINITIONS.get_or_init(|| {
        let triggers = [
            json!({"eventType": "user.created", "filters": {"tier": "pro", "address.city": "Bonn"}}),
            json!({"eventType": "user.created",
                   "condition": "payload.amount > 10 && event.type.startsWith('user')"}),
        ];
        triggers.map(|event| declared(json!({"trigger": {"event": event}}))).into()
    })
}

fn declared(spec: Value) -> Definition {
    let spec: ActivityDefinitionSpec = serde_json::from_value(spec).expect("a spec");
    spec.validate(ActivityId::new(Uuid::nil()), "fuzz")
        .expect("a valid spec")
}

fn event(payload: Value) -> Event {
    let plain = json!({
        "event_id": "evt-1", "type": "user.created", "source": "fuzz",
        "occurred_at": moment(), "subject": "user/42", "payload": payload,
    });
    contracts::event::parse(plain.to_string().as_bytes(), moment()).expect("an event")
}

fn moment() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 0).unwrap_or_default()
}

/// What comes before the first `separator`, and what after.
fn split<'data>(data: &'data [u8], separator: &[u8]) -> (&'data [u8], &'data [u8]) {
    let at = data
        .windows(separator.len())
        .position(|window| window == separator);
    match at {
        Some(at) => (&data[..at], &data[at + separator.len()..]),
        None => (&data[..0], data),
    }
}

#[cfg(test)]
mod tests;
