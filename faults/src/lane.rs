//! A place in which plans are run one after another: programs behind fault proxies on servers that
//! other lanes share, and connections of our own that no fault befalls.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::jetstream;
use crds::{ActivityDefinition, EventType, MaintenanceWindow};
use futures::future::try_join_all;
use kube::Api;
use store::Store;
use temporal::Temporal;
use testkit::fault::FaultyProgram;
use testkit::{Program, Stack, TestEnvironment};

use crate::clock;
use crate::schedules::Schedules;
use crate::statuses::Statuses;

/// How often the operator compares everything, in a lane.
pub const RESYNC: Duration = Duration::from_secs(1);

/// Which programs run in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cast {
    /// The operator, whose webhook nobody reaches.
    Definitions,
    /// The operator, with a webhook that answers.
    Admission,
    /// Operator, worker and router.
    Runs,
    /// Operator and API.
    Api,
    /// All four.
    All,
    /// All four, each with a clock of its own.
    Clocks,
}

impl Cast {
    /// The programs.
    pub const fn programs(self) -> &'static [Program] {
        match self {
            Self::Definitions | Self::Admission => &[Program::Operator],
            Self::Runs => &[Program::Operator, Program::Worker, Program::EventRouter],
            Self::Api => &[Program::Operator, Program::Api],
            Self::All | Self::Clocks => &Program::ALL,
        }
    }
}

/// A place in which plans are run.
pub struct Lane {
    /// Which programs these are.
    pub(crate) cast: Cast,
    /// The programs of the lane.
    pub programs: Vec<FaultyProgram>,
    /// The mirror and the ledger.
    pub store: Store,
    /// Temporal.
    pub temporal: Temporal,
    /// Temporal's Schedules, as its HTTP interface describes them.
    pub(crate) schedules: Schedules,
    /// The definitions.
    pub definitions: Api<ActivityDefinition>,
    /// The event types.
    pub event_types: Api<EventType>,
    /// The maintenance windows.
    pub windows: Api<MaintenanceWindow>,
    /// The events.
    pub jetstream: jetstream::Context,
    /// A client for the REST API.
    pub http: reqwest::Client,
    /// What the statuses say while a plan runs.
    pub(crate) statuses: Statuses,
    /// Namespace, stand-ins and folder. The last: programs end before what they use.
    pub environment: Arc<TestEnvironment>,
}

impl Lane {
    /// Starts the programs of a cast, and waits until all of them work.
    pub async fn start(stack: &Stack, cast: Cast, name: &str) -> Result<Self> {
        runtime::install_cryptography();
        let environment = Arc::new(stack.environment(name).await?);
        let postgres = runtime::postgres::PostgresArguments {
            database_url: Some(environment.database_url().to_owned()),
            database_max_connections: 5,
        };
        let store = Store::new(postgres.pool("faults")?);
        store.upgrade().await?;
        let temporal = runtime::temporal::TemporalArguments {
            temporal_host: Some(environment.temporal_host().to_owned()),
            temporal_namespace: environment.temporal_namespace().to_owned(),
            ..runtime::temporal::TemporalArguments::default()
        };
        let temporal = Temporal::new(temporal.connect_once("faults").await?);
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()
            .context("no HTTP client")?;
        let kube = environment.kube_client().await?;
        let namespace = environment.namespace();
        let definitions: Api<ActivityDefinition> = Api::namespaced(kube.clone(), namespace);
        let nats = async_nats::connect(environment.nats_url()).await?;
        let programs = cast
            .programs()
            .iter()
            .map(|program| start(&environment, cast, *program));
        let programs = try_join_all(programs).await?;
        let schedules = Schedules::new(
            http.clone(),
            stack.temporal().http_url(),
            environment.temporal_namespace(),
        );
        let lane = Self {
            cast,
            programs,
            statuses: Statuses::follow(definitions.clone(), &store, &schedules),
            schedules,
            store,
            temporal,
            definitions,
            event_types: Api::namespaced(kube.clone(), namespace),
            windows: Api::namespaced(kube, namespace),
            jetstream: jetstream::new(nats),
            http,
            environment,
        };
        lane.leads().await?;
        Ok(lane)
    }

    /// A program of the lane.
    pub fn program(&self, program: Program) -> Result<&FaultyProgram> {
        self.programs
            .iter()
            .find(|running| running.program() == program)
            .with_context(|| format!("{program} does not run in this lane"))
    }

    /// Waits until the operator leads and has compared everything once.
    pub async fn leads(&self) -> Result<()> {
        let operator = self.program(Program::Operator)?;
        let before = operator.comparisons();
        testkit::wait::until(
            "the operator to compare",
            Duration::from_mins(3),
            || async { operator.comparisons() > before },
        )
        .await?;
        Ok(())
    }

    /// Puts the clocks of programs so many seconds ahead; only in a lane with clocks.
    pub(crate) fn put_clocks(&self, programs: &[Program], seconds: i64) -> Result<()> {
        for program in programs {
            let running = self.program(*program)?.running();
            clock::prove(running.context("the program does not run")?.pid())?;
            clock::set(self.environment.folder(), *program, seconds)?;
        }
        Ok(())
    }

    /// Ends the programs.
    pub async fn stop(self) -> Result<()> {
        for program in self.programs {
            program.stop().await?;
        }
        Ok(())
    }
}

async fn start(
    environment: &Arc<TestEnvironment>,
    cast: Cast,
    program: Program,
) -> Result<FaultyProgram> {
    let mut variables = settings(cast, program).to_vec();
    let clock = match cast {
        Cast::Clocks => clock::variables(environment.folder(), program)?,
        _ => Vec::new(),
    };
    let clock = clock.iter().map(|(name, value)| (*name, value.as_str()));
    variables.extend(clock);
    FaultyProgram::start(environment, program, &variables).await
}

/// How often the operator has compared everything since its conductor was armed.
pub(crate) trait Comparisons {
    fn comparisons(&self) -> usize;
}

impl Comparisons for FaultyProgram {
    fn comparisons(&self) -> usize {
        let server = testkit::fault::Server::Temporal;
        self.conductor().count(server, "ListSchedules")
    }
}

const fn settings(cast: Cast, program: Program) -> &'static [(&'static str, &'static str)] {
    match program {
        Program::Operator if matches!(cast, Cast::Admission) => {
            &[("RESYNC_SECONDS", "1"), ("LEASE_DURATION_SECONDS", "6")]
        }
        Program::Operator => &[
            ("RESYNC_SECONDS", "1"),
            ("LEASE_DURATION_SECONDS", "6"),
            ("AUDIT_SECONDS", "1"),
            // What is wrong with a spec is for the reconciler to find, as when the webhook is down.
            ("WEBHOOK_URL", "https://127.0.0.1:1"),
        ],
        Program::Worker => &[
            ("EGRESS_ALLOWED_HOSTS", "127.0.0.1"),
            ("ISSUE_SINK_TYPE", "issue-core"),
        ],
        Program::EventRouter => &[
            ("ROUTER_ACK_WAIT_SECONDS", "2"),
            ("MIRROR_REFRESH_SECONDS", "2"),
        ],
        Program::Api => &[],
    }
}
