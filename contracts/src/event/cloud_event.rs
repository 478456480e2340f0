//! CloudEvents 1.0 in the two modes of its NATS binding: structured, where the message is one
//! JSON document, and binary, where the attributes are headers and the message is the data.
//!
//! Sources: the CloudEvents 1.0.2 JSON format, section 3; the NATS protocol binding 1.0.3,
//! section 3; the distributed-tracing extension.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use domain::Event;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

use super::{Headers, InvalidEnvelope, Received};
use crate::trace_context::{self, TRACEPARENT};

/// What every attribute's header begins with in binary mode.
const PREFIX: &str = "ce-";

/// The header that says, in structured mode, that the message is an event.
const CONTENT_TYPE: &str = "content-type";

/// The media type of an event in structured mode, with a suffix for its format.
const MEDIA_TYPE: &str = "application/cloudevents";

/// How a message carries a CloudEvent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The message is the event, as its content type says.
    Structured,
    /// The attributes are headers.
    Binary,
}

/// The mode that the headers speak of; `None` when they speak of none, and the message itself has
/// to tell what it is.
pub(super) fn mode(headers: &Headers) -> Result<Option<Mode>, InvalidEnvelope> {
    let content_type = headers.get(CONTENT_TYPE).unwrap_or_default();
    match media_type(content_type).strip_prefix(MEDIA_TYPE) {
        Some("" | "+json") => Ok(Some(Mode::Structured)),
        Some(_) => Err(InvalidEnvelope::Format(content_type.to_owned())),
        None if headers.get("ce-specversion").is_some() => Ok(Some(Mode::Binary)),
        None => Ok(None),
    }
}

/// A CloudEvent 1.0 in structured mode.
#[derive(Debug, Clone, Deserialize)]
struct Structured {
    specversion: String,
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    source: String,
    time: Option<DateTime<Utc>>,
    subject: Option<String>,
    /// The distributed-tracing extension; its second field is the trace id.
    traceparent: Option<String>,
    datacontenttype: Option<String>,
    #[serde(default)]
    data: Value,
    data_base64: Option<String>,
}

/// Reads the document of structured mode.
pub(super) fn structured(
    value: Value,
    received_at: DateTime<Utc>,
) -> Result<Event, InvalidEnvelope> {
    let event: Structured = serde_json::from_value(value).map_err(InvalidEnvelope::Shape)?;
    check_version(&event.specversion)?;
    let payload = match event.data_base64 {
        None => event.data,
        Some(text) => {
            let bytes = STANDARD
                .decode(text)
                .map_err(|_| InvalidEnvelope::Attribute {
                    name: "data_base64",
                    problem: "is not Base64".to_owned(),
                })?;
            data(event.datacontenttype.as_deref(), &bytes)?
        }
    };
    Ok(Event {
        event_id: event.id,
        event_type: event.event_type,
        source: event.source,
        occurred_at: event.time.unwrap_or(received_at),
        subject: event.subject,
        trace_id: event.traceparent.as_deref().and_then(trace_id),
        payload,
    })
}

/// Reads headers and data of binary mode.
pub(super) fn binary(received: &Received<'_>) -> Result<Event, InvalidEnvelope> {
    let attributes = Attributes(received.headers);
    check_version(&attributes.required("specversion")?)?;
    let occurred_at = match attributes.optional("time")? {
        None => received.at,
        Some(text) => text.parse().map_err(|_| InvalidEnvelope::Attribute {
            name: "ce-time",
            problem: format!("is \"{text}\"; write it like 2026-11-24T09:00:00Z"),
        })?,
    };
    let content_type = match attributes.optional("datacontenttype")? {
        Some(declared) => Some(declared),
        None => received.headers.get(CONTENT_TYPE).map(str::to_owned),
    };
    Ok(Event {
        event_id: attributes.required("id")?,
        event_type: attributes.required("type")?,
        source: attributes.required("source")?,
        occurred_at,
        subject: attributes.optional("subject")?,
        trace_id: attributes
            .optional(TRACEPARENT)?
            .as_deref()
            .and_then(trace_id),
        payload: data(content_type.as_deref(), received.body)?,
    })
}

fn trace_id(traceparent: &str) -> Option<String> {
    trace_context::trace_id(traceparent).map(str::to_owned)
}

fn check_version(version: &str) -> Result<(), InvalidEnvelope> {
    if version == "1.0" {
        Ok(())
    } else {
        Err(InvalidEnvelope::SpecVersion(version.to_owned()))
    }
}

/// The attributes among the headers of binary mode.
struct Attributes<'event>(&'event Headers);

impl Attributes<'_> {
    fn optional(&self, name: &str) -> Result<Option<String>, InvalidEnvelope> {
        let Some(value) = self.0.get(&format!("{PREFIX}{name}")) else {
            return Ok(None);
        };
        // Headers are ASCII, so everything else is percent-encoded.
        match percent_decode_str(value).decode_utf8() {
            Ok(text) => Ok(Some(text.into_owned())),
            Err(_) => Err(InvalidEnvelope::Header {
                name: format!("{PREFIX}{name}"),
                problem: "is no UTF-8 once its percent-encoding is undone",
            }),
        }
    }

    fn required(&self, name: &str) -> Result<String, InvalidEnvelope> {
        self.optional(name)?.ok_or_else(|| InvalidEnvelope::Header {
            name: format!("{PREFIX}{name}"),
            problem: "is missing; a CloudEvent in binary mode has it as a header",
        })
    }
}

