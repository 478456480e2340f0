//! Our own programs, started as a person would start them: the built binaries, set up by
//! environment variables, ready when they say so.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::http;
use crate::ports::PortChoice;
use crate::process::{Command, Process, start_on_free_ports};

/// How long a program may take until it says that it is ready.
const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// Names the folder of the binaries.
const BINARIES: &str = "ACTCORE_BIN_DIR";

/// One of our programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// `actcore-operator`
    Operator,
    /// `actcore-worker`
    Worker,
    /// `actcore-event-router`
    EventRouter,
    /// `actcore-api`
    Api,
}

impl Program {
    /// All of them, in the order in which they are started.
    pub const ALL: [Self; 4] = [Self::Operator, Self::Worker, Self::EventRouter, Self::Api];

    /// The name of its binary.
    pub fn binary(self) -> &'static str {
        match self {
            Self::Operator => "actcore-operator",
            Self::Worker => "actcore-worker",
            Self::EventRouter => "actcore-event-router",
            Self::Api => "actcore-api",
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.binary())
    }
}

/// The binary of our command line.
pub(crate) const COMMAND_LINE: &str = "actcore";

/// The folder of the built binaries: `$ACTCORE_BIN_DIR`, else that of the running program; the
/// binary of a test lies one folder deeper.
pub fn binaries() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(BINARIES) {
        return std::path::absolute(folder).with_context(|| format!("{BINARIES} is no folder"));
    }
    let running = std::env::current_exe().context("failed to find the running program's folder")?;
    let folder = running
        .parent()
        .context("the running program is in no folder")?;
    let in_deps = folder.file_name().is_some_and(|name| name == "deps");
    Ok(if in_deps {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    }
    .to_owned())
}

/// Where one of our binaries is; an error that says how to build it if it is not there.
pub fn binary(name: &str) -> Result<PathBuf> {
    let path = binaries()?.join(name);
    anyhow::ensure!(
        path.is_file(),
        "{} is not built; run `cargo build --bins` (or set {BINARIES} to the folder with it)",
        path.display()
    );
    Ok(path)
}

/// Where a program listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProgramPorts {
    /// The REST API (only the API has one).
    pub api: PortChoice,
    /// `/metrics`.
    pub metrics: PortChoice,
}

/// What a program is started with.
#[derive(Debug, Clone)]
pub(crate) struct ProgramStart<'a> {
    pub(crate) program: Program,
    pub(crate) ports: ProgramPorts,
    pub(crate) environment: &'a BTreeMap<String, String>,
    pub(crate) log: PathBuf,
}

/// A program that runs. Dropping it ends it.
#[derive(Debug)]
pub struct RunningProgram {
    program: Program,
    process: Process,
    ports: ProgramPorts,
    api_url: String,
    health_url: String,
    metrics_url: String,
}

impl RunningProgram {
    pub(crate) async fn start(start: &ProgramStart<'_>) -> Result<Self> {
        let path = binary(start.program.binary())?;
        start_on_free_ports(start.program, || Self::try_start(&path, start)).await
    }

    async fn try_start(path: &Path, start: &ProgramStart<'_>) -> Result<Self> {
        let running = Self::spawn(path, start)?;
        running
            .process
            .ready(READY_TIMEOUT, || running.is_ready())
            .await?;
        Ok(running)
    }

    /// Starts it and does not wait until it is ready.
    pub(crate) fn launch(start: &ProgramStart<'_>) -> Result<Self> {
        Self::spawn(&binary(start.program.binary())?, start)
    }

    /// Whether it says that it is ready.
    pub(crate) async fn is_ready(&self) -> Result<bool> {
        http::is_ok(&format!("{}/readyz", self.health_url)).await
    }

    fn spawn(path: &Path, start: &ProgramStart<'_>) -> Result<Self> {
        let (api, metrics) = (start.ports.api.pick()?, start.ports.metrics.pick()?);
        let addresses = [
            ("API_BIND_ADDR", api),
            ("HEALTH_BIND_ADDR", PortChoice::Free.pick()?),
            ("PROMETHEUS_BIND_ADDR", metrics),
        ];
        let mut command = Command::new(start.program.binary(), path, &start.log);
        for name in ["RUST_LOG", "RUST_BACKTRACE"] {
            if let Ok(value) = std::env::var(name) {
                command.environment.push((name.to_owned(), value));
            }
        }
        for (name, port) in addresses {
            command
                .environment
                .push((name.to_owned(), format!("127.0.0.1:{port}")));
        }
        // The operator is outside of the cluster, so the API server reaches its webhook by URL.
        let webhook = PortChoice::Free.pick()?;
        for (name, scheme) in [("WEBHOOK_BIND_ADDR", ""), ("WEBHOOK_URL", "https://")] {
            command
                .environment
                .push((name.to_owned(), format!("{scheme}127.0.0.1:{webhook}")));
        }
        // Last, so that the caller's word counts.
        let given = start
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        command.environment.extend(given);
        let process = command.spawn()?;
        let [api_url, health_url, metrics_url] =
            addresses.map(|(_, port)| format!("http://127.0.0.1:{port}"));
        let ports = ProgramPorts {
            api: PortChoice::Preferred(api),
            metrics: PortChoice::Preferred(metrics),
        };
        Ok(Self {
            program: start.program,
            process,
            ports,
            api_url,
            health_url,
            metrics_url,
        })
    }

    /// Which program it is.
    pub fn program(&self) -> Program {
        self.program
    }

    /// Where it listens, for one that takes its place.
    pub(crate) fn ports(&self) -> ProgramPorts {
        self.ports
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends it a signal, for example [`Signal::KILL`].
    pub fn kill(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Waits for its end, at most `timeout`.
    pub async fn wait(&self, timeout: Duration) -> Result<ExitStatus> {
        self.process.wait(timeout).await
    }

    /// Waits for its end, however long that takes.
    pub(crate) async fn ended(&self) -> Result<ExitStatus> {
        self.process.wait_for_end().await
    }

    /// How it ended, if it has.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.process.exit_status()
    }

    /// Asks it to end, waits, and kills it if it does not.
    pub async fn stop(self) -> Result<()> {
        self.process.stop().await
    }

    /// Where its log is.
    pub fn log_path(&self) -> &Path {
        self.process.log_path()
    }

    /// The REST API, if the program is the API.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// `/livez` and `/readyz` are below it.
    pub fn health_url(&self) -> &str {
        &self.health_url
    }

    /// `/metrics` is below it.
    pub fn metrics_url(&self) -> &str {
        &self.metrics_url
    }
}
