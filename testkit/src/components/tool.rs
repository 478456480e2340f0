//! Short questions to programs: run one to its end and read what it prints.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};

/// A program that has not printed its version by then is not one to build on.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What `program` prints on stdout, provided it ends well within 20 seconds.
pub(super) async fn output_of<A: AsRef<OsStr>>(program: &Path, arguments: &[A]) -> Result<String> {
    let running = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(TIMEOUT, running)
        .await
        .with_context(|| format!("{} did not end within {TIMEOUT:?}", program.display()))?
        .with_context(|| format!("failed to run {}", program.display()))?;
    anyhow::ensure!(
        output.status.success(),
        "{} failed ({}): {}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
