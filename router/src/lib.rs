//! The event router: starts activities from the events on JetStream. No event is lost, and none
//! is run twice for the same definition.
//!
//! Read in this order: [`run`] puts the parts together; `consume` pulls events and `settle` takes
//! each from its arrival to its acknowledgement; the crate [`routing`] says what an event leads to,
//! on a snapshot that `definitions` keeps current; `dispatch` starts runs, `order` those that have
//! to wait for others, and `dead_letter` puts aside what can't be routed. `gate` and `tries` hold
//! the reasons why an outage is not a failure.
//!
//! Several routers share one durable consumer, and each may be killed at any time: an event is
//! acknowledged only after all that it leads to is done, and doing it again changes nothing,
//! because a run's identity is a function of the definition and the event.

mod arguments;
mod consume;
mod dead_letter;
mod definitions;
mod dispatch;
mod gate;
mod health;
mod lag;
mod metrics;
mod order;
mod origin;
mod settle;
mod streams;
mod tries;
mod window;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream;
use clap::Parser as _;
use runtime::temporal::TemporalArguments;
use runtime::{AdminServer, Backoff, MetricDescription, Metrics, Readiness, Shutdown, describe};
use store::Store;
use temporal::Temporal;
use tokio::task::JoinSet;

pub use arguments::Arguments;

use consume::Consumption;
use dead_letter::DeadLetters;
use definitions::{Definitions, Keeper};
use dispatch::Dispatcher;
use health::Dependencies;
use metrics::RouterMetrics;
use order::Order;
use settle::Settler;
use streams::Settings;
use tries::Tries;

const PROGRAM: &str = "actcore-event-router";

/// The program `actcore-event-router`.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    runtime::run_program(PROGRAM, async {
        runtime::initialize(&arguments.log)?;
        run(arguments, Shutdown::on_signals()?).await
    })
}

/// How long one question to JetStream may take.
const JETSTREAM_TIMEOUT: Duration = Duration::from_secs(5);

/// How long everything may take to end after the first part has. The consumer's drain takes most
/// of it.
const STOP_TIMEOUT: Duration = Duration::from_secs(28);

/// Every metric of the event router, those without a series too.
pub fn metrics() -> Result<Vec<MetricDescription>, prometheus::Error> {
    let exported = Metrics::new(PROGRAM, env!("CARGO_PKG_VERSION"))?;
    RouterMetrics::register(exported.registry())?;
    RouterMetrics::register_mirror_age(exported.registry(), Definitions::new())?;
    Ok(exported.registry().descriptions())
}

/// Routes events until the process is to stop. An error is something that a person has to change:
/// a setting, or a stream that is set up otherwise.
pub async fn run(arguments: Arguments, shutdown: Shutdown) -> anyhow::Result<()> {
    let Arguments {
        max_in_flight,
        max_deliveries,
        ack_wait_seconds,
        stream_replicas,
        mirror_refresh_seconds,
        log: _,
        admin,
        metrics,
        postgres,
        temporal,
        nats,
    } = arguments;
    let store = Store::new(postgres.pool(PROGRAM)?);
    let jetstream = jetstream::context::ContextBuilder::new()
        .timeout(JETSTREAM_TIMEOUT)
        .build(nats.connect(PROGRAM).await?);
    let definitions = Definitions::new();
    let exported = Metrics::new(PROGRAM, env!("CARGO_PKG_VERSION"))?;
    let router_metrics = RouterMetrics::register(exported.registry())?;
    RouterMetrics::register_mirror_age(exported.registry(), definitions.clone())?;
    let connected = Arc::new(OnceLock::new());
    let refresh = Duration::from_secs(mirror_refresh_seconds.into());
    let dependencies = Dependencies {
        store: store.clone(),
        temporal: connected.clone(),
        jetstream: jetstream.clone(),
        definitions: definitions.clone(),
        refresh,
    };
    let readiness = Readiness::new(dependencies.probes(), shutdown.clone()).shown_in(&exported);
    let health_server = AdminServer::serve(&admin, readiness, shutdown.clone()).await?;
    let metrics_server = exported.serve(&metrics, shutdown.clone()).await?;

    let mut parts = Parts::new(shutdown.clone());
    parts.add(
        "the health server",
        async move { Ok(health_server.await??) },
    );
    parts.add(
        "the metrics server",
        async move { Ok(metrics_server.await??) },
    );
    let keeper = Arc::new(Keeper {
        definitions: definitions.clone(),
        store,
        refresh,
        metrics: router_metrics.clone(),
    });
    parts.add("the reader of the mirror", {
        let (keeper, shutdown) = (keeper.clone(), shutdown.clone());
        async move {
            keeper.run(&shutdown).await;
            Ok(())
        }
    });
    parts.add("the listener to the mirror", {
        let shutdown = shutdown.clone();
        async move {
            keeper.listen(&shutdown).await;
            Ok(())
        }
    });
    let watching = lag::watch(jetstream.clone(), router_metrics.clone(), shutdown.clone());
    parts.add("the watch over the lag", async move {
        watching.await;
        Ok(())
    });
    let routing = Routing {
        temporal,
        connected,
        jetstream,
        definitions,
        metrics: router_metrics,
        settings: Settings {
            ack_wait: Duration::from_secs(ack_wait_seconds.into()),
            stream_replicas: stream_replicas.into(),
        },
        max_in_flight: max_in_flight.into(),
        max_deliveries,
        shutdown,
    };
    parts.add("the consumer", routing.run());
    parts.run().await
}

