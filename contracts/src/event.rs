//! The envelopes in which events come: ours, and CloudEvents 1.0 as structured JSON.
//!
//! Sources: the runbook's envelope `{event_id, type, source, occurred_at, subject, trace_id,
//! payload}`, and the CloudEvents 1.0.2 JSON format, section 3.

use chrono::{DateTime, Utc};
use domain::Event;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest event that is read, in bytes: NATS' default limit for a message.
pub const MAXIMUM_BYTES: usize = 1024 * 1024;

/// An event that can't be read. It is a dead letter, with this text as its reason.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEnvelope {
    /// Larger than the limit.
    #[error("the event has {size} bytes; at most {MAXIMUM_BYTES} are read")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// No JSON.
    #[error("the event is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// JSON of another shape.
    #[error(
        "the event is neither an activity-core envelope (event_id, type, source, occurred_at, \
         payload) nor a CloudEvent (specversion, id, type, source): {0}"
    )]
    Shape(serde_json::Error),
    /// A CloudEvent of another version.
    #[error("specversion is \"{0}\"; only CloudEvents 1.0 are read")]
    SpecVersion(String),
    /// An empty field.
    #[error("{0} is empty; it must identify the event")]
    Empty(&'static str),
}

/// The envelope of the reference runbook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The publisher's id; unique together with `source`.
    pub event_id: String,
    /// What happened, for example `user.created`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Who published it.
    pub source: String,
    /// When it happened (RFC 3339).
    pub occurred_at: DateTime<Utc>,
    /// What it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// What the publisher says about it.
    #[serde(default)]
    pub payload: Value,
}

/// A CloudEvent 1.0 in structured mode.
#[derive(Debug, Clone, Deserialize)]
struct CloudEvent {
    specversion: String,
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    source: String,
    time: Option<DateTime<Utc>>,
    subject: Option<String>,
    /// The distributed-tracing extension; its second field is the trace id.
    traceparent: Option<String>,
    #[serde(default)]
    data: Value,
}

/// Reads an event from either envelope. `received_at` stands in for a CloudEvent's `time`, which
/// is optional there.
pub fn parse(bytes: &[u8], received_at: DateTime<Utc>) -> Result<Event, InvalidEnvelope> {
    if bytes.len() > MAXIMUM_BYTES {
        return Err(InvalidEnvelope::TooLarge { size: bytes.len() });
    }
    let value: Value = serde_json::from_slice(bytes).map_err(InvalidEnvelope::NotJson)?;
    let event = if value.get("specversion").is_some() {
        from_cloud_event(value, received_at)?
    } else {
        serde_json::from_value::<Envelope>(value)
            .map_err(InvalidEnvelope::Shape)?
            .into()
    };
    for (name, value) in [
        ("event_id", &event.event_id),
        ("type", &event.event_type),
        ("source", &event.source),
    ] {
        if value.is_empty() {
            return Err(InvalidEnvelope::Empty(name));
        }
    }
    Ok(event)
}

impl From<Envelope> for Event {
    fn from(envelope: Envelope) -> Self {
        Self {
            event_id: envelope.event_id,
            event_type: envelope.event_type,
            source: envelope.source,
            occurred_at: envelope.occurred_at,
            subject: envelope.subject,
            trace_id: envelope.trace_id,
            payload: envelope.payload,
        }
    }
}

fn from_cloud_event(value: Value, received_at: DateTime<Utc>) -> Result<Event, InvalidEnvelope> {
    let event: CloudEvent = serde_json::from_value(value).map_err(InvalidEnvelope::Shape)?;
    if event.specversion != "1.0" {
        return Err(InvalidEnvelope::SpecVersion(event.specversion));
    }
    let trace_id = event
        .traceparent
        .as_deref()
        .and_then(|parent| parent.split('-').nth(1))
        .map(str::to_owned);
    Ok(Event {
        event_id: event.id,
        event_type: event.event_type,
        source: event.source,
        occurred_at: event.time.unwrap_or(received_at),
        subject: event.subject,
        trace_id,
        payload: event.data,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse_json(value: &Value) -> Result<Event, InvalidEnvelope> {
        parse(value.to_string().as_bytes(), DateTime::UNIX_EPOCH)
    }

    fn runbook_envelope() -> Value {
        json!({
            "event_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
            "type": "user.created",
            "source": "user-service",
            "occurred_at": "2026-11-24T09:00:00.123456+00:00",
            "subject": "user/42",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "payload": {"tier": "pro", "region": "eu"},
        })
    }

    #[test]
    fn reads_the_runbooks_envelope() {
        let event = parse_json(&runbook_envelope()).unwrap();
        assert_eq!(event.event_type, "user.created");
        assert_eq!(event.subject.as_deref(), Some("user/42"));
        assert_eq!(event.payload["tier"], "pro");
    }

    #[test]
    fn reads_a_cloud_event_with_its_trace() {
        let event = parse_json(&json!({
            "specversion": "1.0", "id": "1", "type": "user.created", "source": "/users",
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "data": {"tier": "pro"},
        }))
        .unwrap();
        assert_eq!(
            event.trace_id.as_deref(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        assert_eq!(event.occurred_at, DateTime::UNIX_EPOCH);
        assert_eq!(event.payload["tier"], "pro");
    }

    #[test]
    fn an_unreadable_event_says_what_is_wrong() {
        let without_id = {
            let mut value = runbook_envelope();
            value.as_object_mut().unwrap().remove("event_id");
            value
        };
        let text = parse_json(&without_id).unwrap_err().to_string();
        assert!(text.contains("event_id"), "{text}");
        let mut empty = runbook_envelope();
        empty["source"] = json!("");
        assert!(matches!(
            parse_json(&empty),
            Err(InvalidEnvelope::Empty("source"))
        ));
        assert!(matches!(
            parse(b"{", DateTime::UNIX_EPOCH),
            Err(InvalidEnvelope::NotJson(_))
        ));
        let version = json!({"specversion": "0.3", "id": "1", "type": "t", "source": "s"});
        assert!(matches!(
            parse_json(&version),
            Err(InvalidEnvelope::SpecVersion(_))
        ));
    }
}
