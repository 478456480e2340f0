//! Runs one plan in a lane, and judges what comes of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use kube::api::{DeleteParams, ListParams};
use testkit::Program;
use testkit::fault::{Effect, FaultyProgram, Kind, Met, Plant, Server};
use testkit::wait::{self, Seen};

pub use crate::actor::PATIENCE;
use crate::actor::{Stage, settle};
use crate::expected::Expected;
use crate::lane::{Comparisons as _, Lane};
use crate::oracle::{self, Leniency};
use crate::outcome::{Outcome, Verdict};
use crate::plan::Plan;
use crate::workload::Workload;

/// In which of the comparisons after convergence at the latest nothing is written any more.
const CALM_TRIES: usize = 3;

/// How many calls an outcome with problems shows.
const TRACE: usize = 60;

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Task {
    /// What is done, and what befalls it.
    pub plan: Plan,
    /// The bugs that the plan's program looks as if it had.
    pub plants: &'static [Plant],
}

/// Under which conditions plans are run.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    /// Chooses among the answers of a server.
    pub seed: u64,
    /// How long anything may take that a program with a planted bug does.
    pub patience: Duration,
}

/// A plan that was run.
pub struct Trial {
    /// What became of it.
    pub outcome: Outcome,
    /// Every call of the program whose calls are struck, for the enumeration.
    pub calls: Vec<Met>,
    /// Of these, how many had been met when everything was as declared.
    pub until_converged: usize,
}

/// Runs a plan. A lane in which a plan did not converge is not to be used again.
pub async fn run(lane: &Lane, task: &Task, prefix: &str, conditions: Conditions) -> Trial {
    let plan = &task.plan;
    let started = Instant::now();
    let mut judge = Judge {
        lane,
        task,
        conditions,
        problems: Vec::new(),
        converged_after: None,
        until_converged: 0,
        laps: Laps::begin(),
    };
    let restarts_before = restarts(lane);
    // What an earlier plan has left in the ear of the follower is not this one's.
    lane.statuses.take();
    let mut stage = Stage {
        lane,
        prefix: prefix.to_owned(),
        expected: Expected::default(),
        patience: PATIENCE,
    };
    let mut verdict = match plan.workload.prepare(&mut stage).await {
        Ok(()) => {
            judge.laps.end("prepare");
            judge.strike(&mut stage).await
        }
        Err(error) => {
            judge.problems.push(format!("while preparing: {error:#}"));
            Verdict::Broken
        }
    };
    let (statuses_compared, lies) = lane.statuses.take();
    judge.problems.extend(lies);
    let calls = lane
        .program(plan.program)
        .map(|program| program.conductor().trace())
        .unwrap_or_default();
    for program in &lane.programs {
        program.conductor().arm(&[], conditions.seed);
        program.conductor().plant(&[]);
    }
    if verdict != Verdict::Broken {
        // A lane in which something is wrong is not used again, and need not be tidy.
        if judge.problems.is_empty()
            && let Err(error) = clear(lane).await
        {
            judge.problems.push(format!("while clearing up: {error:#}"));
        }
        judge.laps.end("clear");
        if !judge.problems.is_empty() {
            verdict = Verdict::Diverged;
        }
    }
    let trace = if verdict == Verdict::Converged {
        Vec::new()
    } else {
        let telling: Vec<&Met> = calls.iter().filter(|met| !is_regular(met)).collect();
        let last = telling.iter().rev().take(TRACE).rev();
        last.map(|met| show(met, started)).collect()
    };
    Trial {
        outcome: Outcome {
            plan: plan.to_string(),
            verdict,
            converged_after: judge.converged_after,
            took: started.elapsed().as_secs_f64(),
            at: chrono::Utc::now().timestamp(),
            restarts: restarts(lane) - restarts_before,
            statuses_compared,
            phases: judge.laps.seconds,
            problems: judge.problems,
            trace,
        },
        calls,
        until_converged: judge.until_converged,
    }
}

/// Has a lane do once what it does from now on: a search attribute that was just registered is
/// known to every part of Temporal only after some seconds.
pub async fn warm_up(lane: &Lane, prefix: &str) -> Result<()> {
    let mut stage = Stage {
        lane,
        prefix: prefix.to_owned(),
        expected: Expected::default(),
        patience: PATIENCE,
    };
    let workload = Workload::Create;
    workload.act(&mut stage, Program::Operator).await?;
    stage.settle().await?;
    clear(lane).await
}

/// How often programs of a lane were started anew.
pub(crate) fn restarts(lane: &Lane) -> usize {
    let programs = lane.programs.iter();
    programs.map(|program| program.restarts().len()).sum()
}

