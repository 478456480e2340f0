//! `actcore-faults`: strikes the programs with faults, and says what became of it.

#![expect(
    clippy::print_stdout,
    reason = "the outcomes are what a person asks for"
)]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use faults::Plan;
use faults::arguments::{Arguments, Command};
use faults::definitions::{self, DEFINITIONS, Operation};
use faults::enumerate::{self, Recording};
use faults::outages::{self, OUTAGES, Outage};
use faults::outcome::Outcome;
use faults::planted::{self, BUGS, Bug, Found, PLANTED};
use faults::report::Report;
use faults::results::{self, Results};
use faults::runner::{Observer, Options, Runner};
use faults::trial::{Conditions, PATIENCE};
use testkit::{Stack, StackOptions};

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

/// True if everything that was run became as declared.
async fn run(arguments: Arguments) -> Result<bool> {
    let is_well = match &arguments.command {
        Command::Figures => true,
        Command::List => {
            let runner =
                Runner::start(options(&arguments, Arc::new(|_| ())), arguments.jobs * 4).await?;
            for plan in plans(&arguments, &record(&arguments, &runner).await?) {
                println!("{plan}");
            }
            return Ok(true);
        }
        Command::Definitions {
            operations,
            objects,
        } => {
            let options = definitions::Options {
                operations: *operations,
                objects: *objects,
                seed: arguments.seed,
            };
            on_definitions(&arguments, options).await?
        }
        Command::Outages { outages } => on_outages(&arguments, outages).await?,
        Command::Planted => on_planted(&arguments).await?,
        Command::Run { .. } | Command::All | Command::Sample { .. } => {
            on_the_wire(&arguments).await?
        }
    };
    let report = Report::read(&arguments.results)?;
    println!("{}", report.figures());
    if let Some(folder) = &arguments.documents {
        write_documents(folder, &report)?;
    }
    Ok(is_well)
}

/// Runs plans with faults on the wire.
async fn on_the_wire(arguments: &Arguments) -> Result<bool> {
    let total = Arc::new(AtomicUsize::new(0));
    let observer = observer(arguments, Arc::clone(&total))?;
    let runner = Runner::start(options(arguments, observer), arguments.jobs * 12).await?;
    let mut plans = match &arguments.command {
        Command::Run { plans } => parse(plans)?,
        Command::Sample { count } => {
            let plans = plans(arguments, &record(arguments, &runner).await?);
            enumerate::sample(plans, *count, arguments.seed)
        }
        _ => {
            let plans = plans(arguments, &record(arguments, &runner).await?);
            without_settled(plans, &arguments.results)?
        }
    };
    plans.truncate(arguments.limit.unwrap_or(usize::MAX));
    total.store(plans.len(), Ordering::Relaxed);
    eprintln!("{} plans", plans.len());
    let outcomes = runner.run(plans).await?;
    Ok(outcomes
        .iter()
        .all(|outcome| results::is_settled(outcome.verdict)))
}

/// Changes the fields of definitions.
async fn on_definitions(arguments: &Arguments, options: definitions::Options) -> Result<bool> {
    let results = Results::open(&arguments.results, DEFINITIONS)?;
    let observer = |operation: &Operation| {
        if let Some(problem) = &operation.problem {
            let Operation { field, value, .. } = operation;
            eprintln!("{} {field} = {value}: {problem}", operation.number);
        }
        if let Err(error) = results.append(operation) {
            eprintln!("the operation was not kept: {error:#}");
        }
    };
    let stack = Stack::start(StackOptions::default()).await?;
    let operations = definitions::run(&stack, options, &observer).await?;
    Ok(operations
        .iter()
        .all(|operation| operation.problem.is_none()))
}

/// Has servers and programs go and come back.
async fn on_outages(arguments: &Arguments, named: &[String]) -> Result<bool> {
    let named = named.iter().map(|outage| outage.parse::<Outage>());
    let named: Vec<Outage> = named
        .collect::<Result<_, _>>()
        .map_err(anyhow::Error::msg)?;
    let known = results::outcomes(&arguments.results, OUTAGES)?;
    let is_settled = |outage: &Outage| {
        let plan = outage.to_string();
        let mut known = known.iter();
        known.any(|known| known.plan == plan && results::is_settled(known.verdict))
    };
    let mut outages = if named.is_empty() {
        Outage::all()
            .into_iter()
            .filter(|outage| !is_settled(outage))
            .collect()
    } else {
        named
    };
    if let Some(matching) = &arguments.matching {
        outages.retain(|outage| outage.to_string().contains(matching));
    }
    outages.truncate(arguments.limit.unwrap_or(usize::MAX));
    let results = Results::open(&arguments.results, OUTAGES)?;
    let observer: Observer = Arc::new(move |outcome: &Outcome| {
        eprintln!("{}", outcome.line());
        if let Err(error) = results.append(outcome) {
            eprintln!("the outcome was not kept: {error:#}");
        }
    });
    let outcomes = outages::run(&outages, &observer).await?;
    Ok(outcomes
        .iter()
        .all(|outcome| results::is_settled(outcome.verdict)))
}

