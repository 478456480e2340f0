//! `actcore-faults`: strikes the programs with faults, and says what became of it.

#![expect(
    clippy::print_stdout,
    reason = "the outcomes are what a person asks for"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use faults::Plan;
use faults::enumerate::{self, Recording};
use faults::outcome::{Outcome, Verdict};
use faults::report::Report;
use faults::runner::{Options, Runner};
use faults::workload::Workload;

/// Strikes the programs with one fault at each call, and compares what becomes of it.
#[derive(Debug, Parser)]
#[command(name = "actcore-faults", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// How many plans run at a time; they wait more than they work.
    #[arg(long, global = true, default_value_t = 6)]
    jobs: usize,

    /// Chooses what is drawn, and among the answers of a server.
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,

    /// Runs no more plans than this, drawn by the seed.
    #[arg(long, global = true)]
    limit: Option<usize>,

    /// How many pairs of faults to draw on top of the single ones.
    #[arg(long, global = true, default_value_t = 0)]
    pairs: usize,

    /// Only these workloads, separated by commas.
    #[arg(long, global = true, value_delimiter = ',')]
    workloads: Vec<Workload>,

    /// Only plans that contain this text.
    #[arg(long, global = true)]
    matching: Option<String>,

    /// The folder of the documents: the outcomes go to `reliability.json` there, and the figures of
    /// `reliability.md` are replaced.
    #[arg(long, global = true, value_name = "FOLDER")]
    documents: Option<PathBuf>,

    /// Where each outcome is written as soon as it is known, a line of JSON each.
    #[arg(long, global = true, value_name = "FILE")]
    outcomes: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints every plan, one a line.
    List,
    /// Runs these plans.
    Run {
        /// WORKLOAD/PROGRAM/SERVER:CALL#N/KIND, as `list` prints them.
        #[arg(required = true)]
        plans: Vec<String>,
    },
    /// Runs every plan with one fault.
    All,
    /// Runs a few plans, drawn by the seed.
    Sample {
        /// How many.
        #[arg(default_value_t = 25)]
        count: usize,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True if every plan converged.
async fn run(arguments: Arguments) -> Result<bool> {
    let started = Instant::now();
    let total = Arc::new(AtomicUsize::new(0));
    let options = Options {
        jobs: arguments.jobs,
        seed: arguments.seed,
        observer: observer(&arguments, Arc::clone(&total))?,
    };
    let runner = Runner::start(options).await?;
    let plans = match &arguments.command {
        Command::Run { plans } => parse(plans)?,
        Command::List => {
            for plan in plans(&arguments, &recordings(&arguments, &runner).await?) {
                println!("{plan}");
            }
            return Ok(true);
        }
        Command::All => plans(&arguments, &recordings(&arguments, &runner).await?),
        Command::Sample { count } => {
            let plans = plans(&arguments, &recordings(&arguments, &runner).await?);
            enumerate::sample(plans, *count, arguments.seed)
        }
    };
    total.store(plans.len(), Ordering::Relaxed);
    eprintln!("{} plans", plans.len());
    let report = Report {
        date: chrono::Utc::now().format("%F").to_string(),
        seed: arguments.seed,
        outcomes: runner.run(plans).await?,
        took: started.elapsed().as_secs_f64(),
    };
    println!("{}", report.figures());
    if let Some(folder) = &arguments.documents {
        write_documents(folder, &report)?;
    }
    Ok(report
        .outcomes
        .iter()
        .all(|outcome| matches!(outcome.verdict, Verdict::Converged | Verdict::NotReached)))
}

fn parse(plans: &[String]) -> Result<Vec<Plan>> {
    plans
        .iter()
        .map(|plan| plan.parse().map_err(|error: String| anyhow::anyhow!(error)))
        .collect()
}

async fn recordings(arguments: &Arguments, runner: &Runner) -> Result<Vec<Recording>> {
    let workloads = if arguments.workloads.is_empty() {
        Workload::ALL.to_vec()
    } else {
        arguments.workloads.clone()
    };
    runner.record(&workloads).await
}

fn plans(arguments: &Arguments, recordings: &[Recording]) -> Vec<Plan> {
    let mut plans: Vec<Plan> = recordings.iter().flat_map(enumerate::singles).collect();
    if let Some(matching) = &arguments.matching {
        plans.retain(|plan| plan.to_string().contains(matching));
    }
    if let Some(limit) = arguments.limit {
        plans = enumerate::sample(plans, limit, arguments.seed);
    }
    plans.extend(enumerate::pairs(
        recordings,
        arguments.pairs,
        arguments.seed,
    ));
    plans
}

fn observer(arguments: &Arguments, total: Arc<AtomicUsize>) -> Result<faults::runner::Observer> {
    let file = match &arguments.outcomes {
        Some(path) => Some(
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .with_context(|| format!("failed to open {}", path.display()))?,
        ),
        None => None,
    };
    let done = AtomicUsize::new(0);
    Ok(Arc::new(move |outcome: &Outcome| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        eprintln!("{}", line(outcome, done, total.load(Ordering::Relaxed)));
        if let (Some(mut file), Ok(json)) = (file.as_ref(), serde_json::to_string(outcome)) {
            use std::io::Write as _;
            if let Err(error) = writeln!(file, "{json}") {
                eprintln!("the outcome was not written: {error}");
            }
        }
    }))
}

fn line(outcome: &Outcome, done: usize, total: usize) -> String {
    let after = outcome.converged_after;
    let after = after.map_or_else(String::new, |after| {
        format!(", converged after {after:.1} s")
    });
    let mut line = format!(
        "{done}/{total} {:?} {} ({:.1} s{after})",
        outcome.verdict, outcome.plan, outcome.took
    );
    for problem in &outcome.problems {
        line.push_str("\n    ");
        line.extend(problem.chars().take(1500));
    }
    line
}

fn write_documents(folder: &Path, report: &Report) -> Result<()> {
    let path = folder.join("reliability.md");
    let document = std::fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    std::fs::write(&path, report.replace_figures(&document)?)
        .with_context(|| format!("failed to write {}", path.display()))?;
    let path = folder.join("reliability.json");
    let json = serde_json::to_string_pretty(report).context("failed to print the outcomes")?;
    std::fs::write(&path, json + "\n")
        .with_context(|| format!("failed to write {}", path.display()))
}
