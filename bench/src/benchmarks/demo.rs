//! What a newcomer waits for: `make demo`, with everything built and the servers in the cache.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::figures::{Figure, Limit};

/// How long the demo may take in all.
const WHOLE_DEMO: Duration = Duration::from_mins(5);

/// What the demo prints before and after the figure.
const BEFORE: &str = "first completed run after ";
const AFTER: &str = " s\n";

pub(super) async fn measure() -> Result<Vec<Figure>> {
    // A stack that is up already would answer at once.
    anyhow::ensure!(
        !std::path::Path::new(".dev").exists(),
        "the demo is measured from nothing: run `make down VOLUMES=1` first"
    );
    let shown = development(&["demo"]).await;
    development(&["down", "--volumes"]).await?;
    let shown = shown?;
    let figure = shown
        .split_once(BEFORE)
        .and_then(|(_, rest)| rest.split_once(AFTER))
        .context("the demo does not say when its first run was completed")?;
    Ok(vec![Figure::plain(
        "`make demo`, warm: first completed run",
        "s",
        figure.0.parse()?,
        Limit::AtMost(30.0),
    )])
}

async fn development(words: &[&str]) -> Result<String> {
    let running = Command::new(testkit::binary("actcore-dev")?)
        .args(words)
        .kill_on_drop(true)
        .output();
    let ended = tokio::time::timeout(WHOLE_DEMO, running)
        .await
        .with_context(|| format!("actcore-dev {words:?} does not end"))??;
    anyhow::ensure!(
        ended.status.success(),
        "actcore-dev {words:?}: {}",
        String::from_utf8_lossy(&ended.stderr)
    );
    Ok(String::from_utf8(ended.stdout)?)
}
