//! The operator: declared is what is.
//!
//! It owns the Temporal Schedules and the Postgres mirror, completely, and says in the status of
//! each ActivityDefinition how things stand. Runs are the worker's, starts by events the router's.

mod activity_definition;
mod admission;
mod arguments;
mod audit_loop;
mod claims;
mod client;
mod condition;
mod context;
mod controllers;
mod definition_metrics;
mod distrust;
mod error;
mod event_type;
mod leader;
mod maintenance_window;
mod metrics;
mod resync;
mod run_news;
mod unseen;
mod window_watch;

pub use arguments::Arguments;
pub use context::Context;
pub use error::Error;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Parser as _;
use futures::FutureExt as _;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector;
use runtime::{AdminServer, MetricDescription, Metrics, Probe, Readiness, Shutdown};
use store::Store;
use temporal::Temporal;

use crate::claims::Claims;
use crate::controllers::Caches;
use crate::distrust::Distrusted;
use crate::leader::{Elector, Leadership};
use crate::metrics::OperatorMetrics;
use crate::unseen::Unseen;

const PROGRAM: &str = "actcore-operator";

/// How long what is under way may go on once the process is to stop. Each step may be cut: what
/// follows a crash follows this too.
const FINISH_WITHIN: Duration = Duration::from_secs(8);

/// The program `actcore-operator`.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    runtime::run_program(PROGRAM, run(arguments))
}

/// Every metric of the operator, those without a series too.
pub fn metrics() -> Result<Vec<MetricDescription>, prometheus::Error> {
    let metrics = Metrics::new(PROGRAM, env!("CARGO_PKG_VERSION"))?;
    OperatorMetrics::register(metrics.registry())?;
    Ok(metrics.registry().descriptions())
}

/// Runs the operator until it is told to stop. An error says what is missing or, when another
/// replica has taken over, that this process must end.
pub async fn run(mut arguments: Arguments) -> anyhow::Result<()> {
    // A chart value that is not set arrives as an empty variable.
    arguments.watch_namespace = arguments
        .watch_namespace
        .filter(|namespace| !namespace.is_empty());
    runtime::initialize(&arguments.log)?;
    let shutdown = Shutdown::on_signals()?;
    let metrics = Metrics::new(PROGRAM, env!("CARGO_PKG_VERSION"))?;
    let operator_metrics = OperatorMetrics::register(metrics.registry())?;
    let store = Store::new(arguments.postgres.pool(PROGRAM)?);
    let client = client::infer().await?;
    let identity = runtime::temporal::identity(PROGRAM);

    let reached = Arc::new(OnceLock::new());
    let readiness = Readiness::new(
        vec![
            kubernetes_probe(client.clone()),
            postgres_probe(store.clone()),
            temporal_probe(Arc::clone(&reached)),
        ],
        shutdown.clone(),
    )
    .shown_in(&metrics);
    let admin = AdminServer::serve(&arguments.admin, readiness, shutdown.clone()).await?;
    let metrics = metrics.serve(&arguments.metrics, shutdown.clone()).await?;

    let expiry = operator_metrics.webhook_certificate_expiry.clone();
    let webhook = admission::run(client.clone(), &arguments, expiry, &shutdown);
    let work = work(Work {
        arguments: &arguments,
        shutdown: &shutdown,
        client,
        store,
        identity,
        reached,
        metrics: operator_metrics,
    });
    // Whichever ends first ends the other: they share the fate of the process.
    let stop = |ended: anyhow::Result<()>| {
        if ended.is_err() {
            shutdown.begin();
        }
        ended
    };
    let (webhook, worked) = tokio::join!(webhook.map(stop), work.map(stop));
    shutdown.begin();
    admin.await??;
    metrics.await??;
    webhook.and(worked)
}

struct Work<'run> {
    arguments: &'run Arguments,
    shutdown: &'run Shutdown,
    client: Client,
    store: Store,
    identity: String,
    /// Takes the connection to Temporal for the probe.
    reached: Arc<OnceLock<Temporal>>,
    metrics: OperatorMetrics,
}

