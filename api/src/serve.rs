//! Puts the parts together and runs them until the process is to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use audit::InvalidStateHubUrl;
use axum::Router;
use kube::Client;
use runtime::nats::NatsArguments;
use runtime::{AdminServer, Metrics, Probe, Readiness, Shutdown};
use store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::access::Access;
use crate::arguments::{Arguments, InvalidArguments};
use crate::dead_letters::DeadLetters;
use crate::definitions::Definitions;
use crate::event_types::EventTypes;
use crate::feedback_notes::Notes;
use crate::kubernetes::{self, KubernetesError};
use crate::metrics::{NoteMetrics, RequestMetrics};
use crate::rate_limit::RateLimits;
use crate::routes;
use crate::state::ApiState;
use crate::temporal_link::TemporalLink;

/// Why the API stopped, or never started.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Settings that contradict each other.
    #[error(transparent)]
    Arguments(#[from] InvalidArguments),
    /// STATE_HUB_URL is of no use.
    #[error(transparent)]
    StateHub(#[from] InvalidStateHubUrl),
    /// A setting that is missing or malformed, or an address that can't be listened on.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    /// Kubernetes can't be talked to.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// A metric is not well-formed.
    #[error("unable to register the metrics")]
    Metrics(#[source] prometheus::Error),
    /// A server failed.
    #[error("failed to serve {what}")]
    Serve {
        /// What was served.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A task ended by a panic.
    #[error("the task that served {what} broke off")]
    BrokeOff {
        /// What was served.
        what: &'static str,
        /// The panic.
        #[source]
        source: tokio::task::JoinError,
    },
}

/// Serves the API, `/livez`, `/readyz` and `/metrics` until the process is to stop. Fails when a
/// setting is of no use or an address is taken.
pub async fn run(arguments: Arguments, shutdown: Shutdown) -> Result<(), RunError> {
    arguments.check_address()?;
    let namespaces = arguments.namespaces()?;
    let client = kubernetes::client(arguments.kubeconfig.as_deref()).await?;
    let store = Store::new(arguments.postgres.pool(crate::PROGRAM)?);
    let exported =
        Metrics::new(crate::PROGRAM, env!("CARGO_PKG_VERSION")).map_err(RunError::Metrics)?;
    let metrics = RequestMetrics::register(exported.registry(), &routes::operations())
        .map_err(RunError::Metrics)?;
    let request_timeout = seconds(arguments.api_request_timeout_seconds);
    let note_metrics = NoteMetrics::register(exported.registry()).map_err(RunError::Metrics)?;
    let state_hub = arguments.state_hub()?;
    let state = ApiState {
        access: Arc::new(Access::new(arguments.api_authentication, client.clone())),
        event_types: EventTypes::new(client.clone(), namespaces.clone()),
        definitions: Definitions::new(
            client.clone(),
            store.clone(),
            namespaces,
            seconds(arguments.activity_timeout_seconds),
        ),
        store: store.clone(),
        temporal: TemporalLink::default(),
        working_memory: arguments.working_memory(),
        notes: Notes::new(state_hub.clone()),
        state_hub,
        dead_letters: DeadLetters::new(nats(&arguments.nats).await?),
        rate_limits: Arc::new(RateLimits::new(arguments.rate())),
        time_zone: arguments.api_time_zone,
        metrics,
        request_timeout,
    };
    let (temporal, notes) = (state.temporal.clone(), state.notes.clone());
    let notes = notes.send_all(store.clone(), note_metrics, shutdown.clone());
    let maximum_body = usize::try_from(arguments.api_max_body_bytes).unwrap_or(usize::MAX);
    let router = routes::router(state, maximum_body);

    let listener = bind(arguments.api_bind_addr).await?;
    let readiness = Readiness::new(probes(client, store, temporal.clone()), shutdown.clone())
        .shown_in(&exported);
    let admin = AdminServer::serve(&arguments.admin, readiness, shutdown.clone()).await?;
    let metrics = exported.serve(&arguments.metrics, shutdown.clone()).await?;
    let api = tokio::spawn(serve(listener, router, request_timeout, shutdown.clone()));
    let connection = tokio::spawn(temporal.connect(arguments.temporal, shutdown.clone()));
    let notes = tokio::spawn(notes);

    let outcome = tokio::try_join!(
        served("the API", api),
        served("health", admin),
        served("metrics", metrics),
        connected(connection),
        ended("the sender of feedback", notes),
    );
    // Whatever ended first, the others are to end as well.
    shutdown.begin();
    outcome.map(|_| ())
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, runtime::Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| runtime::Error::Listen {
            address,
            variable: "API_BIND_ADDR",
            source,
        })
}

/// Serves until the process is to stop, and then until the last request is answered, but no longer
/// than a request may take.
async fn serve(
    listener: TcpListener,
    router: Router,
    request_timeout: Duration,
    shutdown: Shutdown,
) -> io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "serving the API; see /docs");
    let stopping = shutdown.clone();
    let serving = axum::serve(
        listener,
        router.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(async move { stopping.begun().await });
    let too_late = async {
        shutdown.begun().await;
        tokio::time::sleep(request_timeout).await;
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = too_late => {
            tracing::warn!("gave up on connections that did not end");
            Ok(())
        }
    }
}

async fn served(what: &'static str, task: JoinHandle<io::Result<()>>) -> Result<(), RunError> {
    task.await
        .map_err(|source| RunError::BrokeOff { what, source })?
        .map_err(|source| RunError::Serve { what, source })
}

async fn connected(task: JoinHandle<Result<(), runtime::Error>>) -> Result<(), RunError> {
    task.await.map_err(|source| RunError::BrokeOff {
        what: "the connection to Temporal",
        source,
    })??;
    Ok(())
}

async fn ended(what: &'static str, task: JoinHandle<()>) -> Result<(), RunError> {
    task.await
        .map_err(|source| RunError::BrokeOff { what, source })
}

/// NATS, where it is set up.
async fn nats(arguments: &NatsArguments) -> Result<Option<async_nats::Client>, runtime::Error> {
    match arguments.nats_url.as_deref() {
        None | Some("") => Ok(None),
        Some(_) => arguments.connect(crate::PROGRAM).await.map(Some),
    }
}

/// What the API can't do without. Postgres and Temporal are not among it: definitions can be
/// written and read while they are away, and callers learn more from a 503 than from a refused
/// connection. A schema of another version is: it does not mend itself.
fn probes(client: Client, store: Store, temporal: TemporalLink) -> Vec<Probe> {
    let postgres = store.clone();
    let kubernetes = Probe::new("kubernetes", move || {
        let client = client.clone();
        Box::pin(async move {
            client
                .apiserver_version()
                .await
                .map(|_| ())
                .map_err(|error| runtime::describe(&error))
        })
    });
    let schema = Probe::new("schema", move || {
        let store = store.clone();
        Box::pin(async move {
            match tokio::time::timeout(Duration::from_secs(1), store.schema_state()).await {
                Ok(Ok(schema)) => schema.fits(),
                // That Postgres does not answer is for its own probe to say.
                Ok(Err(_)) | Err(_) => Ok(()),
            }
        })
    })
    .of_own_state();
    let postgres = Probe::new("postgres", move || {
        let store = postgres.clone();
        Box::pin(async move {
            let answered = store.ping().await;
            answered.map_err(|error| runtime::describe(&error))
        })
    })
    .only_watched();
    let temporal = Probe::new("temporal", move || {
        let link = temporal.clone();
        Box::pin(async move {
            let temporal = link.get().map_err(|error| runtime::describe(&error))?;
            let answered = temporal.ping().await;
            answered.map_err(|error| runtime::describe(&error))
        })
    })
    .only_watched();
    vec![kubernetes, schema, postgres, temporal]
}
