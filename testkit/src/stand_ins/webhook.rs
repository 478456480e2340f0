//! A receiver of webhooks: CloudEvents 1.0, structured or binary, at any path.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use serde_json::{Map, Value};

use super::traffic::lock;
use super::{Refusal, Served, Traffic, parse_body};

/// Attributes without which it is no CloudEvent.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// A received event.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudEvent {
    /// All context attributes; each is a string.
    pub attributes: Map<String, Value>,
    /// What it carries.
    pub data: Value,
}

impl CloudEvent {
    /// An attribute; empty if it is not there.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

type Shared = Arc<Mutex<Vec<CloudEvent>>>;

/// A running receiver.
#[derive(Debug)]
pub struct Webhook {
    served: Served,
    events: Shared,
}

impl Webhook {
    pub(super) async fn start() -> Result<Self> {
        let events = Shared::default();
        let routes = Router::new()
            .route("/", post(receive))
            .route("/{*path}", post(receive))
            .with_state(events.clone());
        Ok(Self {
            served: Served::start("the webhook", routes).await?,
            events,
        })
    }

    /// Where events may be sent; any path below does too.
    pub fn url(&self) -> &str {
        &self.served.url
    }

    /// What it was sent, and how it is told to misbehave.
    pub fn traffic(&self) -> &Traffic {
        &self.served.traffic
    }

    /// All events, the oldest first.
    pub fn events(&self) -> Vec<CloudEvent> {
        lock(&self.events).clone()
    }
}

async fn receive(
    State(events): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let event = if is_structured(&headers) {
        structured(&body)?
    } else {
        binary(&headers, &body)?
    };
    for name in REQUIRED {
        if event.attribute(name).is_empty() {
            return Err(Refusal::unprocessable(format!(
                "the CloudEvent has no {name}"
            )));
        }
    }
    lock(&events).push(event);
    Ok(StatusCode::ACCEPTED)
}

fn is_structured(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    content_type.is_some_and(|name| name.starts_with("application/cloudevents+json"))
}

fn structured(body: &[u8]) -> Result<CloudEvent, Refusal> {
    let mut attributes: Map<String, Value> = parse_body(body)?;
    let data = attributes.remove("data").unwrap_or_default();
    Ok(CloudEvent { attributes, data })
}

fn binary(headers: &HeaderMap, body: &[u8]) -> Result<CloudEvent, Refusal> {
    let mut attributes = Map::new();
    for (name, value) in headers {
        let value = value
            .to_str()
            .map_err(|error| Refusal::unprocessable(error.to_string()))?;
        if let Some(name) = name.as_str().strip_prefix("ce-") {
            attributes.insert(name.to_owned(), value.into());
        }
    }
    Ok(CloudEvent {
        attributes,
        data: parse_body(body)?,
    })
}
