//! Runs many plans, several at a time, each in a lane of its own that is kept for the next one.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use testkit::{Stack, StackOptions};
use tokio::task::JoinSet;

use crate::enumerate::{self, Recording};
use crate::lane::{Cast, Lane};
use crate::outcome::{Outcome, Verdict};
use crate::plan::Plan;
use crate::trial::{self, Trial};
use crate::workload::Workload;

/// No plan takes longer, whatever happens.
const LONGEST: Duration = Duration::from_mins(8);

/// Told of each plan that was run.
pub type Observer = Arc<dyn Fn(&Outcome) + Send + Sync>;

/// How plans are run.
#[derive(Clone)]
pub struct Options {
    /// How many at a time.
    pub jobs: usize,
    /// Chooses among the answers of a server.
    pub seed: u64,
    /// Told of each plan that was run.
    pub observer: Observer,
}

/// Runs plans on one stack of servers.
pub struct Runner {
    stack: Stack,
    options: Options,
    number: Arc<AtomicUsize>,
}

/// Work for one job: a plan and its place in the answer.
type Queue = Arc<Mutex<VecDeque<(usize, Plan)>>>;

impl Runner {
    /// A runner on servers of its own.
    pub async fn start(options: Options) -> Result<Self> {
        let stack = StackOptions {
            temporal_namespaces: 256,
            ..StackOptions::default()
        };
        Ok(Self::on(Stack::start(stack).await?, options))
    }

    /// A runner on servers that are there.
    pub fn on(stack: Stack, options: Options) -> Self {
        Self {
            stack,
            options,
            number: Arc::default(),
        }
    }

    /// Runs each workload without a fault, and counts the calls.
    pub async fn record(&self, workloads: &[Workload]) -> Result<Vec<Recording>> {
        let plans = workloads
            .iter()
            .flat_map(|workload| {
                workload.struck().iter().map(|program| Plan {
                    workload: *workload,
                    program: *program,
                    faults: Vec::new(),
                })
            })
            .collect::<Vec<_>>();
        let trials = self.trials(plans.clone()).await?;
        let recorded = plans.iter().zip(trials).map(|(plan, trial)| {
            anyhow::ensure!(
                trial.outcome.verdict == Verdict::Converged,
                "without any fault, {plan} did not converge: {:#?}",
                trial.outcome
            );
            Ok(enumerate::record(plan, &trial))
        });
        recorded.collect()
    }

    /// Runs plans; the outcomes are in the plans' order.
    pub async fn run(&self, plans: Vec<Plan>) -> Result<Vec<Outcome>> {
        let trials = self.trials(plans).await?;
        Ok(trials.into_iter().map(|trial| trial.outcome).collect())
    }

    async fn trials(&self, plans: Vec<Plan>) -> Result<Vec<Trial>> {
        let count = plans.len();
        let queue: VecDeque<_> = plans.into_iter().enumerate().collect();
        let queue: Queue = Arc::new(Mutex::new(queue));
        let mut jobs = JoinSet::new();
        for _ in 0..self.options.jobs.clamp(1, count.max(1)) {
            let job = Job {
                stack: self.stack.clone(),
                options: self.options.clone(),
                number: Arc::clone(&self.number),
                lanes: HashMap::new(),
            };
            jobs.spawn(job.work(Arc::clone(&queue)));
        }
        let mut trials: Vec<(usize, Trial)> = Vec::with_capacity(count);
        while let Some(done) = jobs.join_next().await {
            trials.extend(done.context("a job has panicked")??);
        }
        trials.sort_by_key(|(index, _)| *index);
        Ok(trials.into_iter().map(|(_, trial)| trial).collect())
    }
}

struct Job {
    stack: Stack,
    options: Options,
    number: Arc<AtomicUsize>,
    lanes: HashMap<Cast, Lane>,
}

impl Job {
    async fn work(mut self, queue: Queue) -> Result<Vec<(usize, Trial)>> {
        let mut trials = Vec::new();
        loop {
            let next = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some((index, plan)) = next else { break };
            let trial = self.run(&plan).await?;
            (self.options.observer)(&trial.outcome);
            trials.push((index, trial));
        }
        for (_, lane) in self.lanes {
            lane.stop().await?;
        }
        Ok(trials)
    }

    async fn run(&mut self, plan: &Plan) -> Result<Trial> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let cast = plan.workload.cast();
        let lane = if let Some(lane) = self.lanes.remove(&cast) {
            lane
        } else {
            let lane = Lane::start(&self.stack, cast, &format!("faults-{number}")).await?;
            trial::warm_up(&lane, &format!("w{number}")).await?;
            lane
        };
        let prefix = format!("p{number}");
        let started = Instant::now();
        let running = trial::run(&lane, plan, &prefix, self.options.seed);
        let trial = match tokio::time::timeout(LONGEST, running).await {
            Ok(trial) => trial,
            Err(_) => broken(plan, started),
        };
        match trial.outcome.verdict {
            Verdict::Converged | Verdict::NotReached => {
                self.lanes.insert(cast, lane);
            }
            // Nobody knows what is left in it.
            Verdict::Diverged | Verdict::Broken => {
                keep_logs(&lane, plan)?;
                lane.stop().await?;
            }
        }
        Ok(trial)
    }
}

fn broken(plan: &Plan, started: Instant) -> Trial {
    Trial {
        outcome: Outcome {
            plan: plan.to_string(),
            verdict: Verdict::Broken,
            converged_after: None,
            took: started.elapsed().as_secs_f64(),
            restarts: 0,
            statuses_compared: 0,
            problems: vec![format!("it took longer than {LONGEST:?}")],
            trace: Vec::new(),
        },
        calls: Vec::new(),
        until_converged: 0,
    }
}

/// Names the folder in which the logs of divergences are kept.
const LOGS: &str = "ACTCORE_FAULT_LOGS";

/// Copies the logs of a lane to where somebody can look at them, if a folder for them is named.
fn keep_logs(lane: &Lane, plan: &Plan) -> Result<()> {
    let Some(folder) = std::env::var_os(LOGS) else {
        return Ok(());
    };
    let name = plan.to_string().replace(['/', ':', '#', '+'], "_");
    let folder = std::path::Path::new(&folder).join(name);
    std::fs::create_dir_all(&folder).context("failed to make a folder for logs")?;
    let files = std::fs::read_dir(lane.environment.folder()).context("no logs")?;
    for file in files.flatten() {
        if file.path().extension().is_some_and(|name| name == "log") {
            std::fs::copy(file.path(), folder.join(file.file_name()))
                .context("failed to keep a log")?;
        }
    }
    Ok(())
}
