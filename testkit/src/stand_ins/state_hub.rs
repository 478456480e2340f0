//! State Hub: `POST /progress/` and `GET /progress/`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::traffic::lock;
use super::{Refusal, Served, Traffic, parse_body};

/// How many entries a listing has unless it asks for another number.
const DEFAULT_LIMIT: usize = 50;

/// An entry, as it is listed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// Its id.
    pub id: Uuid,
    /// When it was entered.
    pub created_at: DateTime<Utc>,
    /// What kind of entry it is.
    pub event_type: String,
    /// One line for people.
    pub summary: Option<String>,
    /// What it is about.
    pub detail: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProgress {
    event_type: String,
    summary: Option<String>,
    detail: Map<String, Value>,
}

#[derive(Debug, Default)]
struct Entries {
    newest_last: Vec<Progress>,
    by_key: HashMap<String, Uuid>,
}

type Shared = Arc<Mutex<Entries>>;

/// A running stand-in of State Hub.
#[derive(Debug)]
pub struct StateHub {
    served: Served,
    entries: Shared,
}

impl StateHub {
    pub(super) async fn start() -> Result<Self> {
        let entries = Shared::default();
        let routes = Router::new()
            .route("/progress/", post(create).get(list))
            .with_state(entries.clone());
        Ok(Self {
            served: Served::start("State Hub", routes).await?,
            entries,
        })
    }

    /// As `STATE_HUB_URL` wants it.
    pub fn url(&self) -> &str {
        &self.served.url
    }

    /// What it was sent, and how it is told to misbehave.
    pub fn traffic(&self) -> &Traffic {
        &self.served.traffic
    }

    /// All entries, the oldest first.
    pub fn entries(&self) -> Vec<Progress> {
        lock(&self.entries).newest_last.clone()
    }
}

async fn create(
    State(entries): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Progress>), Refusal> {
    let new: NewProgress = parse_body(&body)?;
    if new.event_type.is_empty() {
        return Err(Refusal::unprocessable("event_type is empty"));
    }
    let key = idempotency_key(&headers);
    let mut entries = lock(&entries);
    if let Some(existing) = key.as_ref().and_then(|key| entries.with_key(key)) {
        return Ok((StatusCode::OK, Json(existing)));
    }
    let progress = Progress {
        id: Uuid::new_v4(),
        created_at: Utc::now(),
        event_type: new.event_type,
        summary: new.summary,
        detail: new.detail,
    };
    if let Some(key) = key {
        entries.by_key.insert(key, progress.id);
    }
    entries.newest_last.push(progress.clone());
    Ok((StatusCode::CREATED, Json(progress)))
}

impl Entries {
    fn with_key(&self, key: &str) -> Option<Progress> {
        let id = self.by_key.get(key)?;
        self.newest_last
            .iter()
            .find(|progress| progress.id == *id)
            .cloned()
    }
}

/// The value of the header `Idempotency-Key`, if it is there.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Option<String> {
    Some(headers.get("idempotency-key")?.to_str().ok()?.to_owned())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    event_type: Option<String>,
    activity_core_run_id: Option<String>,
    limit: Option<usize>,
}

impl Filter {
    fn matches(&self, progress: &Progress) -> bool {
        let run = progress
            .detail
            .get("activity_core_run_id")
            .and_then(Value::as_str);
        self.event_type
            .as_ref()
            .is_none_or(|wanted| *wanted == progress.event_type)
            && self
                .activity_core_run_id
                .as_deref()
                .is_none_or(|wanted| run == Some(wanted))
    }
}

async fn list(State(entries): State<Shared>, Query(filter): Query<Filter>) -> Json<Vec<Progress>> {
    let entries = lock(&entries);
    let newest_first = entries.newest_last.iter().rev();
    let matching = newest_first.filter(|progress| filter.matches(progress));
    Json(
        matching
            .take(filter.limit.unwrap_or(DEFAULT_LIMIT))
            .cloned()
            .collect(),
    )
}
