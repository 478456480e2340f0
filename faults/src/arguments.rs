//! What `actcore-faults` is asked for.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use crate::workload::Workload;

/// Strikes the programs with faults, and compares what becomes of it with what was declared.
#[derive(Debug, Parser)]
#[command(name = "actcore-faults", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// How many plans run at a time; they wait more than they work.
    #[arg(long, global = true, default_value_t = 6)]
    pub jobs: usize,

    /// Chooses what is drawn, and among the answers of a server.
    #[arg(long, global = true, default_value_t = 1)]
    pub seed: u64,

    /// Runs no more plans than this.
    #[arg(long, global = true)]
    pub limit: Option<usize>,

    /// Begins no further plan after so many minutes.
    #[arg(long, global = true)]
    pub minutes: Option<u64>,

    /// How many pairs of faults to draw on top of the single ones.
    #[arg(long, global = true, default_value_t = 0)]
    pub pairs: usize,

    /// Only these workloads, separated by commas.
    #[arg(long, global = true, value_delimiter = ',')]
    pub workloads: Vec<Workload>,

    /// Only plans that contain this text.
    #[arg(long, global = true)]
    pub matching: Option<String>,

    /// Where each outcome is written as soon as it is known. What is there already is not run
    /// again, but for what diverged.
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        default_value = "target/faults"
    )]
    pub results: PathBuf,

    /// The folder of the documents: the figures of `reliability.md` there are replaced.
    #[arg(long, global = true, value_name = "FOLDER")]
    pub documents: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prints every plan, one a line.
    List,
    /// Runs these plans, whether they were run before or not.
    Run {
        /// WORKLOAD/PROGRAM/SERVER:CALL#N/KIND, as `list` prints them.
        #[arg(required = true)]
        plans: Vec<String>,
    },
    /// Runs every plan with one fault that has not been run, or that diverged.
    All,
    /// Runs a few plans, drawn by the seed.
    Sample {
        /// How many.
        #[arg(default_value_t = 25)]
        count: usize,
    },
    /// Changes every field of definitions to every kind of value.
    Definitions {
        /// How many operations.
        #[arg(long, default_value_t = 2000)]
        operations: usize,

        /// How many definitions are worked on at a time.
        #[arg(long, default_value_t = 16)]
        objects: usize,
    },
    /// Plants bugs, each of which has a plan that has to find it.
    Planted,
    /// Has servers and programs go and come back, alone and in pairs.
    Outages {
        /// WHO/HOW, such as `postgres+nats/killed`; all of them when left out.
        outages: Vec<String>,
    },
    /// Prints the figures of what was found so far.
    Figures,
}

impl Arguments {
    /// When no further plan is begun.
    pub fn until(&self) -> Option<Instant> {
        let minutes = self.minutes?;
        Some(Instant::now() + Duration::from_secs(minutes * 60))
    }

    /// The workloads that were asked for.
    pub fn workloads(&self) -> Vec<Workload> {
        if self.workloads.is_empty() {
            Workload::ALL.to_vec()
        } else {
            self.workloads.clone()
        }
    }
}
