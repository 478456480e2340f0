//! What a stand-in was sent, and how it is told to misbehave.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::BODY_LIMIT;

/// How one request is mistreated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with this status and has no effect.
    Status(u16),
    /// It is answered only after that long.
    Delay(Duration),
    /// It has its effect, but the answer is lost on the way: the caller sees 504.
    LostAnswer,
}

/// One request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The method, in capitals.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers, their names in small letters; of repeated ones the last.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
    /// What the caller was answered.
    pub status: u16,
}

impl Recorded {
    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The traffic of one stand-in.
#[derive(Debug, Default)]
pub struct Traffic {
    faults: Mutex<VecDeque<Fault>>,
    requests: Mutex<Vec<Recorded>>,
}

impl Traffic {
    /// Mistreats the next `count` requests; after those that were told before.
    pub fn fault_next(&self, count: usize, fault: Fault) {
        lock(&self.faults).extend(std::iter::repeat_n(fault, count));
    }

    /// Refuses the next `count` requests with `status`.
    pub fn fail_next(&self, count: usize, status: u16) {
        self.fault_next(count, Fault::Status(status));
    }

    /// Answers the next `count` requests only after `delay`.
    pub fn delay_next(&self, count: usize, delay: Duration) {
        self.fault_next(count, Fault::Delay(delay));
    }

    /// Forgets the faults that have not come to pass yet.
    pub fn behave(&self) {
        lock(&self.faults).clear();
    }

    /// Every request that was answered so far, also those that were mistreated.
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.requests).clone()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking test has left behind is still good to look at.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records each request and lets the told faults come to pass.
pub(super) async fn record(
    State(traffic): State<Arc<Traffic>>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = match axum::body::to_bytes(body, BODY_LIMIT).await {
        Ok(body) => body,
        Err(error) => return (StatusCode::PAYLOAD_TOO_LARGE, error.to_string()).into_response(),
    };
    let mut recorded = Recorded {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        headers: headers(&parts.headers),
        body: body.to_vec(),
        status: 0,
    };
    let request = Request::from_parts(parts, Body::from(body));
    let fault = lock(&traffic.faults).pop_front();
    let response = match fault {
        None => next.run(request).await,
        Some(Fault::Status(status)) => refuse(status),
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
        Some(Fault::LostAnswer) => {
            next.run(request).await;
            refuse(504)
        }
    };
    recorded.status = response.status().as_u16();
    lock(&traffic.requests).push(recorded);
    response
}

fn refuse(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, "the stand-in was told to answer so").into_response()
}

fn headers(headers: &axum::http::HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect()
}
