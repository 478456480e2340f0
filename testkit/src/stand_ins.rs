//! Stand-ins for the systems that cannot be started here. Each is a small HTTP server that holds
//! to its system's contract, records what it was sent ([`Traffic`]) and can be told to misbehave.
//!
//! They keep everything in memory and answer on loopback only.

mod chat;
mod issue_core;
mod pager;
mod schema_example;
mod state_hub;
mod traffic;
mod webhook;

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::background;
pub use chat::{API_KEY, Chat};
pub use issue_core::{Issue, IssueCore};
pub use pager::{Notice, Pager};
pub use state_hub::{Progress, StateHub};
pub(crate) use traffic::lock;
pub use traffic::{Fault, Recorded, Traffic};
pub use webhook::{CloudEvent, Webhook};

/// The largest body that is accepted, in bytes.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// One of each.
#[derive(Debug)]
pub struct StandIns {
    /// State Hub.
    pub state_hub: StateHub,
    /// issue-core.
    pub issue_core: IssueCore,
    /// An OpenAI-compatible endpoint.
    pub chat: Chat,
    /// A receiver of webhooks.
    pub webhook: Webhook,
}

impl StandIns {
    /// Starts all of them.
    pub async fn start() -> Result<Self> {
        background::run(async {
            let (state_hub, issue_core, chat, webhook) = tokio::try_join!(
                StateHub::start(),
                IssueCore::start(),
                Chat::start(),
                Webhook::start()
            )?;
            Ok(Self {
                state_hub,
                issue_core,
                chat,
                webhook,
            })
        })
        .await
    }
}

/// A listening stand-in; it ends when this is dropped.
#[derive(Debug)]
struct Served {
    url: String,
    traffic: Arc<Traffic>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Served {
    /// Serves `routes` and `GET /health` on a free port. To be called on the background runtime.
    async fn start(name: &str, routes: Router) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .with_context(|| format!("failed to open a port for the stand-in of {name}"))?;
        let address = listener
            .local_addr()
            .context("failed to read a listener's port")?;
        let traffic = Arc::new(Traffic::default());
        // Health is outside of what can be told to misbehave: it says that the stand-in runs.
        let application = routes
            .layer(middleware::from_fn_with_state(
                traffic.clone(),
                traffic::record,
            ))
            .route(
                "/health",
                get(async || axum::Json(json!({ "status": "ok" }))),
            );
        let server = tokio::spawn(async move { axum::serve(listener, application).await });
        Ok(Self {
            url: format!("http://{address}"),
            traffic,
            server,
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An error in the form of FastAPI, which both systems are built on.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    detail: String,
}

impl Refusal {
    fn unprocessable(detail: impl Into<String>) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            detail: detail.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, axum::Json(json!({ "detail": self.detail }))).into_response()
    }
}

/// Reads a body as JSON of exactly the shape `T`.
fn parse_body<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::unprocessable(error.to_string()))
}
