//! The full Temporal server and its schema tool, built from their Go module. Only the benchmarks
//! need them, so they are not among the components that every stack resolves.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::cache::Cache;
use super::go_build::require_go;
use super::platform::Platform;
use crate::process::{Command, Inherit};
use crate::progress::Progress;

const SOURCES: [(&str, &str); 3] = [
    ("go.mod", include_str!("../../temporal/go.mod")),
    ("go.sum", include_str!("../../temporal/go.sum")),
    ("tools.go", include_str!("../../temporal/tools.go")),
];

/// Each program with its package.
const PROGRAMS: [(&str, &str); 2] = [
    ("temporal-server", "go.temporal.io/server/cmd/server"),
    ("temporal-sql-tool", "go.temporal.io/server/cmd/tools/sql"),
];

/// The name of both in the cache.
const NAME: &str = "temporal-server";

/// A cold build takes some eleven minutes of one processor.
const BUILD_TIMEOUT: Duration = Duration::from_hours(1);

/// Where the programs of a full Temporal server are.
#[derive(Debug, Clone)]
pub struct TemporalServerPrograms {
    /// The server.
    pub server: PathBuf,
    /// What sets up the schemas of its databases.
    pub sql_tool: PathBuf,
}

impl TemporalServerPrograms {
    /// Takes them from the cache, or builds them.
    pub async fn resolve(progress: &Progress) -> Result<Self> {
        let cache = Cache::from_environment()?;
        let version = version()?;
        let entry = cache.entry(NAME, version, Platform::current()?);
        let find = || {
            Some(Self {
                server: entry.find(PROGRAMS[0].0)?,
                sql_tool: entry.find(PROGRAMS[1].0)?,
            })
        };
        if let Some(found) = find() {
            return Ok(found);
        }
        let _lock = cache.lock(NAME, progress).await?;
        // Another process may have done it while we waited for the lock.
        if let Some(found) = find() {
            return Ok(found);
        }
        require_go().await?;
        let step = progress.step(NAME, "building from the Go module");
        let workbench = cache.workbench(NAME)?;
        for (name, content) in SOURCES {
            fs::write(workbench.join(name), content)
                .with_context(|| format!("failed to write {name}"))?;
        }
        let finished = workbench.join("finished");
        fs::create_dir_all(&finished).context("failed to make a folder for the programs")?;
        for (name, package) in PROGRAMS {
            let log = workbench.join("build.log");
            let mut command = Command::new("go build", "go", &log)
                .arguments(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
                .arguments([
                    finished.join(name).display().to_string(),
                    package.to_owned(),
                ]);
            command.inherit = Inherit::All;
            command.directory = Some(workbench.clone());
            // The checkout may lie inside a Go workspace of its owner.
            command
                .environment
                .push(("GOWORK".to_owned(), "off".to_owned()));
            let building = || format!("compiling {name}");
            step.follow(command.run(BUILD_TIMEOUT), building).await?;
        }
        entry.take(&finished, PROGRAMS[0].0)?;
        fs::remove_dir_all(&workbench).context("failed to clear up after building")?;
        step.finish("built");
        find().context("the Temporal server was not built")
    }
}

/// The version that go.mod pins.
fn version() -> Result<&'static str> {
    SOURCES[0]
        .1
        .lines()
        .find_map(|line| line.trim().strip_prefix("require go.temporal.io/server v"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("temporal/go.mod does not require go.temporal.io/server")
}
