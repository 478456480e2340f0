//! Where it is measured: a Temporal server on Postgres, and all the rest from the testkit. Each
//! benchmark has its own Kubernetes namespace, Temporal namespace, database and NATS.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crds::ActivityDefinition;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use store::Store;
use temporal::Temporal;
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::IntoRequest as _;
use temporalio_common::protos::temporal::api::workflowservice::v1::RegisterNamespaceRequest;
use testkit::components::TemporalServerPrograms;
use testkit::progress::Progress;
use testkit::servers::{Place as ServerPlace, TemporalOnPostgres};
use testkit::wait::{self, Seen};
use testkit::{Program, RunningProgram, Stack, StackOptions, TestEnvironment};

use crate::scrape::Scrape;

/// How long anything that is waited for may take.
pub(crate) const PATIENCE: Duration = Duration::from_mins(20);

/// How long a server has to be still to count as at rest.
const REST: Duration = Duration::from_secs(3);

/// How many tasks its own upkeep may do meanwhile.
const STILL: f64 = 10.0;

/// How long the server keeps what has ended: Temporal's least.
const RETENTION: Duration = Duration::from_hours(24);

/// The servers of one run of the benchmarks.
pub(crate) struct Servers {
    stack: Stack,
    temporal: TemporalOnPostgres,
}

impl Servers {
    /// Starts them; builds the Temporal server the first time.
    pub(crate) async fn start() -> Result<Self> {
        runtime::install_cryptography();
        let progress = Progress::on_stderr();
        let programs = TemporalServerPrograms::resolve(&progress).await?;
        // The development server is not used; it idles.
        let stack = Stack::start(StackOptions {
            temporal_namespaces: 32,
            ..StackOptions::default()
        })
        .await?;
        let place = ServerPlace {
            components: stack.components(),
            data: stack.folder().join("temporal-server"),
            log: stack.folder().join("temporal-server.log"),
        };
        let temporal = TemporalOnPostgres::start(place, &programs, stack.postgres()).await?;
        Ok(Self { stack, temporal })
    }

    /// The Temporal server's own metrics.
    pub(crate) async fn temporal_metrics(&self) -> Result<Scrape> {
        Scrape::of(self.temporal.metrics_url()).await
    }

    /// Waits until Temporal has nothing left to do. A Schedule is a workflow that begins after the
    /// call that creates it was answered; what one side leaves to do would slow the other.
    pub(crate) async fn temporal_at_rest(&self) -> Result<()> {
        let done = || async {
            let scrape = self.temporal_metrics().await?;
            anyhow::Ok(scrape.sum("task_requests", &[]))
        };
        let began = Instant::now();
        let mut before = done().await?;
        loop {
            anyhow::ensure!(began.elapsed() < PATIENCE, "Temporal does not come to rest");
            tokio::time::sleep(REST).await;
            let now = done().await?;
            if now - before < STILL {
                return Ok(());
            }
            before = now;
        }
    }

    /// A place for one benchmark.
    pub(crate) async fn place(&self, name: &str) -> Result<Place> {
        let environment = self.stack.environment(name).await?;
        let namespace = environment.namespace().to_owned();
        let temporal = self.namespace(&namespace).await?;
        let postgres = runtime::postgres::PostgresArguments {
            database_url: Some(environment.database_url().to_owned()),
            database_max_connections: 16,
        };
        let store = Store::new(postgres.pool("bench")?);
        store.upgrade().await?;
        let definitions = Api::namespaced(environment.kube_client().await?, &namespace);
        Ok(Place {
            temporal_host: self.temporal.host().to_owned(),
            environment,
            store,
            temporal,
            definitions,
        })
    }

