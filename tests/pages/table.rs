//! `docs/paging.md`: what was measured, for people.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::fault::Row;
use crate::planned::Planned;

const DOCUMENT: &str = "docs/paging.md";

/// A fault and what it led to.
pub(crate) struct Measured {
    pub(crate) row: Row,
    /// From the fault to the page.
    pub(crate) paged: Duration,
    /// From its remedy to the news that it is over.
    pub(crate) cleared: Duration,
    /// Warnings that were told beside the page, to whoever reads them later.
    pub(crate) beside: Vec<String>,
}

/// Writes the document.
pub(crate) fn write(measured: &[Measured], planned: &[Planned], factor: u64) -> Result<()> {
    let mut text = head(factor);
    text.push_str(
        "| policy | alert | fault | seconds to the page | with the rules as they are | put right by \
         | seconds to the all-clear | told beside it |\n| --- | --- | --- | --- | --- | --- | --- \
         | --- |\n",
    );
    for measured in measured {
        let Measured {
            row,
            paged,
            cleared,
            beside,
        } = measured;
        let beside = if beside.is_empty() {
            "–".to_owned()
        } else {
            beside.join(", ")
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | [{1}](runbooks/{1}.md) | {2} | {3:.0} | {4} | {5} | {6:.0} | {7} |",
            row.policy,
            row.alert,
            row.cause,
            paged.as_secs_f32(),
            full_length(row, *paged, factor),
            row.remedy,
            cleared.as_secs_f32(),
            beside,
        );
    }
    text.push_str("\n## Nobody is paged\n\n| what happens | seen by |\n| --- | --- |\n");
    for planned in planned {
        let (what, seen) = planned.description();
        let _ = writeln!(text, "| {what} | {seen} |");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(DOCUMENT);
    std::fs::write(path, text).with_context(|| format!("failed to write {DOCUMENT}"))
}

/// What was measured, with the rule's own waiting time at its full length.
fn full_length(row: &Row, paged: Duration, factor: u64) -> String {
    if factor == 1 {
        return "measured".to_owned();
    }
    let waits = Duration::from_secs(row.waits);
    let shortened = waits / u32::try_from(factor).unwrap_or(1);
    let seconds = (paged + waits).saturating_sub(shortened).as_secs_f32();
    format!("about {seconds:.0}")
}

fn head(factor: u64) -> String {
    format!(
        "<!-- Written by `make pages`. Do not edit. -->

# From fault to page

Each fault of the paging policy was caused on the real programs and servers, with a real Prometheus
that had the chart's rules and a real Alertmanager that had the chart's inhibitions. After each one
exactly its page had come, for its definition where it has one, and it was over after the remedy.

All waiting times and ranges of the rules (`for`, `keep_firing_for`, `[30m]`, `offset`) were
divided by {factor}; thresholds were not. Prometheus scraped and judged every second, and
Alertmanager waited 2 seconds before it told of an alert, in place of 30 seconds each. The operator
compared every 2 seconds and audited every second, in place of 300 and 15. The column *with the rules
as they are* is the measured time with the rule's own waiting time at its full length; it is computed
unless it says measured. `ACTCORE_PAGES_FACTOR=1 make pages` measures it. Beyond that, the usual
scrape, evaluation and grouping of 30 seconds each add up to a minute and a half.

"
    )
}
