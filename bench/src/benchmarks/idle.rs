//! What the programs use when there is nothing to do.

use std::time::Duration;

use anyhow::Result;
use testkit::Program;

use crate::figures::{Figure, Limit, milliseconds};
use crate::place::Servers;
use crate::usage::Usage;

/// How long nothing happens.
const QUIET: Duration = Duration::from_mins(1);

/// How long the programs may take to come to rest.
const SETTLE: Duration = Duration::from_secs(20);

pub(super) async fn measure(servers: &Servers) -> Result<Vec<Figure>> {
    let place = servers.place("idle").await?;
    let mut running = Vec::new();
    for program in Program::ALL {
        running.push(place.start(program, &[]).await?);
    }
    // Time that passes is what is measured here.
    tokio::time::sleep(SETTLE).await;
    let before = running
        .iter()
        .map(|program| Usage::of(program.pid()))
        .collect::<Result<Vec<_>>>()?;
    let calls_before = servers.temporal_metrics().await?;
    tokio::time::sleep(QUIET).await;
    let calls_after = servers.temporal_metrics().await?;
    let mut figures = Vec::new();
    for (program, before) in running.iter().zip(before) {
        let after = Usage::of(program.pid())?;
        let name = program.program();
        figures.push(Figure::plain(
            format!("{name}: resident memory"),
            "MiB",
            after.resident,
            Limit::AtMost(40.0),
        ));
        figures.push(Figure::plain(
            format!("{name}: processor time a minute"),
            "ms",
            milliseconds(after.cpu.saturating_sub(before.cpu)),
            Limit::AtMost(600.0),
        ));
    }
    for call in ["ListSchedules", "DescribeSchedule", "PollWorkflowTaskQueue"] {
        let label = format!("operation=\"{call}\"");
        let labels = [label.as_str(), "service_name=\"frontend\""];
        let count = |scrape: &crate::scrape::Scrape| scrape.sum("service_requests", &labels);
        figures.push(Figure::plain(
            format!("{call} calls to Temporal a minute, all programs"),
            "calls",
            count(&calls_after) - count(&calls_before),
            Limit::Stated,
        ));
    }
    Ok(figures)
}