async fn work(work: Work<'_>) -> anyhow::Result<()> {
    let Work {
        arguments,
        shutdown,
        client,
        store,
        identity,
        reached,
        metrics,
    } = work;
    let connected = arguments.temporal.connect(&identity, None, shutdown).await;
    let temporal = match connected {
        Ok(client) => Temporal::new(client),
        Err(runtime::Error::Stopped { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let _ = reached.set(temporal.clone());
    let elector = Elector::new(
        client.clone(),
        &arguments.pod_namespace,
        identity,
        Duration::from_secs(u64::from(arguments.lease_duration_seconds)),
    );
    // Only who can work stands for election: a Lease that is held while waiting for the schema
    // would not be renewed.
    if !prepare(&temporal, &store, shutdown).await || !elector.acquire(shutdown).await {
        elector.release().await;
        return Ok(());
    }
    tracing::info!("leading");
    metrics.leader.set(1);
    let (context, caches) = context_of(
        arguments,
        client,
        temporal,
        store,
        elector.leadership(),
        metrics,
    )?;

    let controllers = controllers::run(Arc::new(context), caches, arguments, shutdown);
    tokio::pin!(controllers);
    tokio::select! {
        () = &mut controllers => {}
        kept = elector.keep(shutdown) => {
            if !kept {
                anyhow::bail!("another replica is the leader now; this process ends");
            }
            // What is under way may end while the Lease still holds. It is cut rather than waited
            // for too long: a process that is killed while it waits hands nothing over.
            if tokio::time::timeout(FINISH_WITHIN, controllers).await.is_err() {
                tracing::warn!("cut what was still under way");
            }
        }
    }
    elector.release().await;
    Ok(())
}

fn context_of(
    arguments: &Arguments,
    client: Client,
    temporal: Temporal,
    store: Store,
    leadership: Leadership,
    metrics: OperatorMetrics,
) -> anyhow::Result<(Context, Caches)> {
    let state_hub = arguments.state_hub_url.as_deref();
    let state_hub = state_hub.filter(|url| !url.is_empty());
    let (definitions, definitions_writer) = reflector::store();
    let (windows, windows_writer) = reflector::store();
    let context = Context {
        troubles: Recorder::new(client.clone(), Reporter::from(PROGRAM)),
        client,
        temporal,
        store,
        leadership,
        metrics,
        definitions,
        claims: Claims::default(),
        windows,
        watched: arguments.watch_namespace.clone(),
        distrusted: Distrusted::default(),
        unseen: Unseen::default(),
        state_hub: state_hub.map(audit::StateHub::new).transpose()?,
        swept_for: tokio::sync::Mutex::default(),
        time_limit: arguments.time_limit(),
    };
    let caches = Caches {
        definitions: definitions_writer,
        windows: windows_writer,
    };
    Ok((context, caches))
}

/// Makes sure that what every reconcile relies on is there: the schema, and the search attributes,
/// without which no run can start. Tries until it succeeds; false when the process is to stop.
async fn prepare(temporal: &Temporal, store: &Store, shutdown: &Shutdown) -> bool {
    let mut backoff = runtime::Backoff::up_to(Duration::from_secs(15));
    loop {
        let error = match prepared(temporal, store).await {
            Ok(()) => return true,
            Err(error) => error,
        };
        let delay = backoff.next_delay();
        tracing::warn!(
            error = format!("{error:#}"),
            retry_in_seconds = delay.as_secs(),
            "not ready to work yet"
        );
        if !shutdown.sleep(delay).await {
            return false;
        }
    }
}

async fn prepared(temporal: &Temporal, store: &Store) -> anyhow::Result<()> {
    let schema = store.schema_state().await?;
    schema.fits().map_err(anyhow::Error::msg)?;
    for name in temporal.ensure_search_attributes().await? {
        tracing::info!(search_attribute = name, "registered");
    }
    Ok(())
}

fn kubernetes_probe(client: Client) -> Probe {
    Probe::new("kubernetes", move || {
        let client = client.clone();
        async move {
            client
                .apiserver_version()
                .await
                .map(|_| ())
                .map_err(|error| error.to_string())
        }
        .boxed()
    })
}

fn postgres_probe(store: Store) -> Probe {
    Probe::new("postgres", move || {
        let store = store.clone();
        async move {
            let schema = store.schema_state().await;
            schema.map_err(|error| runtime::describe(&error))?.fits()
        }
        .boxed()
    })
}

/// A replica that is not connected yet, or not any more, still keeps its place in the election.
fn temporal_probe(reached: Arc<OnceLock<Temporal>>) -> Probe {
    Probe::new("temporal", move || {
        let reached = Arc::clone(&reached);
        async move {
            let temporal = reached.get().ok_or("not connected yet")?;
            let answered = temporal.ping().await;
            answered.map_err(|error| runtime::describe(&error))
        }
        .boxed()
    })
    .only_watched()
}
