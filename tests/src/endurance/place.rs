//! The servers and programs of a run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::ActivityId;
use runtime::postgres::PostgresArguments;
use runtime::temporal::TemporalArguments;
use serde_json::json;
use store::{EventTypeRow, MirrorRow, Store};
use temporal::Temporal;
use testkit::ports::PortChoice;
use testkit::servers::{Nats, NatsOptions, Temporal as TemporalServer, TemporalOptions};
use testkit::{Program, RunningProgram, Signal, Stack, TestEnvironment};
use uuid::Uuid;

use super::traffic::{self, Waiting};

/// The Temporal namespace.
pub(super) const TEMPORAL_NAMESPACE: &str = "endurance";

/// The namespace of the definitions.
const NAMESPACE: &str = "team";

/// How long a killed server may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// The servers that are killed. They are replaced in place.
pub(super) struct Servers {
    pub(super) nats: Nats,
    pub(super) temporal: TemporalServer,
}

/// Everything that stays.
pub(super) struct Place {
    pub(super) environment: Arc<TestEnvironment>,
    pub(super) store: Store,
    pub(super) nats_url: String,
    pub(super) temporal_host: String,
    activities: Vec<(Waiting, ActivityId)>,
}

impl Place {
    /// Starts the servers and writes the definitions to the mirror.
    pub(super) async fn prepare(stack: &Stack, name: &str) -> Result<(Self, Servers)> {
        runtime::install_cryptography();
        let environment = Arc::new(stack.environment(name).await?);
        let postgres = PostgresArguments {
            database_url: Some(environment.database_url().to_owned()),
            database_max_connections: 5,
        };
        let store = Store::new(postgres.pool("endurance")?);
        store.upgrade().await?;
        let servers = Servers {
            nats: environment.start_nats(NatsOptions::default()).await?,
            temporal: environment.start_temporal(temporal_options()).await?,
        };
        let mut place = Self {
            nats_url: servers.nats.url().to_owned(),
            temporal_host: servers.temporal.host().to_owned(),
            environment,
            store,
            activities: Vec::new(),
        };
        for waiting in Waiting::ALL {
            let id = Uuid::new_v4();
            let row = MirrorRow {
                activity_id: id,
                namespace: NAMESPACE.to_owned(),
                name: waiting.name().to_owned(),
                uid: id,
                generation: 1,
                display_name: waiting.name().to_owned(),
                enabled: true,
                event_type: Some(traffic::EVENT_TYPE.to_owned()),
                spec: json!({"trigger": {"event": waiting.trigger()}}),
            };
            place.store.write_definition(&row).await?;
            place.activities.push((waiting, ActivityId::new(id)));
        }
        let event_type = EventTypeRow {
            name: traffic::EVENT_TYPE.to_owned(),
            namespace: NAMESPACE.to_owned(),
            uid: Uuid::new_v4(),
            generation: 1,
            description: None,
            schema: Some(traffic::schema()),
            validation: "Enforce".to_owned(),
        };
        place.store.write_event_type(&event_type).await?;
        Ok((place, servers))
    }

    /// The activity of a definition.
    pub(super) fn activity(&self, waiting: Waiting) -> Result<ActivityId> {
        let mut activities = self.activities.iter();
        let found = activities.find(|(known, _)| *known == waiting);
        found.map(|(_, id)| *id).context("no such definition")
    }

    /// A connection to Temporal.
    pub(super) async fn temporal(&self) -> Result<Temporal> {
        let arguments = TemporalArguments {
            temporal_host: Some(self.temporal_host.clone()),
            temporal_namespace: TEMPORAL_NAMESPACE.to_owned(),
            ..TemporalArguments::default()
        };
        Ok(Temporal::new(arguments.connect_once("endurance").await?))
    }

    /// Starts a router and waits until it is ready.
    pub(super) async fn start_router(&self) -> Result<RunningProgram> {
        let settings = [
            ("NATS_URL", self.nats_url.as_str()),
            ("TEMPORAL_HOST", &self.temporal_host),
            ("TEMPORAL_NAMESPACE", TEMPORAL_NAMESPACE),
            // What a killed router had in hand comes again soon.
            ("ROUTER_ACK_WAIT_SECONDS", "5"),
        ];
        self.environment.start(Program::EventRouter, settings).await
    }

    /// Starts a worker and waits until it is ready.
    pub(super) async fn start_worker(&self) -> Result<RunningProgram> {
        let settings = [
            ("TEMPORAL_HOST", self.temporal_host.as_str()),
            ("TEMPORAL_NAMESPACE", TEMPORAL_NAMESPACE),
        ];
        self.environment.start(Program::Worker, settings).await
    }
}

impl Servers {
    /// Kills NATS, and starts it again on its streams after `pause`.
    pub(super) async fn restart_nats(&mut self, place: &Place, pause: Duration) -> Result<()> {
        self.nats.process().signal(Signal::KILL)?;
        self.nats.process().wait(GONE_WITHIN).await?;
        tokio::time::sleep(pause).await;
        let options = NatsOptions {
            port: same_port(self.nats.url())?,
            ..NatsOptions::default()
        };
        self.nats = place.environment.start_nats(options).await?;
        Ok(())
    }

    /// Kills Temporal, and starts it again on its database after `pause`.
    pub(super) async fn restart_temporal(&mut self, place: &Place, pause: Duration) -> Result<()> {
        self.temporal.process().signal(Signal::KILL)?;
        self.temporal.process().wait(GONE_WITHIN).await?;
        tokio::time::sleep(pause).await;
        let options = TemporalOptions {
            port: same_port(self.temporal.host())?,
            ..temporal_options()
        };
        self.temporal = place.environment.start_temporal(options).await?;
        Ok(())
    }
}

fn temporal_options() -> TemporalOptions {
    TemporalOptions {
        namespaces: vec![TEMPORAL_NAMESPACE.to_owned()],
        persistent: true,
        ..TemporalOptions::default()
    }
}

fn same_port(address: &str) -> Result<PortChoice> {
    let port = address.rsplit(':').next().unwrap_or_default().parse();
    Ok(PortChoice::Preferred(
        port.context("an address without a port")?,
    ))
}
