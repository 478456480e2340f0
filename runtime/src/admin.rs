//! `/livez` and `/readyz`: whether the process is alive, and whether it can do its work.
//!
//! Alive means that the process answers; a dependency's outage never gets it killed. Ready means
//! that every probe succeeds now: the probes run when somebody asks, so that an idle process
//! polls nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::{BoxFuture, join_all};

use crate::{Error, Shutdown};

/// How long one probe may take before its dependency counts as not there.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The settings of the health endpoints.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "admin-arguments")]
pub struct AdminArguments {
    /// The address of /livez and /readyz.
    #[arg(
        long,
        env = "HEALTH_BIND_ADDR",
        default_value = "0.0.0.0:8081",
        help_heading = "Observability"
    )]
    pub health_bind_addr: SocketAddr,
}

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// One question that readiness depends on.
#[derive(Clone)]
pub struct Probe {
    name: &'static str,
    check: Check,
}

impl Probe {
    /// A probe; `check` answers with the reason why the dependency is of no use.
    pub fn new<F>(name: &'static str, check: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    {
        Self {
            name,
            check: Arc::new(check),
        }
    }

    /// The name of what is probed.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Asks once; no longer than two seconds.
    pub async fn ask(&self) -> Result<(), String> {
        tokio::time::timeout(PROBE_TIMEOUT, (self.check)())
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", PROBE_TIMEOUT.as_secs())))
    }
}

/// All probes of a program. Cheap to clone.
#[derive(Clone, Default)]
pub struct Readiness {
    probes: Arc<[Probe]>,
    shutdown: Shutdown,
}

impl Readiness {
    /// Ready when all probes succeed and the process is not stopping.
    pub fn new(probes: Vec<Probe>, shutdown: Shutdown) -> Self {
        Self {
            probes: probes.into(),
            shutdown,
        }
    }

    /// Asks all probes at once; each with its name and answer.
    pub async fn ask(&self) -> Vec<(&'static str, Result<(), String>)> {
        let asked = self.probes.iter().map(|probe| async move {
            let answer = probe.ask().await;
            (probe.name, answer)
        });
        let mut answers = join_all(asked).await;
        if self.shutdown.has_begun() {
            answers.push(("process", Err("stopping".to_owned())));
        }
        answers
    }
}

/// The server of the health endpoints.
#[derive(Debug)]
pub struct AdminServer;

impl AdminServer {
    /// Serves `/livez` and `/readyz` until the process stops. Returns once the address is bound.
    pub async fn serve(
        arguments: &AdminArguments,
        readiness: Readiness,
        shutdown: Shutdown,
    ) -> Result<tokio::task::JoinHandle<std::io::Result<()>>, Error> {
        let address = arguments.health_bind_addr;
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|source| Error::Listen {
                address,
                variable: "HEALTH_BIND_ADDR",
                source,
            })?;
        let router = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .with_state(readiness);
        Ok(tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async move { shutdown.begun().await })
                .await
        }))
    }
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let answers = readiness.ask().await;
    let status = if answers.iter().all(|(_, answer)| answer.is_ok()) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let lines: Vec<String> = answers
        .iter()
        .map(|(name, answer)| match answer {
            Ok(()) => format!("[+] {name} ok\n"),
            Err(reason) => format!("[-] {name}: {reason}\n"),
        })
        .collect();
    (status, lines.concat()).into_response()
}
