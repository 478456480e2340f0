//! Runs many plans, several at a time, each in a lane of its own that is kept for the next one.

use std::collections::{BTreeMap, VecDeque};
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
use crate::trial::{self, Conditions, Task, Trial};
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
    /// Seed and patience.
    pub conditions: Conditions,
    /// Told of each plan that was run.
    pub observer: Observer,
    /// When no further plan is begun; what is under way ends.
    pub until: Option<Instant>,
}

/// Runs plans on one stack of servers.
pub struct Runner {
    stack: Stack,
    options: Options,
    number: Arc<AtomicUsize>,
}

/// What is still to be done. A lane costs time to start and work to keep running, so a job takes
/// plans for the lane that it has as long as there are any.
#[derive(Debug, Default)]
struct Work {
    /// Tasks, each with its place in the answer.
    plans: BTreeMap<Cast, VecDeque<(usize, Task)>>,
    /// How many lanes there are.
    lanes: BTreeMap<Cast, usize>,
}

impl Work {
    fn new(tasks: Vec<Task>) -> Self {
        let mut work = Self::default();
        for (index, task) in tasks.into_iter().enumerate() {
            let of_cast = work.plans.entry(task.plan.workload.cast()).or_default();
            of_cast.push_back((index, task));
        }
        work
    }

    /// The next plan for a job with this lane; one for another lane when there is none.
    fn next(&mut self, held: Option<Cast>) -> Option<(usize, Task)> {
        let next = held.and_then(|cast| self.plans.get_mut(&cast)?.pop_front());
        if next.is_some() {
            return next;
        }
        if let Some(lanes) = held.and_then(|cast| self.lanes.get_mut(&cast)) {
            *lanes -= 1;
        }
        let share = |cast: &Cast, waiting: usize| {
            let lanes = self.lanes.get(cast).copied().unwrap_or_default();
            waiting / (lanes + 1)
        };
        let waiting = self.plans.iter().filter(|(_, plans)| !plans.is_empty());
        let longest = waiting.max_by_key(|(cast, plans)| share(cast, plans.len()));
        let cast = *longest?.0;
        *self.lanes.entry(cast).or_default() += 1;
        self.plans.get_mut(&cast)?.pop_front()
    }
}

/// Shared by the jobs.
type Queue = Arc<Mutex<Work>>;

