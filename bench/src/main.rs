//! `make bench`: speed and cost, each against its limit or against the bare work that a peer did in
//! the same run, on the same servers, round by round in turn.
//!
//! It asserts nothing, as a busy machine must not fail a build: it says what was kept and what was
//! missed. All traffic stays on loopback, and every step is bounded.

mod bare;
mod benchmarks;
mod figures;
mod place;
mod report;
mod scrape;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser as _;

use benchmarks::{Benchmark, Size};
use place::Servers;
use report::{Report, Subject};

/// Measures speed and cost on real servers, all on this machine.
#[derive(Debug, clap::Parser)]
#[command(name = "actcore-bench", version)]
struct Arguments {
    /// What to measure; everything when left out.
    #[arg(value_enum)]
    benchmarks: Vec<Benchmark>,

    /// How many definitions the larger measurements take.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    definitions: usize,

    /// How often each comparison is repeated.
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,

    /// How many rows the run history has.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    history_rows: usize,

    /// The folder of the documents: the figures are entered into `performance.json` there, and
    /// the tables of `performance.md` are replaced. Without it the tables are only shown.
    #[arg(long, value_name = "FOLDER")]
    documents: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let size = Size {
        definitions: arguments.definitions,
        rounds: arguments.rounds.max(1),
        history_rows: arguments.history_rows.max(100),
    };
    let chosen = if arguments.benchmarks.is_empty() {
        Benchmark::ALL.to_vec()
    } else {
        arguments.benchmarks
    };
    let servers = Servers::start().await?;
    let mut report = match &arguments.documents {
        Some(documents) => Report::read(documents)?,
        None => Report::default(),
    };
    let mut failed = Vec::new();
    for benchmark in chosen {
        eprintln!("measuring: {}", benchmark.title());
        match Box::pin(benchmark.run(&servers, size)).await {
            Ok(figures) => report.enter(Subject {
                benchmark,
                date: chrono::Utc::now().format("%F").to_string(),
                machine: machine()?,
                figures,
            }),
            // The others are worth their hour all the same.
            Err(error) => {
                eprintln!("error: {}: {error:#}", benchmark.title());
                failed.push(benchmark.title());
            }
        }
        if let Some(documents) = &arguments.documents {
            report.write(documents)?;
        }
    }
    eprintln!("{}", report.tables());
    servers.stop().await?;
    anyhow::ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

/// The machine, as far as it matters for the figures.
fn machine() -> Result<String> {
    let processors = std::thread::available_parallelism()?;
    let model = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([':', ' ', '\t'])
        });
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let kibibytes: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("/proc/meminfo has no MemTotal")?
        .parse()?;
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    Ok(format!(
        "{processors} processors ({model}), {} GiB, everything on this machine, {build} build",
        kibibytes / 1024 / 1024
    ))
}
