//! Whoever Alertmanager tells: a receiver of its notifications, at any path.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde::Deserialize;

use super::traffic::lock;
use super::{Refusal, Served, parse_body};
use crate::background;

/// One alert of one notification.
#[derive(Debug, Clone)]
pub struct Notice {
    /// When it came.
    pub at: Instant,
    /// The last part of the URL at which it came, which says who is told.
    pub receiver: String,
    /// Whether the alert fires; it is over when not.
    pub is_firing: bool,
    /// The alert's labels, its name among them.
    pub labels: BTreeMap<String, String>,
    /// What it says to people.
    pub annotations: BTreeMap<String, String>,
}

impl Notice {
    /// The value of a label; empty if it is not there.
    pub fn label(&self, name: &str) -> &str {
        self.labels
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    }

    /// The alert's name.
    pub fn alert(&self) -> &str {
        self.label("alertname")
    }
}

/// What is read of a notification, as Alertmanager's webhooks have it.
#[derive(Debug, Deserialize)]
struct Notification {
    alerts: Vec<Alert>,
}

#[derive(Debug, Deserialize)]
struct Alert {
    status: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

type Shared = Arc<Mutex<Vec<Notice>>>;

/// A running receiver.
#[derive(Debug)]
pub struct Pager {
    served: Served,
    notices: Shared,
}

impl Pager {
    /// Starts it.
    pub async fn start() -> Result<Self> {
        background::run(async {
            let notices = Shared::default();
            let routes = Router::new()
                .route("/{receiver}", post(receive))
                .with_state(notices.clone());
            Ok(Self {
                served: Served::start("a pager", routes).await?,
                notices,
            })
        })
        .await
    }

    /// Where a receiver is told.
    pub fn url(&self, receiver: &str) -> String {
        format!("{}/{receiver}", self.served.url)
    }

    /// Everything that was told, the oldest first.
    pub fn notices(&self) -> Vec<Notice> {
        lock(&self.notices).clone()
    }
}

async fn receive(
    State(notices): State<Shared>,
    Path(receiver): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let Notification { alerts } = parse_body(&body)?;
    let at = Instant::now();
    let told = alerts.into_iter().map(|alert| Notice {
        at,
        receiver: receiver.clone(),
        is_firing: alert.status == "firing",
        labels: alert.labels,
        annotations: alert.annotations,
    });
    lock(&notices).extend(told);
    Ok(StatusCode::OK)
}