/// The media type without its parameters, in lower case.
fn media_type(content_type: &str) -> String {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().to_ascii_lowercase()
}

/// Data as a payload in which filters and conditions can look: JSON as itself, which is also what
/// data without a type is; a text as a text; anything else as Base64.
fn data(content_type: Option<&str>, bytes: &[u8]) -> Result<Value, InvalidEnvelope> {
    let media_type = content_type.map(media_type);
    let is_json = media_type.as_deref().is_none_or(|media_type| {
        media_type.is_empty() || media_type.ends_with("/json") || media_type.ends_with("+json")
    });
    if is_json {
        return if bytes.is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_slice(bytes).map_err(InvalidEnvelope::NotJson)
        };
    }
    let is_text = media_type.is_some_and(|media_type| media_type.starts_with("text/"));
    match std::str::from_utf8(bytes) {
        Ok(text) if is_text => Ok(Value::String(text.to_owned())),
        Ok(_) | Err(_) => Ok(Value::String(STANDARD.encode(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::read;

    fn read_with(headers: &[(&str, &str)], body: &[u8]) -> Result<Event, InvalidEnvelope> {
        let headers = headers.iter().copied().collect();
        read(&Received {
            body,
            headers: &headers,
            at: DateTime::UNIX_EPOCH,
        })
    }

    const ATTRIBUTES: [(&str, &str); 4] = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-type", "user.created"),
        ("ce-source", "/users"),
    ];

    #[test]
    fn a_binary_event_has_its_attributes_in_headers_of_any_case() {
        let more = [
            ("CE-Subject", "user/4%C3%A42"),
            ("ce-time", "2026-11-24T09:00:00Z"),
            (
                "ce-traceparent",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ),
            (
                "ce-datacontenttype",
                "application/vnd.user+json; charset=utf-8",
            ),
        ];
        let headers = [&ATTRIBUTES[..], &more[..]].concat();
        let event = read_with(&headers, br#"{"tier": "pro"}"#).unwrap();
        assert_eq!(event.event_id, "1");
        assert_eq!(event.event_type, "user.created");
        assert_eq!(event.source, "/users");
        assert_eq!(event.subject.as_deref(), Some("user/4ä2"));
        assert_eq!(event.occurred_at.to_rfc3339(), "2026-11-24T09:00:00+00:00");
        assert_eq!(
            event.trace_id.as_deref(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        assert_eq!(event.payload, json!({"tier": "pro"}));
    }

    #[test]
    fn what_the_data_is_says_its_content_type() {
        let payload = |content_type: &str, body: &[u8]| {
            let more = [("content-type", content_type)];
            read_with(&[&ATTRIBUTES[..], &more[..]].concat(), body).map(|event| event.payload)
        };
        assert_eq!(payload("application/json", b"[1]").unwrap(), json!([1]));
        assert_eq!(payload("", b"[1]").unwrap(), json!([1]));
        assert_eq!(payload("application/json", b"").unwrap(), json!(null));
        assert_eq!(payload("text/plain", b"[1]").unwrap(), json!("[1]"));
        assert_eq!(payload("image/png", &[0xff]).unwrap(), json!("/w=="));
        assert!(matches!(
            payload("application/json", b"{"),
            Err(InvalidEnvelope::NotJson(_))
        ));
    }

    #[test]
    fn a_binary_event_without_an_attribute_says_which_header_is_missing() {
        for (left_out, _) in &ATTRIBUTES[1..] {
            let rest: Vec<_> = ATTRIBUTES
                .into_iter()
                .filter(|(name, _)| name != left_out)
                .collect();
            let error = read_with(&rest, b"{}").unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("the header {left_out} is missing")),
                "{error}"
            );
        }
        let later = [&ATTRIBUTES[1..], &[("ce-specversion", "2.0")][..]].concat();
        assert!(matches!(
            read_with(&later, b"{}"),
            Err(InvalidEnvelope::SpecVersion(_))
        ));
    }

    #[test]
    fn a_structured_event_may_hold_binary_data() {
        let event = |content_type: &str| {
            let document = json!({
                "specversion": "1.0", "id": "1", "type": "t", "source": "s",
                "datacontenttype": content_type, "data_base64": "eyJ0aWVyIjoicHJvIn0=",
            });
            let headers = [(
                "Content-Type",
                "application/cloudevents+json; charset=UTF-8",
            )];
            read_with(&headers, document.to_string().as_bytes()).unwrap()
        };
        assert_eq!(event("application/json").payload, json!({"tier": "pro"}));
        assert_eq!(
            event("application/protobuf").payload,
            json!("eyJ0aWVyIjoicHJvIn0=")
        );
    }

    #[test]
    fn a_batch_or_another_format_is_refused_by_name() {
        for content_type in [
            "application/cloudevents-batch+json",
            "application/cloudevents+avro",
        ] {
            let error = read_with(&[("content-type", content_type)], b"[]").unwrap_err();
            assert!(error.to_string().contains(content_type), "{error}");
        }
    }
}