/// What the clock does, whatever happens.
fn is_regular(met: &Met) -> bool {
    const NAMES: [&str; 9] = [
        "get-leases",
        "replace-leases",
        "ListSchedules",
        "list-activity_definitions",
        "get-version",
        "fetch",
        "insert-audit_gaps",
        "update-audited_activities",
        "select-audited_activities",
    ];
    met.fault.is_none() && NAMES.contains(&met.call.name.as_str())
}

fn show(met: &Met, since: Instant) -> String {
    let at = met.at.saturating_duration_since(since).as_secs_f64();
    let fault = met
        .fault
        .map(|kind| format!(" <- {kind}"))
        .unwrap_or_default();
    format!("{at:.3} {}#{}{fault}", met.call, met.occurrence)
}

struct Judge<'trial> {
    lane: &'trial Lane,
    task: &'trial Task,
    conditions: Conditions,
    problems: Vec<String>,
    converged_after: Option<f64>,
    until_converged: usize,
    laps: Laps,
}

/// How long each phase of a plan takes.
struct Laps {
    since: Instant,
    seconds: BTreeMap<String, f64>,
}

impl Laps {
    fn begin() -> Self {
        Self {
            since: Instant::now(),
            seconds: BTreeMap::new(),
        }
    }

    /// Counts the time since the last end to this phase.
    fn end(&mut self, phase: &str) {
        let took = self.since.elapsed().as_secs_f64();
        *self.seconds.entry(phase.to_owned()).or_default() += took;
        self.since = Instant::now();
    }
}