    /// Registers a Temporal namespace and waits until the server knows it everywhere.
    async fn namespace(&self, name: &str) -> Result<Temporal> {
        let temporal = connect(self.temporal.host(), name).await?;
        let mut client = temporal.client().clone();
        let registration = RegisterNamespaceRequest {
            namespace: name.to_owned(),
            workflow_execution_retention_period: Some(RETENTION.try_into()?),
            ..Default::default()
        };
        WorkflowService::register_namespace(&mut client, registration.into_request())
            .await
            .with_context(|| format!("failed to register the Temporal namespace {name}"))?;
        wait::until("the Temporal namespace", PATIENCE, || async {
            temporal.ensure_search_attributes().await?;
            // Its caches learn of search attributes some seconds later.
            let trial = crate::bare::schedule(uuid::Uuid::new_v4())?;
            temporal.create_schedule(&trial).await?;
            temporal.delete_schedule(trial.action.activity).await?;
            anyhow::Ok(true)
        })
        .await?;
        Ok(temporal)
    }

    /// Stops everything.
    pub(crate) async fn stop(self) -> Result<()> {
        drop(self.temporal);
        self.stack.stop().await
    }
}

/// One benchmark's place.
pub(crate) struct Place {
    /// Its namespace, NATS, stand-ins and programs.
    pub(crate) environment: TestEnvironment,
    /// Its database, migrated.
    pub(crate) store: Store,
    /// Its Temporal namespace.
    pub(crate) temporal: Temporal,
    /// The definitions of its Kubernetes namespace.
    pub(crate) definitions: Api<ActivityDefinition>,
    temporal_host: String,
}

impl Place {
    /// Starts one of our programs on these servers.
    pub(crate) async fn start(
        &self,
        program: Program,
        settings: &[(&str, &str)],
    ) -> Result<RunningProgram> {
        let ours = self.temporal_settings();
        let ours = ours.iter().map(|(name, value)| (*name, value.as_str()));
        let settings = ours
            .chain([("RUST_LOG", "warn")])
            .chain(settings.iter().copied());
        self.environment.start(program, settings).await
    }

    /// What differs from the environment's settings: the Temporal server.
    fn temporal_settings(&self) -> [(&'static str, String); 2] {
        [
            ("TEMPORAL_HOST", self.temporal_host.clone()),
            (
                "TEMPORAL_NAMESPACE",
                self.environment.namespace().to_owned(),
            ),
        ]
    }

    /// Where everything is, for `actcore`.
    pub(crate) fn env(&self) -> BTreeMap<String, String> {
        let mut env = self.environment.env();
        for (name, value) in self.temporal_settings() {
            env.insert(name.to_owned(), value);
        }
        env
    }
}

impl Place {
    /// Creates definitions that only have a cron expression, `concurrency` at once.
    pub(crate) async fn create(
        &self,
        (prefix, count): (&str, usize),
        cron: &serde_json::Value,
        concurrency: usize,
    ) -> Result<()> {
        let creating = (0..count).map(|number| async move {
            let object: ActivityDefinition = serde_json::from_value(json!({
                "apiVersion": "activity-core.io/v1alpha1", "kind": "ActivityDefinition",
                "metadata": {"name": format!("{prefix}-{number}")},
                "spec": {"trigger": {"cron": cron}},
            }))?;
            self.definitions
                .create(&PostParams::default(), &object)
                .await?;
            anyhow::Ok(())
        });
        let mut creating = stream::iter(creating).buffer_unordered(concurrency);
        while creating.try_next().await?.is_some() {}
        Ok(())
    }
}

async fn connect(host: &str, namespace: &str) -> Result<Temporal> {
    let temporal = runtime::temporal::TemporalArguments {
        temporal_host: Some(host.to_owned()),
        temporal_namespace: namespace.to_owned(),
        ..runtime::temporal::TemporalArguments::default()
    };
    // The server listens a moment before it answers.
    wait::until("an answer of Temporal", PATIENCE, || async {
        let client = temporal.connect_once("bench").await?;
        anyhow::Ok(Seen::Done(Temporal::new(client)))
    })
    .await
    .map_err(Into::into)
}
