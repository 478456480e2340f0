//! The envelopes in which events come: ours, `{event_id, type, source, occurred_at, subject,
//! trace_id, payload}`, and CloudEvents 1.0 in its structured and binary modes.

mod cloud_event;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::Event;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::trace_context::{self, TRACEPARENT};
use cloud_event::Mode;

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
    /// CloudEvents in another format, or several of them.
    #[error(
        "the content type is \"{0}\"; publish each CloudEvent as a message of its own, as \
         application/cloudevents+json or in binary mode"
    )]
    Format(String),
    /// A header of a CloudEvent in binary mode is missing or unreadable.
    #[error("the header {name} {problem}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An attribute of a CloudEvent is unreadable.
    #[error("{name} {problem}")]
    Attribute {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
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

/// The headers that came with an event. A name's case does not matter, and where a name comes
/// several times the first counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(BTreeMap<String, String>);

impl Headers {
    /// The value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        self.0.get(&name).map(String::as_str)
    }
}

impl<N: AsRef<str>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut map = BTreeMap::new();
        for (name, value) in headers {
            map.entry(name.as_ref().to_ascii_lowercase())
                .or_insert_with(|| value.into());
        }
        Self(map)
    }
}

/// An event as it came.
#[derive(Debug, Clone, Copy)]
pub struct Received<'event> {
    /// The message.
    pub body: &'event [u8],
    /// Its headers.
    pub headers: &'event Headers,
    /// When the stream took it in. It stands in for a CloudEvent's `time`, which is optional.
    pub at: DateTime<Utc>,
}

/// Reads an event from any of the envelopes. Where the envelope names no trace, a `traceparent`
/// among the headers does.
pub fn read(received: &Received<'_>) -> Result<Event, InvalidEnvelope> {
    let size = received.body.len();
    if size > MAXIMUM_BYTES {
        return Err(InvalidEnvelope::TooLarge { size });
    }
    let mut event = match cloud_event::mode(received.headers)? {
        Some(Mode::Binary) => cloud_event::binary(received)?,
        Some(Mode::Structured) => cloud_event::structured(json(received.body)?, received.at)?,
        None => {
            let value = json(received.body)?;
            if value.get("specversion").is_some() {
                cloud_event::structured(value, received.at)?
            } else {
                serde_json::from_value::<Envelope>(value)
                    .map_err(InvalidEnvelope::Shape)?
                    .into()
            }
        }
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
    if event.trace_id.as_deref().is_none_or(str::is_empty) {
        let traceparent = received.headers.get(TRACEPARENT);
        event.trace_id = traceparent
            .and_then(trace_context::trace_id)
            .map(str::to_owned);
    }
    Ok(event)
}

/// Reads an event that came without headers.
pub fn parse(body: &[u8], received_at: DateTime<Utc>) -> Result<Event, InvalidEnvelope> {
    read(&Received {
        body,
        headers: &Headers::default(),
        at: received_at,
    })
}

fn json(body: &[u8]) -> Result<Value, InvalidEnvelope> {
    serde_json::from_slice(body).map_err(InvalidEnvelope::NotJson)
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
    fn a_header_names_the_trace_where_the_envelope_names_none() {
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers = [("Traceparent", traceparent)].into_iter().collect();
        let trace = |envelope: &Value| {
            let body = envelope.to_string();
            let received = Received {
                body: body.as_bytes(),
                headers: &headers,
                at: DateTime::UNIX_EPOCH,
            };
            read(&received).unwrap().trace_id.unwrap()
        };
        let mut envelope = runbook_envelope();
        assert_eq!(trace(&envelope), "4bf92f3577b34da6a3ce929d0e0e4736");
        envelope["trace_id"] = json!("");
        assert_eq!(trace(&envelope), "0af7651916cd43dd8448eb211c80319c");
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