impl Runner {
    /// A runner on servers of its own, with room for so many lanes: one for each job, and another
    /// one after each divergence. Temporal works for each namespace that it has, used or not.
    pub async fn start(options: Options, lanes: usize) -> Result<Self> {
        let stack = StackOptions {
            temporal_namespaces: lanes,
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
        let trials = self.trials(without_bugs(plans.clone()), None).await?;
        let mut recorded = Vec::new();
        for (plan, mut trial) in plans.iter().zip(trials) {
            if trial.outcome.verdict != Verdict::Converged {
                eprintln!("recorded once more: {}", trial.outcome.line());
                let again = self.trials(without_bugs(vec![plan.clone()]), None).await?;
                trial = again.into_iter().next().context("nothing was run")?;
            }
            anyhow::ensure!(
                trial.outcome.verdict == Verdict::Converged,
                "without any fault, {plan} did not converge: {:#?}",
                trial.outcome
            );
            recorded.push(enumerate::record(plan, &trial));
        }
        Ok(recorded)
    }

    /// Runs plans; the outcomes are in the plans' order. Those for which no time was left have none.
    pub async fn run(&self, plans: Vec<Plan>) -> Result<Vec<Outcome>> {
        self.carry_out(without_bugs(plans)).await
    }

    /// Runs tasks; the outcomes are in their order. Those for which no time was left have none.
    pub async fn carry_out(&self, tasks: Vec<Task>) -> Result<Vec<Outcome>> {
        let trials = self.trials(tasks, self.options.until).await?;
        Ok(trials.into_iter().map(|trial| trial.outcome).collect())
    }

    async fn trials(&self, tasks: Vec<Task>, until: Option<Instant>) -> Result<Vec<Trial>> {
        let count = tasks.len();
        let queue: Queue = Arc::new(Mutex::new(Work::new(tasks)));
        let mut jobs = JoinSet::new();
        for _ in 0..self.options.jobs.clamp(1, count.max(1)) {
            let job = Job {
                stack: self.stack.clone(),
                options: self.options.clone(),
                number: Arc::clone(&self.number),
                until,
                cast: None,
                lane: None,
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

fn without_bugs(plans: Vec<Plan>) -> Vec<Task> {
    let tasks = plans.into_iter().map(|plan| Task { plan, plants: &[] });
    tasks.collect()
}

struct Job {
    stack: Stack,
    options: Options,
    number: Arc<AtomicUsize>,
    until: Option<Instant>,
    /// What the plans are that this job takes, whether its lane is still fit for use or not.
    cast: Option<Cast>,
    lane: Option<(Cast, Lane)>,
}

impl Job {
    async fn work(mut self, queue: Queue) -> Result<Vec<(usize, Trial)>> {
        let mut trials = Vec::new();
        while self.until.is_none_or(|until| Instant::now() < until) {
            let next = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .next(self.cast);
            let Some((index, task)) = next else { break };
            let trial = self.run(&task).await?;
            (self.options.observer)(&trial.outcome);
            trials.push((index, trial));
        }
        if let Some((_, lane)) = self.lane {
            lane.stop().await?;
        }
        Ok(trials)
    }

    async fn run(&mut self, task: &Task) -> Result<Trial> {
        let plan = &task.plan;
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let cast = plan.workload.cast();
        self.cast = Some(cast);
        let lane = match self.lane.take() {
            Some((held, lane)) if held == cast => lane,
            other => {
                if let Some((_, lane)) = other {
                    lane.stop().await?;
                }
                self.lane(cast, number).await?
            }
        };
        let prefix = format!("p{number}");
        let started = Instant::now();
        let running = trial::run(&lane, task, &prefix, self.options.conditions);
        let trial = match tokio::time::timeout(LONGEST, running).await {
            Ok(trial) => trial,
            Err(_) => broken(plan, started),
        };
        match trial.outcome.verdict {
            Verdict::Converged | Verdict::NotReached => {
                self.lane = Some((cast, lane));
            }
            // Nobody knows what is left in it.
            Verdict::Diverged | Verdict::Broken => {
                keep_logs(&lane, &trial.outcome.plan)?;
                lane.stop().await?;
            }
        }
        Ok(trial)
    }
}

impl Job {
    /// A new lane. On a busy machine it may be late; then there is another try.
    async fn lane(&self, cast: Cast, number: usize) -> Result<Lane> {
        let start = || async {
            let lane = Lane::start(&self.stack, cast, &format!("faults-{number}")).await?;
            trial::warm_up(&lane, &format!("w{number}")).await?;
            anyhow::Ok(lane)
        };
        match start().await {
            Ok(lane) => Ok(lane),
            Err(error) => {
                eprintln!("a lane could not be started, and is tried once more: {error:#}");
                start().await
            }
        }
    }
}

fn broken(plan: &Plan, started: Instant) -> Trial {
    Trial {
        outcome: Outcome {
            plan: plan.to_string(),
            verdict: Verdict::Broken,
            converged_after: None,
            took: started.elapsed().as_secs_f64(),
            at: chrono::Utc::now().timestamp(),
            restarts: 0,
            statuses_compared: 0,
            phases: BTreeMap::new(),
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
pub(crate) fn keep_logs(lane: &Lane, plan: &str) -> Result<()> {
    let Some(folder) = std::env::var_os(LOGS) else {
        return Ok(());
    };
    let name = plan.replace(['/', ':', '#', '+'], "_");
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
