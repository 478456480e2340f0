//! The looks at what is near: the folder of the working memory, and the clock.

use std::path::PathBuf;

use chrono::{TimeDelta, Utc};
use store::Store;

use super::{Finding, checks};
use crate::connections::{PATIENCE, answer};

/// More than this, and a run is looked for on the wrong side of midnight, or a token counts as
/// expired.
const MOST_SKEW: TimeDelta = TimeDelta::seconds(5);

/// The folder of the working memory; optional.
pub(super) async fn working_memory(folder: Option<PathBuf>) -> Vec<Finding> {
    const MEMORY: &str = "working memory";
    let Some(folder) = folder else {
        return vec![Finding::not_applicable(
            MEMORY,
            "WORKING_MEMORY_DIR is not set",
        )];
    };
    let shown = folder.display().to_string();
    // A network drive that hangs is not waited for.
    let looked = tokio::task::spawn_blocking(move || std::fs::read_dir(folder).map(drop));
    let finding = match tokio::time::timeout(PATIENCE, looked).await {
        Ok(Ok(Ok(()))) => Finding::ok(MEMORY, shown),
        Ok(Ok(Err(error))) => Finding::failed(MEMORY, format!("{shown}: {error}"))
            .advise("check WORKING_MEMORY_DIR, and that the volume is mounted"),
        Ok(Err(_)) | Err(_) => Finding::unknown(MEMORY, format!("{shown}: no answer in time")),
    };
    vec![finding]
}

/// This machine's clock against that of Postgres.
pub(super) async fn clock(store: &Store) -> Finding {
    const CLOCK: &str = "clock";
    let before = Utc::now();
    let theirs = match answer("Postgres", store.clock()).await {
        Ok(theirs) => theirs,
        Err(problem) => return checks::finding(CLOCK, &problem),
    };
    let ours = before + (Utc::now() - before) / 2;
    let skew = (theirs - ours).abs();
    let told = format!(
        "{}.{:03} s between this machine and Postgres",
        skew.num_seconds(),
        skew.num_milliseconds() % 1000
    );
    if skew <= MOST_SKEW {
        Finding::ok(CLOCK, told)
    } else {
        Finding::failed(CLOCK, told).advise("check NTP on both: timedatectl, chronyc tracking")
    }
}
