//! Events flow while routers are killed and NATS and Temporal are killed and started again; in the
//! end every run is counted, in Temporal and in the ledger.
//!
//! What is published, and what has to come of it, is planned beforehand ([`traffic`]), by rules of
//! its own and not by the router's. The servers keep their data on disk, as in earnest, and each is
//! ended by SIGKILL. Everything is drawn from one seed; what is not repeatable is the moment at
//! which a blow falls.

mod chaos;
mod count;
mod flow;
mod place;
pub mod traffic;

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use testkit::Stack;

use chaos::Blows;
use flow::Flow;
use place::Place;
use traffic::Traffic;

/// How large a run is, and how rough.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How many messages are published.
    #[arg(long, default_value_t = 20_000)]
    pub events: usize,

    /// What everything is drawn from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// How many of a hundred events start a run, on average over three definitions.
    #[arg(long, default_value_t = 15)]
    pub starting: u32,

    /// How many of a hundred messages repeat an earlier one.
    #[arg(long, default_value_t = 5)]
    pub duplicates: u32,

    /// How many of a hundred messages are poison.
    #[arg(long, default_value_t = 5)]
    pub poison: u32,

    /// How many routers share the consumer.
    #[arg(long, default_value_t = 3)]
    pub routers: usize,

    /// How often a router is killed.
    #[arg(long, default_value_t = 40)]
    pub kills: usize,

    /// How often NATS is killed and started again.
    #[arg(long, default_value_t = 4)]
    pub nats_restarts: usize,

    /// How often Temporal is killed and started again.
    #[arg(long, default_value_t = 4)]
    pub temporal_restarts: usize,

    /// How long the run may take, in seconds.
    #[arg(long, default_value_t = 1800)]
    pub timeout_seconds: u64,
}

/// What was done, what was counted, and what is wrong.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<(String, String)>,
    /// What should not be; nothing, if all is well.
    pub violations: Vec<String>,
}

impl Report {
    fn row(&mut self, name: impl Into<String>, value: impl fmt::Display) {
        self.rows.push((name.into(), value.to_string()));
    }

    fn violation(&mut self, text: impl Into<String>) {
        self.violations.push(text.into());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "| what | count |\n| --- | ---: |")?;
        for (name, value) in &self.rows {
            writeln!(formatter, "| {name} | {value} |")?;
        }
        for violation in &self.violations {
            writeln!(formatter, "VIOLATION: {violation}")?;
        }
        Ok(())
    }
}

/// Runs it once, on servers of its own beside those of `stack`.
pub async fn run(stack: &Stack, options: &Options) -> Result<Report> {
    let deadline = Duration::from_secs(options.timeout_seconds);
    let running = Box::pin(run_unbounded(stack, options));
    tokio::time::timeout(deadline, running)
        .await
        .unwrap_or_else(|_| anyhow::bail!("it was not over within {deadline:?}"))
}

async fn run_unbounded(stack: &Stack, options: &Options) -> Result<Report> {
    let traffic = Traffic::plan(options);
    let (place, servers) = Place::prepare(stack, "endurance").await?;
    let mut routers = Vec::new();
    for _ in 0..options.routers {
        routers.push(place.start_router().await?);
    }
    let worker = place.start_worker().await?;
    let begun = Instant::now();
    let flow = Flow::new(&place, &traffic).await?;
    let blows = Blows::draw(options);
    // Servers and routers stay alive in here until all is counted.
    let (published, routers, servers) = tokio::try_join!(
        flow.publish(),
        blows.kill_routers(&place, routers, flow.progress()),
        blows.restart_servers(&place, servers, flow.progress()),
    )?;
    let delivered = flow.all_settled().await?;
    let settled_after = begun.elapsed();

    let mut report = Report::default();
    report.row("messages published", traffic.messages.len());
    report.row(
        "of them repetitions of an earlier event",
        traffic.duplicates(),
    );
    report.row("of them poison", traffic.poison());
    report.row("routers", options.routers);
    report.row("routers killed with SIGKILL", options.kills);
    report.row("NATS killed and started again", options.nats_restarts);
    report.row(
        "Temporal killed and started again",
        options.temporal_restarts,
    );
    let redelivered = delivered.saturating_sub(u64::try_from(traffic.messages.len())?);
    report.row("deliveries beyond the first", redelivered);
    report.row("seconds until all were settled", settled_after.as_secs());
    let counting = count::Counting {
        place: &place,
        traffic: &traffic,
        published: &published,
    };
    counting.count(&mut report).await?;
    report.row("seconds in all", begun.elapsed().as_secs());
    drop((routers, worker, servers));
    Ok(report)
}
