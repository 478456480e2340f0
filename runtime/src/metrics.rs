//! Metrics in the Prometheus text format, at `/metrics` on an address of their own.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{IntGaugeVec, Opts};

use crate::{Error, Registry, Shutdown};

/// The settings of the metrics endpoint.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "metrics-arguments")]
pub struct MetricsArguments {
    /// The address at which Prometheus scrapes /metrics.
    #[arg(
        long,
        env = "PROMETHEUS_BIND_ADDR",
        default_value = "0.0.0.0:9090",
        help_heading = "Observability"
    )]
    pub prometheus_bind_addr: SocketAddr,
}

/// The metrics of one program. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    upstream: Option<SocketAddr>,
    dependencies: IntGaugeVec,
}

impl Metrics {
    /// Metrics that begin with the process's own, `activity_core_build_info` and
    /// `activity_core_dependency_up`.
    pub fn new(program: &'static str, version: &'static str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        let build = IntGaugeVec::new(
            Opts::new(
                "activity_core_build_info",
                "Always 1; the labels say which program and version this is.",
            ),
            &["program", "version"],
        )?;
        build.with_label_values(&[program, version]).set(1);
        registry.register(Box::new(build))?;
        let dependencies = IntGaugeVec::new(
            Opts::new(
                "activity_core_dependency_up",
                "Whether the dependency answered the last readiness probe: 1 or 0; no series \
                 before the first probe.",
            ),
            &["dependency"],
        )?;
        registry.register(Box::new(dependencies.clone()))?;
        Ok(Self {
            registry,
            upstream: None,
            dependencies,
        })
    }

    /// Where readiness shows what each dependency answered.
    pub(crate) fn dependencies(&self) -> IntGaugeVec {
        self.dependencies.clone()
    }

    /// The registry, to register a program's own metrics in.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Adds what another exporter of this process answers at `/metrics`: the Temporal SDK keeps
    /// its metrics in a registry of its own, which can only be scraped.
    #[must_use]
    pub const fn with_upstream(mut self, upstream: SocketAddr) -> Self {
        self.upstream = Some(upstream);
        self
    }

    /// Serves `/metrics` until the process stops. Returns once the address is bound.
    pub async fn serve(
        self,
        arguments: &MetricsArguments,
        shutdown: Shutdown,
    ) -> Result<tokio::task::JoinHandle<std::io::Result<()>>, Error> {
        let address = arguments.prometheus_bind_addr;
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|source| Error::Listen {
                address,
                variable: "PROMETHEUS_BIND_ADDR",
                source,
            })?;
        tracing::info!(%address, "serving metrics at /metrics");
        let router = Router::new()
            .route("/metrics", get(scrape))
            .with_state(self);
        Ok(tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async move { shutdown.begun().await })
                .await
        }))
    }
}

async fn scrape(State(metrics): State<Metrics>) -> Response {
    let mut body = match metrics.registry.encode() {
        Ok(text) => text.into_bytes(),
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    };
    if let Some(upstream) = metrics.upstream {
        match scrape_upstream(upstream).await {
            Ok(more) => body.extend_from_slice(&more),
            Err(error) => {
                return (StatusCode::BAD_GATEWAY, crate::describe(&error)).into_response();
            }
        }
    }
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], body).into_response()
}

async fn scrape_upstream(upstream: SocketAddr) -> Result<Vec<u8>, reqwest::Error> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()?;
    let answer = client
        .get(format!("http://{upstream}/metrics"))
        .send()
        .await?
        .error_for_status()?;
    Ok(answer.bytes().await?.to_vec())
}
