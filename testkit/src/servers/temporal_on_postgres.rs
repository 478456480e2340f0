//! The full Temporal server on Postgres, for load figures: the development server's SQLite
//! saturates long before the server does.
//!
//! All four of its services run in one process. Its clients' load is what is to be measured, so
//! nothing but the store differs from how small installations run it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Place, Postgres, READY_TIMEOUT, SUPERUSER};
use crate::components::TemporalServerPrograms;
use crate::ports::free_port;
use crate::process::{Command, Process, start_on_free_ports};

/// The databases of a Temporal server, each with the folder of its schema inside the tool.
const DATABASES: [(&str, &str); 2] = [
    ("temporal", "postgresql/v12/temporal"),
    ("temporal_visibility", "postgresql/v12/visibility"),
];

/// Few shards suffice for one process.
const HISTORY_SHARDS: u32 = 64;

/// How long one step of setting up a schema may take.
const SCHEMA_TIMEOUT: Duration = Duration::from_mins(2);

/// The services, in the order of the server's own documentation.
const SERVICES: [&str; 4] = ["frontend", "history", "matching", "worker"];

/// A running Temporal server whose store is Postgres.
#[derive(Debug)]
pub struct TemporalOnPostgres {
    process: Process,
    host: String,
    metrics_url: String,
}

/// The ports of one try to start it.
struct Ports {
    /// One for gRPC and one for the ring of members, for each service.
    services: [(u16, u16); 4],
    metrics: u16,
}

impl TemporalOnPostgres {
    /// Starts it, with its configuration and log in `place` and its data in `postgres`. Namespaces
    /// are for the caller to register.
    pub async fn start(
        place: Place<'_>,
        programs: &TemporalServerPrograms,
        postgres: &Postgres,
    ) -> Result<Self> {
        let folder = place.make_data()?.to_owned();
        for (database, schema) in DATABASES {
            set_up(&place, programs, postgres, (database, schema)).await?;
        }
        start_on_free_ports("temporal-server", || async {
            let ports = Ports::pick()?;
            let configuration = folder.join("temporal.yaml");
            let text = serde_norway::to_string(&configuration_of(&ports, postgres.port()))?;
            fs::write(&configuration, text).context("failed to write temporal.yaml")?;
            let process = serve(&programs.server, &configuration, &place.log)?;
            let metrics_url = format!("http://127.0.0.1:{}/metrics", ports.metrics);
            let host = format!("127.0.0.1:{}", ports.services[0].0);
            process
                .ready(READY_TIMEOUT, || async {
                    let connected = tokio::net::TcpStream::connect(&host).await;
                    anyhow::Ok(connected.is_ok() && crate::http::is_ok(&metrics_url).await?)
                })
                .await?;
            Ok(Self {
                process,
                host,
                metrics_url,
            })
        })
        .await
    }

    /// Host and port of the gRPC interface, as `TEMPORAL_HOST` wants it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its own metrics, among them how often each call was made.
    pub fn metrics_url(&self) -> &str {
        &self.metrics_url
    }

    /// The process, to be stopped or killed.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

impl Ports {
    fn pick() -> Result<Self> {
        let mut services = [(0, 0); 4];
        for ports in &mut services {
            *ports = (low_port()?, low_port()?);
        }
        Ok(Self {
            services,
            metrics: free_port()?,
        })
    }
}

/// A free port below 32,768: the server enters its members' ports in a column of type smallint.
fn low_port() -> Result<u16> {
    const FIRST: u16 = 20_000;
    const LAST: u16 = 32_767;
    static NEXT: AtomicU16 = AtomicU16::new(FIRST);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        anyhow::ensure!(port < LAST, "no port between {FIRST} and {LAST} is free");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
}

/// Makes one database and brings its schema up to date.
async fn set_up(
    place: &Place<'_>,
    programs: &TemporalServerPrograms,
    postgres: &Postgres,
    (database, schema): (&str, &str),
) -> Result<()> {
    postgres.create_database(database).await?;
    let port = postgres.port().to_string();
    let steps: [&[&str]; 2] = [
        &["setup-schema", "-v", "0.0"],
        &["update-schema", "--schema-name", schema],
    ];
    for step in steps {
        let log: PathBuf = place.log.with_extension("schema.log");
        Command::new("temporal-sql-tool", &programs.sql_tool, log)
            .arguments([
                "--plugin",
                "postgres12",
                "--ep",
                "127.0.0.1",
                "--port",
                &port,
            ])
            .arguments([
                "--user",
                SUPERUSER,
                "--password",
                "none",
                "--database",
                database,
            ])
            .arguments(step.iter().copied())
            .run(SCHEMA_TIMEOUT)
            .await
            .with_context(|| format!("failed to set up the schema of {database}"))?;
    }
    Ok(())
}

fn serve(program: &Path, configuration: &Path, log: &Path) -> Result<Process> {
    Command::new("temporal-server", program, log)
        .flag("config-file", configuration.display())
        .arguments(["--allow-no-auth", "start"])
        .spawn()
}

fn configuration_of(ports: &Ports, postgres: u16) -> Value {
    let frontend = format!("127.0.0.1:{}", ports.services[0].0);
    let services: serde_json::Map<String, Value> = SERVICES
        .iter()
        .zip(ports.services)
        .map(|(name, (grpc, membership))| {
            let rpc =
                json!({"grpcPort": grpc, "membershipPort": membership, "bindOnLocalHost": true});
            ((*name).to_owned(), json!({"rpc": rpc}))
        })
        .collect();
    json!({
        "log": {"stdout": true, "level": "fatal"},
        "persistence": {
            "defaultStore": "default",
            "visibilityStore": "visibility",
            "numHistoryShards": HISTORY_SHARDS,
            "datastores": {
                "default": sql(DATABASES[0].0, postgres),
                "visibility": sql(DATABASES[1].0, postgres),
            },
        },
        "global": {
            "membership": {"maxJoinDuration": "30s", "broadcastAddress": "127.0.0.1"},
            "metrics": {"prometheus": {"listenAddress": format!("127.0.0.1:{}", ports.metrics)}},
        },
        "services": services,
        "clusterMetadata": {
            "enableGlobalNamespace": false,
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {"active": {
                "enabled": true, "initialFailoverVersion": 1, "rpcName": "frontend",
                "rpcAddress": frontend,
            }},
        },
        "dcRedirectionPolicy": {"policy": "noop"},
        "publicClient": {"hostPort": frontend},
    })
}

fn sql(database: &str, port: u16) -> Value {
    json!({"sql": {
        "pluginName": "postgres12",
        "databaseName": database,
        "connectAddr": format!("127.0.0.1:{port}"),
        "connectProtocol": "tcp",
        "user": SUPERUSER,
        "password": "none",
        "maxConns": 40,
        "maxIdleConns": 40,
        "maxConnLifetime": "1h",
    }})
}