/// What consuming needs, before Temporal is connected.
struct Routing {
    temporal: TemporalArguments,
    connected: Arc<OnceLock<Temporal>>,
    jetstream: jetstream::Context,
    definitions: Definitions,
    metrics: RouterMetrics,
    settings: Settings,
    max_in_flight: usize,
    max_deliveries: u16,
    shutdown: Shutdown,
}

impl Routing {
    /// Waits for everything that an event needs, then consumes.
    async fn run(self) -> anyhow::Result<()> {
        let Some(temporal) = self.connect().await? else {
            return Ok(());
        };
        // Until the definitions are known, no event could be decided.
        if self.shutdown.or(self.definitions.loaded()).await.is_none() {
            return Ok(());
        }
        let dispatcher = Dispatcher::new(temporal);
        let settler = Settler {
            definitions: self.definitions,
            order: Order::new(self.jetstream.clone(), dispatcher.clone()),
            dispatcher,
            nats: self.jetstream.client(),
            dead_letters: DeadLetters::new(self.jetstream.clone(), self.settings.stream_replicas),
            tries: Tries::new(self.max_deliveries),
            metrics: self.metrics,
            shutdown: self.shutdown.clone(),
        };
        let consumption = Consumption {
            jetstream: self.jetstream,
            settings: self.settings,
            settler: Arc::new(settler),
            max_in_flight: self.max_in_flight,
            shutdown: self.shutdown,
        };
        Ok(consumption.run().await?)
    }

    /// Connects to Temporal and sees to our search attributes, without which every start would be
    /// refused; `None` when the process is to stop.
    async fn connect(&self) -> anyhow::Result<Option<Temporal>> {
        let identity = runtime::temporal::identity(PROGRAM);
        let client = match self.temporal.connect(&identity, None, &self.shutdown).await {
            Ok(client) => client,
            Err(runtime::Error::Stopped { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let temporal = Temporal::new(client);
        let temporal = self.connected.get_or_init(|| temporal).clone();
        let mut backoff = Backoff::up_to(Duration::from_secs(15));
        loop {
            let ensuring = temporal.ensure_search_attributes();
            let error = match self.shutdown.or(ensuring).await {
                None => return Ok(None),
                Some(Ok(_)) => return Ok(Some(temporal)),
                Some(Err(error @ temporal::Error::SearchAttributeType { .. })) => {
                    return Err(error.into());
                }
                Some(Err(error)) => error,
            };
            let pause = backoff.next_delay();
            tracing::warn!(
                error = describe(&error),
                retry_in_seconds = pause.as_secs(),
                "unable to see to the search attributes"
            );
            if !self.shutdown.sleep(pause).await {
                return Ok(None);
            }
        }
    }
}

/// The parts of the process. When one ends, all end.
struct Parts {
    tasks: JoinSet<anyhow::Result<()>>,
    shutdown: Shutdown,
}

impl Parts {
    fn new(shutdown: Shutdown) -> Self {
        Self {
            tasks: JoinSet::new(),
            shutdown,
        }
    }

    fn add<F>(&mut self, name: &'static str, part: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            let outcome = part.await.with_context(|| format!("{name} failed"));
            shutdown.begin();
            outcome
        });
    }

    /// Waits for the end of all parts; the first error is the outcome.
    async fn run(mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        let stopping = async {
            self.shutdown.begun().await;
            tokio::time::sleep(STOP_TIMEOUT).await;
        };
        tokio::pin!(stopping);
        loop {
            let ended = tokio::select! {
                ended = self.tasks.join_next() => ended,
                () = &mut stopping => anyhow::bail!("not all parts ended in time"),
            };
            match ended {
                None => return outcome,
                Some(ended) => {
                    // A panic skips the part's own word that all is to end.
                    self.shutdown.begin();
                    let ended = ended.context("a part of the router panicked").flatten();
                    outcome = outcome.and(ended);
                }
            }
        }
    }
}
