//! The worker: carries out runs.
//!
//! One process polls both task queues. Workflow code ([`workflows`]) decides the order of the
//! steps; the steps ([`activities`]) do them: the ledger's beginning and end next to the
//! workflow, the instruction and the sinks on a queue of their own. What is expected to run, and
//! whether it did, is the operator's business.

mod activities;
mod arguments;
mod delivery;
mod egress;
mod error;
mod instruction;
mod metrics;
mod plan;
mod probes;
mod report;
mod secrets;
mod service;
mod services;
mod sinks;
mod telemetry;
mod trace;
mod workflows;

pub use arguments::{Arguments, IssueSinkType, ModelArguments, RunArguments, SinkArguments};
pub use egress::AllowedHosts;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser as _;
use runtime::storage::Storage;
use runtime::{AdminServer, MetricDescription, Metrics, Readiness, Shutdown, require};
use store::Store;
use temporal::Temporal;
use temporalio_common::worker::build_id_from_current_exe;
use tokio::task::JoinHandle;

use egress::{AllowList, Egress};
use instruction::ModelEndpoint;
use metrics::WorkerMetrics;
use secrets::Secrets;
use services::{Services, Settings};
use telemetry::SdkTelemetry;

/// The name in logs, in Postgres' list of connections and in Temporal's list of workers.
const PROGRAM: &str = "actcore-worker";

/// The program `actcore-worker`.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    runtime::run_program(PROGRAM, async {
        run(arguments, Shutdown::on_signals()?).await
    })
}

/// Every metric of the worker, those without a series too. The Temporal SDK's come on top.
pub fn metrics() -> Result<Vec<MetricDescription>, prometheus::Error> {
    let metrics = Metrics::new(PROGRAM, env!("CARGO_PKG_VERSION"))?;
    WorkerMetrics::register(metrics.registry())?;
    Ok(metrics.registry().descriptions())
}

/// Runs the worker until the process is to stop. An error names what is missing or what broke.
pub async fn run(arguments: Arguments, shutdown: Shutdown) -> Result<()> {
    let Arguments {
        temporal,
        postgres,
        runs,
        model,
        sinks,
        admin,
        metrics: metrics_arguments,
        log,
    } = arguments;
    runtime::initialize(&log)?;
    let store = Store::new(postgres.pool(PROGRAM)?);
    let telemetry = SdkTelemetry::start()?;
    let metrics = Metrics::new(PROGRAM, env!("CARGO_PKG_VERSION"))?;
    let worker_metrics = WorkerMetrics::register(metrics.registry())?;
    let build_id = build_id(runs.worker_build_id.clone());
    tracing::info!(build_id, "starting");
    let services = services(store.clone(), worker_metrics, (runs, model, sinks))?;

    let slot = probes::TemporalSlot::default();
    let readiness = Readiness::new(
        vec![
            probes::postgres(store.clone()),
            probes::temporal(Arc::clone(&slot)),
        ],
        shutdown.clone(),
    )
    .shown_in(&metrics);
    let health = AdminServer::serve(&admin, readiness, shutdown.clone()).await?;
    let scrapes = metrics
        .with_upstream(telemetry.exporter)
        .serve(&metrics_arguments, shutdown.clone())
        .await?;

    let work = async {
        let identity = runtime::temporal::identity(PROGRAM);
        let connected = temporal
            .connect(&identity, telemetry.meter, &shutdown)
            .await;
        let client = match connected {
            Ok(client) => client,
            Err(runtime::Error::Stopped { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !probes::schema_is_current(&store, &shutdown).await {
            return Ok(());
        }
        // Ready from here on: what follows waits for nobody, and then it polls.
        let _ = slot.set(Temporal::new(client.clone()));
        let polled = service::Polled {
            client: &client,
            services: &services,
            build_id: &build_id,
        };
        service::serve(&telemetry.runtime, &polled, &shutdown).await
    };
    tokio::select! {
        done = work => done,
        ended = ended_early(health, "HEALTH_BIND_ADDR", &shutdown) => ended,
        ended = ended_early(scrapes, "PROMETHEUS_BIND_ADDR", &shutdown) => ended,
    }
}

/// What Temporal calls this build: as set, or such that two different programs never share it.
fn build_id(set: Option<String>) -> String {
    set.filter(|id| !id.is_empty()).unwrap_or_else(|| {
        let hash: String = build_id_from_current_exe().chars().take(12).collect();
        format!("{}-{hash}", env!("CARGO_PKG_VERSION"))
    })
}

/// What activities share, from the settings.
fn services(
    store: Store,
    metrics: WorkerMetrics,
    (runs, model, sinks): (RunArguments, ModelArguments, SinkArguments),
) -> Result<Arc<Services>> {
    let RunArguments {
        activity_timeout_seconds,
        skip_schedule_sync,
        egress_allowed_hosts,
        worker_build_id: _,
        secrets_dir,
    } = runs;
    let ModelArguments {
        openai_base_url,
        openai_api_key,
    } = model;
    let SinkArguments {
        state_hub_url,
        working_memory_dir,
        issue_core_url,
        issue_core_token,
        issue_sink_type,
    } = sinks;
    if skip_schedule_sync.is_some() {
        tracing::info!("SKIP_SCHEDULE_SYNC has no effect: the operator keeps the Schedules");
    }
    if issue_sink_type == IssueSinkType::IssueCore {
        require(
            issue_core_url.as_ref(),
            "ISSUE_CORE_URL",
            "ISSUE_SINK_TYPE is issue-core; set it to http://host:port",
        )?;
    }
    let working_memory = working_memory_dir
        .filter(|place| !place.is_empty())
        .map(|place| Storage::parse("WORKING_MEMORY_DIR", &place))
        .transpose()?;
    let implied = [
        state_hub_url.as_ref(),
        issue_core_url.as_ref(),
        openai_base_url.as_ref(),
    ];
    let egress = Egress::new(AllowList::new(egress_allowed_hosts, &implied))?;
    Ok(Arc::new(Services {
        store,
        egress,
        secrets: Secrets::new(secrets_dir),
        metrics,
        settings: Settings {
            state_hub: state_hub_url,
            issue_core: issue_core_url,
            issue_core_token: issue_core_token.filter(|key| !key.expose().is_empty()),
            issue_sink_type,
            model: openai_base_url.map(|base| ModelEndpoint {
                base,
                key: openai_api_key,
            }),
            working_memory,
            run_limit: Duration::from_secs(activity_timeout_seconds),
        },
    }))
}

/// Waits for a server that must not end before the process does.
async fn ended_early(
    server: JoinHandle<std::io::Result<()>>,
    setting: &'static str,
    shutdown: &Shutdown,
) -> Result<()> {
    let ended = server.await;
    if shutdown.has_begun() {
        // The servers stop first; the work is still to be drained.
        return std::future::pending().await;
    }
    match ended {
        Ok(Ok(())) => bail!("the server at {setting} ended by itself"),
        Ok(Err(error)) => bail!("the server at {setting} failed: {error}"),
        Err(error) => bail!("the server at {setting} failed: {error}"),
    }
}
