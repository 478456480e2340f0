//! issue-core: `POST /issues/`, `POST /issues/?dry_run=true` and `GET /issues/?external_id=`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::state_hub::idempotency_key;
use super::traffic::lock;
use super::{Refusal, Served, Traffic, parse_body};

/// An issue, as it is listed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Issue {
    /// Its id.
    pub id: Uuid,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// What it says.
    #[serde(flatten)]
    pub content: IssueContent,
}

/// What an issue says: the body of `POST /issues/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueContent {
    /// One line for people; not empty.
    pub title: String,
    /// The rest.
    #[serde(default)]
    pub description: Option<String>,
    /// The caller's own id of it, by which it is found again.
    pub external_id: String,
    /// Words to find it by.
    #[serde(default)]
    pub labels: Vec<String>,
    /// How urgent it is, in the caller's words.
    #[serde(default)]
    pub priority: Option<String>,
    /// Anything else.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

#[derive(Debug, Default)]
struct Issues {
    all: Vec<Issue>,
    by_key: HashMap<String, Uuid>,
}

type Shared = Arc<Mutex<Issues>>;

/// A running stand-in of issue-core.
#[derive(Debug)]
pub struct IssueCore {
    served: Served,
    issues: Shared,
}

impl IssueCore {
    pub(super) async fn start() -> Result<Self> {
        let issues = Shared::default();
        let routes = Router::new()
            .route("/issues/", post(create).get(list))
            .with_state(issues.clone());
        Ok(Self {
            served: Served::start("issue-core", routes).await?,
            issues,
        })
    }

    /// As `ISSUE_CORE_URL` wants it.
    pub fn url(&self) -> &str {
        &self.served.url
    }

    /// What it was sent, and how it is told to misbehave.
    pub fn traffic(&self) -> &Traffic {
        &self.served.traffic
    }

    /// All issues, the oldest first.
    pub fn issues(&self) -> Vec<Issue> {
        lock(&self.issues).all.clone()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateOptions {
    #[serde(default)]
    dry_run: bool,
}

async fn create(
    State(issues): State<Shared>,
    Query(options): Query<CreateOptions>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let content: IssueContent = parse_body(&body)?;
    for (field, value) in [
        ("title", &content.title),
        ("external_id", &content.external_id),
    ] {
        if value.trim().is_empty() {
            return Err(Refusal::unprocessable(format!("{field} is empty")));
        }
    }
    if options.dry_run {
        return Ok(Json(json!({ "valid": true })).into_response());
    }
    let key = idempotency_key(&headers);
    let mut issues = lock(&issues);
    if let Some(existing) = key.as_ref().and_then(|key| issues.with_key(key)) {
        return Ok((StatusCode::OK, Json(existing)).into_response());
    }
    let issue = Issue {
        id: Uuid::new_v4(),
        created_at: Utc::now(),
        content,
    };
    if let Some(key) = key {
        issues.by_key.insert(key, issue.id);
    }
    issues.all.push(issue.clone());
    Ok((StatusCode::CREATED, Json(issue)).into_response())
}

impl Issues {
    fn with_key(&self, key: &str) -> Option<Issue> {
        let id = self.by_key.get(key)?;
        self.all.iter().find(|issue| issue.id == *id).cloned()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    external_id: Option<String>,
}

async fn list(State(issues): State<Shared>, Query(filter): Query<Filter>) -> Json<Vec<Issue>> {
    let issues = lock(&issues);
    let wanted = |issue: &&Issue| {
        filter
            .external_id
            .as_ref()
            .is_none_or(|wanted| *wanted == issue.content.external_id)
    };
    Json(issues.all.iter().rev().filter(wanted).cloned().collect())
}
