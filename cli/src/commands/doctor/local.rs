//! The looks at what no server answers for: the working memory, and the clock.

use std::path::PathBuf;

use audit::WorkingMemory;
use chrono::{TimeDelta, Utc};
use store::Store;

use super::{Finding, checks};
use crate::connections::{PATIENCE, answer};

/// More than this, and a run is looked for on the wrong side of midnight, or a token counts as
/// expired.
const MOST_SKEW: TimeDelta = TimeDelta::seconds(5);

/// The working memory, be it a folder or a bucket; optional.
pub(super) async fn working_memory(place: Option<PathBuf>) -> Vec<Finding> {
    const MEMORY: &str = "working memory";
    let Some(place) = place else {
        return vec![Finding::not_applicable(
            MEMORY,
            "WORKING_MEMORY_DIR is not set",
        )];
    };
    let shown = place.display().to_string();
    // A network drive that hangs is not waited for.
    let memory = WorkingMemory::new(place);
    let looked = tokio::time::timeout(PATIENCE, memory.reach());
    vec![match looked.await {
        Ok(Ok(place)) => Finding::ok(MEMORY, place),
        Ok(Err(problem)) => Finding::failed(MEMORY, problem).advise(
            "check WORKING_MEMORY_DIR: that the volume is mounted, or the bucket and AWS_*",
        ),
        Err(_) => Finding::unknown(MEMORY, format!("{shown}: no answer in time")),
    }]
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