impl Judge<'_> {
    async fn strike(&mut self, stage: &mut Stage<'_>) -> Verdict {
        let Ok(struck) = self.lane.program(self.task.plan.program) else {
            self.problems
                .push("the program does not run in this lane".to_owned());
            return Verdict::Broken;
        };
        for program in &self.lane.programs {
            program.conductor().arm(&[], self.conditions.seed);
        }
        if let Err(error) = struck.remember_lists().await {
            self.problems.push(format!("{error:#}"));
            return Verdict::Broken;
        }
        let variant = self.task.plan.variant(self.conditions.seed);
        struck.conductor().arm(&self.task.plan.faults, variant);
        struck.conductor().plant(self.task.plants);
        stage.patience = self.patience();
        if let Err(error) = self
            .task
            .plan
            .workload
            .act(stage, self.task.plan.program)
            .await
        {
            self.problems.push(format!("{error:#}"));
            return Verdict::Diverged;
        }
        self.laps.end("act");
        let acted = Instant::now();
        match self.converge(struck, &stage.expected, acted).await {
            Ok(verdict) => verdict,
            Err(error) => {
                self.problems.push(format!("{error:#}"));
                Verdict::Diverged
            }
        }
    }

    /// Waits until everything is as declared and nothing of the fault is left, and looks whether
    /// it stays so.
    async fn converge(
        &mut self,
        struck: &FaultyProgram,
        expected: &Expected,
        acted: Instant,
    ) -> Result<Verdict> {
        settle(self.lane, expected, (self.leniency(), self.patience())).await?;
        self.laps.end("settle");
        self.until_converged = struck.conductor().trace().len();
        let is_reached = self.is_reached(struck).await?;
        self.laps.end("reach");
        let converged = if is_reached && !self.task.plan.faults.is_empty() {
            self.is_over(struck).await?;
            struck.ready(self.patience()).await?;
            self.laps.end("over");
            settle(self.lane, expected, (self.leniency(), self.patience())).await?;
            self.laps.end("settle again");
            Instant::now()
        } else {
            Instant::now()
        };
        let injected = struck.conductor().injected();
        let first = injected.iter().flatten().map(|injected| injected.at).min();
        if let Some(first) = first {
            let since = first.max(acted);
            self.converged_after = Some(converged.saturating_duration_since(since).as_secs_f64());
        }
        for (fault, injected) in self.task.plan.faults.iter().zip(injected) {
            // A watch and a poll may wait for minutes, and are cut here before they give up.
            let waits =
                struck.conductor().trace().iter().any(|met| {
                    met.fault == Some(fault.kind) && met.call.effect == Effect::Subscribe
                });
            if injected.is_some_and(|injected| injected.is_endless) && !waits {
                self.problems
                    .push(format!("whoever made the call of {fault} waits for ever"));
            }
        }
        self.stays(expected).await?;
        self.laps.end("stays");
        Ok(if is_reached {
            Verdict::Converged
        } else {
            Verdict::NotReached
        })
    }

    /// Only a program with a planted bug is waited for less long than what is right may take.
    fn patience(&self) -> Duration {
        if self.task.plants.is_empty() {
            PATIENCE
        } else {
            self.conditions.patience
        }
    }

    /// A sink that refuses for good has no report, and that is no divergence.
    fn leniency(&self) -> Leniency {
        let for_good = self.task.plan.faults.iter().any(|fault| {
            matches!(fault.kind, Kind::Permanent | Kind::Conflict)
                && !matches!(
                    fault.server,
                    Server::Kubernetes | Server::Postgres | Server::Temporal | Server::Nats
                )
        });
        Leniency {
            refused_for_good: for_good,
        }
    }

    /// Whether the faults come to pass: what happens regularly does so within two comparisons.
    async fn is_reached(&self, struck: &FaultyProgram) -> Result<bool> {
        let all = || struck.conductor().injected().iter().all(Option::is_some);
        let operator = self.lane.program(Program::Operator)?;
        let until = operator.comparisons() + 3;
        wait::until("a fault or three comparisons", self.patience(), || async {
            all() || operator.comparisons() >= until
        })
        .await?;
        Ok(all())
    }

    /// Waits until nothing of the faults is left.
    async fn is_over(&self, struck: &FaultyProgram) -> Result<()> {
        wait::until("the struck call to be over", self.patience(), || async {
            let injected = struck.conductor().injected();
            let over = injected
                .iter()
                .flatten()
                .all(|injected| injected.over.is_some());
            if over {
                Seen::Done(())
            } else {
                Seen::not_yet("somebody still waits for an answer that never comes")
            }
        })
        .await?;
        Ok(())
    }

    /// It comes to rest: nothing is written any more while everything is compared once. What is
    /// under way when all is as declared may end, and on a busy machine a program may have lost
    /// its lease and start anew; what writes for ever is found all the same.
    async fn stays(&mut self, expected: &Expected) -> Result<()> {
        let mut needless = Vec::new();
        for _ in 0..CALM_TRIES {
            needless = self.needless_writes().await?;
            if needless.is_empty() {
                break;
            }
        }
        self.problems.extend(needless);
        let found = oracle::differences(self.lane, expected, self.leniency()).await?;
        let found = found.into_iter();
        self.problems
            .extend(found.map(|found| format!("it did not stay so: {found}")));
        Ok(())
    }

    async fn needless_writes(&self) -> Result<Vec<String>> {
        let operator = self.lane.program(Program::Operator)?;
        compared(operator, 1).await?;
        let marks: Vec<usize> = self
            .lane
            .programs
            .iter()
            .map(|program| program.conductor().trace().len())
            .collect();
        // From the beginning of a comparison to that of the next one: a whole one.
        compared(operator, 1).await?;
        let mut needless = Vec::new();
        for (program, mark) in self.lane.programs.iter().zip(marks) {
            let trace = program.conductor().trace();
            let writes = trace.iter().skip(mark).filter(|met| is_needless(met));
            needless.extend(writes.map(|met| {
                format!(
                    "a needless write of {} after convergence: {}",
                    program.program(),
                    met.call
                )
            }));
        }
        Ok(needless)
    }
}

/// Waits until the operator has compared everything so many times more.
async fn compared(operator: &FaultyProgram, times: usize) -> Result<()> {
    let until = operator.comparisons() + times;
    wait::until("the operator to compare", PATIENCE, || async {
        operator.comparisons() >= until
    })
    .await?;
    Ok(())
}

/// A write that changes something, other than who leads and how far the audit has got: what the
/// clock makes is written whenever its time has come.
fn is_needless(met: &Met) -> bool {
    const REGULAR: [&str; 7] = [
        "commit",
        "replace-leases",
        "RecordWorkerHeartbeat",
        "insert-audit_passes",
        "insert-audit_gaps",
        "update-audited_activities",
        "update-run_feedback",
    ];
    met.call.effect.is_write() && !REGULAR.contains(&met.call.name.as_str())
}

/// Deletes everything, and waits until nothing is left.
pub(crate) async fn clear(lane: &Lane) -> Result<()> {
    let (delete, all) = (DeleteParams::default(), ListParams::default());
    lane.windows.delete_collection(&delete, &all).await?;
    lane.event_types.delete_collection(&delete, &all).await?;
    lane.definitions.delete_collection(&delete, &all).await?;
    wait::until("nothing to be left", Duration::from_mins(1), || async {
        let found = oracle::differences(lane, &Expected::default(), Leniency::default()).await?;
        anyhow::Ok(if found.is_empty() {
            Seen::Done(())
        } else {
            Seen::not_yet(found.join("; "))
        })
    })
    .await?;
    Ok(())
}