/// Plants bugs.
async fn on_planted(arguments: &Arguments) -> Result<bool> {
    let observer: Observer = Arc::new(|outcome: &Outcome| eprintln!("{}", outcome.line()));
    let mut options = options(arguments, observer);
    options.conditions.patience = planted::PATIENCE;
    let chosen = |bug: &&Bug| {
        let matching = arguments.matching.as_deref().unwrap_or_default();
        bug.name.contains(matching)
    };
    // What was found before need not be found again.
    let known = planted::latest(results::read(&arguments.results, PLANTED)?);
    let is_new = |bug: &&Bug| {
        let mut known = known.iter();
        !known.any(|known| known.bug == bug.name && known.is_well())
    };
    let bugs: Vec<Bug> = BUGS.iter().filter(chosen).filter(is_new).copied().collect();
    let results = Results::open(&arguments.results, PLANTED)?;
    let runner = Runner::start(options, arguments.jobs * 3 + bugs.len() * 2).await?;
    let mut is_well = true;
    for bugs in bugs.chunks(arguments.jobs * 2) {
        let found = planted::run(&runner, bugs).await.unwrap_or_else(|error| {
            eprintln!("some bugs were not tried: {error:#}");
            Vec::new()
        });
        is_well &= found.len() == bugs.len() && found.iter().all(Found::is_well);
        for found in found {
            results.append(&found)?;
        }
    }
    Ok(is_well)
}

fn options(arguments: &Arguments, observer: Observer) -> Options {
    Options {
        jobs: arguments.jobs,
        conditions: Conditions {
            seed: arguments.seed,
            patience: PATIENCE,
        },
        observer,
        until: arguments.until(),
    }
}

fn parse(plans: &[String]) -> Result<Vec<Plan>> {
    plans
        .iter()
        .map(|plan| plan.parse().map_err(|error: String| anyhow::anyhow!(error)))
        .collect()
}

async fn record(arguments: &Arguments, runner: &Runner) -> Result<Vec<Recording>> {
    runner.record(&arguments.workloads()).await
}

fn plans(arguments: &Arguments, recordings: &[Recording]) -> Vec<Plan> {
    let mut plans: Vec<Plan> = recordings.iter().flat_map(enumerate::singles).collect();
    if let Some(matching) = &arguments.matching {
        plans.retain(|plan| plan.to_string().contains(matching));
    }
    let mut plans = enumerate::in_order(plans, arguments.seed);
    plans.extend(enumerate::pairs(
        recordings,
        arguments.pairs,
        arguments.seed,
    ));
    plans
}

fn without_settled(mut plans: Vec<Plan>, folder: &Path) -> Result<Vec<Plan>> {
    let outcomes = results::outcomes(folder, results::WIRE)?;
    let settled: std::collections::HashSet<&str> = outcomes
        .iter()
        .filter(|outcome| results::is_settled(outcome.verdict))
        .map(|outcome| outcome.plan.as_str())
        .collect();
    plans.retain(|plan| !settled.contains(plan.to_string().as_str()));
    Ok(plans)
}

/// Prints each outcome, and keeps those of plans with faults.
fn observer(arguments: &Arguments, total: Arc<AtomicUsize>) -> Result<Observer> {
    let results = Results::open(&arguments.results, results::WIRE)?;
    let done = AtomicUsize::new(0);
    Ok(Arc::new(move |outcome: &Outcome| {
        let is_reference = outcome.plan.matches('/').count() == 1;
        if is_reference {
            eprintln!("{}", outcome.line());
            return;
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        eprintln!(
            "{done}/{} {}",
            total.load(Ordering::Relaxed),
            outcome.line()
        );
        if let Err(error) = results.append(outcome) {
            eprintln!("the outcome was not kept: {error:#}");
        }
    }))
}

fn write_documents(folder: &Path, report: &Report) -> Result<()> {
    let path = folder.join("reliability.md");
    let document = std::fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    std::fs::write(&path, report.replace_figures(&document)?)
        .with_context(|| format!("failed to write {}", path.display()))
}
