//! `/livez` and `/readyz`: whether the process is alive, and whether it can do its work.
//!
//! Alive means that the process answers; a dependency's outage never gets it killed. Ready means
//! that every probe succeeds now, but for those that are only watched: the probes run when
//! somebody asks, so that an idle process polls nothing. What the dependencies answered last is
//! in the gauge `activity_core_dependency_up`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::{BoxFuture, join_all};
use prometheus::IntGaugeVec;

use crate::{Error, Metrics, Shutdown};

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

/// What a probe's answer decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// The program needs the dependency.
    Needed,
    /// The dependency is shown, and the program does some of its work without it.
    Watched,
    /// The program needs it, and it is no dependency but a state of its own.
    State,
}

/// One question about what a program depends on.
#[derive(Clone)]
pub struct Probe {
    name: &'static str,
    weight: Weight,
    check: Check,
}

impl Probe {
    /// A probe of a dependency that the program needs: temporal, postgres, nats or kubernetes, as
    /// the metric names it. `check` answers with the reason why the dependency is of no use.
    pub fn new<F>(name: &'static str, check: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    {
        Self {
            name,
            weight: Weight::Needed,
            check: Arc::new(check),
        }
    }

    /// The same of a dependency without which the program still does some of its work: its outage
    /// is shown and does not make the program unready.
    #[must_use]
    pub fn only_watched(mut self) -> Self {
        self.weight = Weight::Watched;
        self
    }

    /// The same of something that is no dependency but a state of the program: it decides about
    /// readiness and is not in the metric.
    #[must_use]
    pub fn of_own_state(mut self) -> Self {
        self.weight = Weight::State;
        self
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

/// One probe's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// What was probed.
    pub name: &'static str,
    /// Why it is of no use, if it is not.
    pub answer: Result<(), String>,
    /// Whether the program is unready because of it.
    pub is_needed: bool,
}

/// All probes of a program. Cheap to clone.
#[derive(Clone, Default)]
pub struct Readiness {
    probes: Arc<[Probe]>,
    shutdown: Shutdown,
    dependencies: Option<IntGaugeVec>,
}

impl Readiness {
    /// Ready when all needed probes succeed and the process is not stopping.
    pub fn new(probes: Vec<Probe>, shutdown: Shutdown) -> Self {
        Self {
            probes: probes.into(),
            shutdown,
            dependencies: None,
        }
    }

    /// Shows what each dependency answered in the program's `activity_core_dependency_up`.
    #[must_use]
    pub fn shown_in(mut self, metrics: &Metrics) -> Self {
        self.dependencies = Some(metrics.dependencies());
        self
    }

    /// Asks all probes at once.
    pub async fn ask(&self) -> Vec<ProbeAnswer> {
        let asked = self.probes.iter().map(|probe| async move {
            let answer = probe.ask().await;
            self.show(probe, answer.is_ok());
            ProbeAnswer {
                name: probe.name,
                answer,
                is_needed: probe.weight != Weight::Watched,
            }
        });
        let mut answers = join_all(asked).await;
        if self.shutdown.has_begun() {
            answers.push(ProbeAnswer {
                name: "process",
                answer: Err("stopping".to_owned()),
                is_needed: true,
            });
        }
        answers
    }

    fn show(&self, probe: &Probe, is_up: bool) {
        if let Some(gauge) = &self.dependencies
            && probe.weight != Weight::State
        {
            gauge.with_label_values(&[probe.name]).set(i64::from(is_up));
        }
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
    let is_ready = answers
        .iter()
        .all(|probed| probed.answer.is_ok() || !probed.is_needed);
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let lines: Vec<String> = answers.iter().map(line).collect();
    (status, lines.concat()).into_response()
}

fn line(probed: &ProbeAnswer) -> String {
    let name = probed.name;
    match (&probed.answer, probed.is_needed) {
        (Ok(()), _) => format!("[+] {name} ok\n"),
        (Err(reason), true) => format!("[-] {name}: {reason}\n"),
        (Err(reason), false) => format!("[~] {name}: {reason} (ready without it)\n"),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn probe(name: &'static str, answer: Result<(), String>) -> Probe {
        Probe::new(name, move || std::future::ready(answer.clone()).boxed())
    }

    fn away() -> Result<(), String> {
        Err("away".to_owned())
    }

    fn shown(metrics: &Metrics) -> String {
        let families = metrics.registry().gather();
        prometheus::TextEncoder::new()
            .encode_to_string(&families)
            .unwrap()
    }

    #[tokio::test]
    async fn the_gauge_shows_each_dependency_as_it_answered() {
        let metrics = Metrics::new("test", "0").unwrap();
        let probes = vec![
            probe("postgres", Ok(())),
            probe("temporal", away()).only_watched(),
            probe("definitions", away()).of_own_state(),
        ];
        let readiness = Readiness::new(probes, Shutdown::default()).shown_in(&metrics);
        assert!(!shown(&metrics).contains("dependency_up{"));
        readiness.ask().await;
        let text = shown(&metrics);
        assert!(text.contains("activity_core_dependency_up{dependency=\"postgres\"} 1"));
        assert!(text.contains("activity_core_dependency_up{dependency=\"temporal\"} 0"));
        assert!(!text.contains("definitions"), "{text}");
    }

    #[tokio::test]
    async fn an_outage_of_what_is_only_watched_is_shown_and_changes_nothing() {
        let only = |probe: Probe| Readiness::new(vec![probe], Shutdown::default());
        let answer = ready(State(only(probe("temporal", away()).only_watched()))).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let answer = ready(State(only(probe("temporal", away())))).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
