//! Commands that are run to their end.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::Command;

/// What `command` says on stdout and then on stderr, provided it ends well within `limit`. It has
/// no input, and is killed when nobody waits for it any more. An error has what it said.
pub async fn run_to_its_end(mut command: Command, limit: Duration) -> Result<String> {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let ended = tokio::time::timeout(limit, running).await;
    let ended = ended.context("it did not end in time")??;
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
    anyhow::ensure!(ended.status.success(), "{}\n{told}", ended.status);
    Ok(told)
}
