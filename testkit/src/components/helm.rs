//! Helm, built from its Go module. Only the tests of the chart need it, so it is not among the
//! components that every stack resolves.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::cache::Cache;
use super::go_build::require_go;
use super::platform::Platform;
use super::tool::output_of;
use super::version::Version;
use crate::process::{Command, Inherit};
use crate::progress::Progress;

const SOURCES: [(&str, &str); 3] = [
    ("go.mod", include_str!("../../helm/go.mod")),
    ("go.sum", include_str!("../../helm/go.sum")),
    ("tools.go", include_str!("../../helm/tools.go")),
];

const PROGRAM: &str = "helm";
const PACKAGE: &str = "helm.sh/helm/v3/cmd/helm";

/// From this version on, a schema may be as strict as the chart's.
const OLDEST: Version = Version::new(3, 18);

/// A cold build takes a minute or two.
const BUILD_TIMEOUT: Duration = Duration::from_mins(30);

/// Finds Helm: on the `PATH` when it is new enough, else in the cache, else by a build.
pub async fn helm(progress: &Progress) -> Result<PathBuf> {
    if let Some(found) = on_the_machine().await {
        return Ok(found);
    }
    let cache = Cache::from_environment()?;
    let entry = cache.entry(PROGRAM, version()?, Platform::current()?);
    if let Some(found) = entry.find(PROGRAM) {
        return Ok(found);
    }
    let _lock = cache.lock(PROGRAM, progress).await?;
    // Another process may have done it while we waited for the lock.
    if let Some(found) = entry.find(PROGRAM) {
        return Ok(found);
    }
    require_go().await?;
    let step = progress.step(PROGRAM, "building from the Go module");
    let workbench = cache.workbench(PROGRAM)?;
    for (name, content) in SOURCES {
        fs::write(workbench.join(name), content)
            .with_context(|| format!("failed to write {name}"))?;
    }
    let finished = workbench.join("finished");
    fs::create_dir_all(&finished).context("failed to make a folder for Helm")?;
    let log = workbench.join("build.log");
    let flags = format!(
        "-s -w -X helm.sh/helm/v3/internal/version.version=v{}",
        version()?
    );
    let program = finished.join(PROGRAM).display().to_string();
    let mut command = Command::new("go build", "go", &log)
        .arguments(["build", "-trimpath", "-ldflags", &flags, "-o"])
        .arguments([program, PACKAGE.to_owned()]);
    command.inherit = Inherit::All;
    command.directory = Some(workbench.clone());
    // The checkout may lie inside a Go workspace of its owner.
    command
        .environment
        .push(("GOWORK".to_owned(), "off".to_owned()));
    let building = || "compiling".to_owned();
    step.follow(command.run(BUILD_TIMEOUT), building).await?;
    let built = entry.take(&finished, PROGRAM)?;
    fs::remove_dir_all(&workbench).context("failed to clear up after building")?;
    step.finish("built");
    Ok(built)
}

async fn on_the_machine() -> Option<PathBuf> {
    let output = output_of(Path::new(PROGRAM), &["version", "--short"])
        .await
        .ok()?;
    (Version::find_in(&output)? >= OLDEST).then(|| PathBuf::from(PROGRAM))
}

/// The version that go.mod pins.
fn version() -> Result<&'static str> {
    SOURCES[0]
        .1
        .lines()
        .find_map(|line| line.trim().strip_prefix("require helm.sh/helm/v3 v"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("helm/go.mod does not require helm.sh/helm/v3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_version_is_one_that_would_be_taken_from_the_machine() {
        assert!(Version::find_in(version().unwrap()) >= Some(OLDEST));
    }
}
