//! Servers and programs that go and come back, alone and in pairs, while work is under way: what
//! was asked for before, during and after is there in the end, once.
//!
//! Nothing here is done on the wire: a server is killed and started again with the data that it
//! has, or frozen for longer than any lease; so is a program. The disk of a server is full for a
//! while, and the clock of a program wrong. Two outages are worse: Temporal comes back with nothing,
//! and Postgres with what it had before.

mod disk;
mod servers;
mod work;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use testkit::{Program, Signal, Stack, StackOptions};

use crate::lane::{Cast, Lane};
use crate::outcome::{Outcome, Verdict};
use crate::plan::{program_by_name, program_name};
use crate::runner::{Observer, keep_logs};
use servers::{Machine, Servers};
use work::Work;

/// The file of these results.
pub const OUTAGES: &str = "outages.jsonl";

/// How long what is frozen stays so: longer than the operator's lease (6 s), and four times the
/// router's acknowledgement wait (2 s).
const FROZEN: Duration = Duration::from_secs(9);

/// How long what is killed stays away before it is started again.
const AWAY: Duration = Duration::from_secs(3);

/// How wrong a clock goes, in seconds.
const CLOCK: i64 = 3600;

/// How long a server may take to be back.
const RETURN: Duration = Duration::from_mins(2);

/// What goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// A server.
    Server(Machine),
    /// One of our programs.
    Program(Program),
}

/// How it goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is ended without a warning, and started again with what it had.
    Killed,
    /// It stands still, and then goes on as if nothing had happened.
    Frozen,
    /// It is asked to end, and started again.
    Stopped,
    /// It comes back with nothing: Temporal only.
    Emptied,
    /// It comes back with what it had before the work began: Postgres only.
    Restored,
    /// Its disk is full for as long as what is frozen stays so.
    Full,
    /// Its clock is an hour ahead for as long as what is frozen stays so: programs only.
    Ahead,
    /// Its clock is an hour behind.
    Behind,
}

/// What goes away, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// One, or two at once.
    pub victims: Vec<Victim>,
    /// How.
    pub way: Way,
}

impl Outage {
    /// Every outage: of one server, of one program, of two servers, of all programs as by an upgrade,
    /// and the two that lose data.
    pub fn all() -> Vec<Self> {
        let outage = |victims: &[Victim], way| Self {
            victims: victims.to_vec(),
            way,
        };
        let mut all = Vec::new();
        for machine in Machine::ALL {
            let victim = Victim::Server(machine);
            all.extend([Way::Killed, Way::Frozen].map(|way| outage(&[victim], way)));
        }
        for program in Program::ALL {
            let victim = Victim::Program(program);
            let ways = [
                Way::Killed,
                Way::Frozen,
                Way::Stopped,
                Way::Ahead,
                Way::Behind,
            ];
            all.extend(ways.map(|way| outage(&[victim], way)));
        }
        all.push(outage(&Program::ALL.map(Victim::Program), Way::Stopped));
        for machine in [Machine::Temporal, Machine::Postgres, Machine::Nats] {
            all.push(outage(&[Victim::Server(machine)], Way::Full));
        }
        all.push(outage(&[Victim::Server(Machine::Temporal)], Way::Emptied));
        all.push(outage(&[Victim::Server(Machine::Postgres)], Way::Restored));
        for (index, first) in Machine::ALL.into_iter().enumerate() {
            for second in Machine::ALL.into_iter().skip(index + 1) {
                let both = [Victim::Server(first), Victim::Server(second)];
                all.extend([Way::Killed, Way::Frozen].map(|way| outage(&both, way)));
            }
        }
        all
    }

    /// By how many seconds the clocks of the victims go wrong.
    const fn clock(&self) -> Option<i64> {
        match self.way {
            Way::Ahead => Some(CLOCK),
            Way::Behind => Some(-CLOCK),
            _ => None,
        }
    }

    fn programs(&self) -> Vec<Program> {
        let programs = self.victims.iter().filter_map(|victim| match victim {
            Victim::Server(_) => None,
            Victim::Program(program) => Some(*program),
        });
        programs.collect()
    }

    /// The server whose disk is full.
    fn full(&self) -> Option<Machine> {
        let machine = self.victims.iter().find_map(|victim| match victim {
            Victim::Server(machine) => Some(*machine),
            Victim::Program(_) => None,
        });
        machine.filter(|_| self.way == Way::Full)
    }

    /// Whether data is lost with it.
    fn forgets(&self) -> bool {
        matches!(self.way, Way::Emptied | Way::Restored)
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Server(machine) => machine.as_str(),
            Self::Program(program) => program_name(*program),
        })
    }
}

impl Way {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Killed, "killed"),
        (Self::Frozen, "frozen"),
        (Self::Stopped, "stopped"),
        (Self::Emptied, "emptied"),
        (Self::Restored, "restored"),
        (Self::Full, "full"),
        (Self::Ahead, "ahead"),
        (Self::Behind, "behind"),
    ];
}

impl fmt::Display for Outage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let victims: Vec<String> = self.victims.iter().map(ToString::to_string).collect();
        let way = Way::ALL.iter().find(|(way, _)| *way == self.way);
        let way = way.map_or("", |(_, name)| name);
        write!(formatter, "{}/{way}", victims.join("+"))
    }
}

impl FromStr for Outage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (victims, way) = text
            .split_once('/')
            .ok_or_else(|| format!("{text} is not WHO/HOW"))?;
        let victim = |name: &str| {
            let machine = Machine::ALL.into_iter().find(|it| it.as_str() == name);
            let program = || program_by_name(name).map(Victim::Program);
            let victim = machine.map(Victim::Server).or_else(program);
            victim.ok_or_else(|| format!("{name} is neither a server nor a program"))
        };
        let way = Way::ALL.iter().find(|(_, name)| *name == way);
        Ok(Self {
            victims: victims.split('+').map(victim).collect::<Result<_, _>>()?,
            way: way.ok_or_else(|| format!("{text} does not say how"))?.0,
        })
    }
}

/// Has each of these outages happen, one after another, on servers of their own.
pub async fn run(outages: &[Outage], observer: &Observer) -> Result<Vec<Outcome>> {
    let stack = Stack::start(StackOptions {
        temporal_namespaces: outages.len() + 2,
        persistent_temporal: true,
    })
    .await?;
    let mut servers = Servers::new(&stack);
    let mut outcomes = Vec::new();
    let mut spare: Option<Lane> = None;
    // What has a clock of its own has it from the start: those come together, in the end.
    let mut outages: Vec<&Outage> = outages.iter().collect();
    outages.sort_by_key(|outage| outage.clock().is_some());
    for (number, outage) in outages.into_iter().enumerate() {
        let cast = if outage.clock().is_some() {
            Cast::Clocks
        } else {
            Cast::All
        };
        if let Some(other) = spare.take_if(|lane| lane.cast != cast) {
            other.stop().await?;
        }
        let lane = match spare.take() {
            Some(lane) => lane,
            None => ready(&stack, cast, number).await?,
        };
        servers.of_lane(&lane);
        let outcome = one(&lane, &mut servers, outage, number).await;
        observer(&outcome);
        if outcome.verdict == Verdict::Converged && !outage.forgets() {
            spare = Some(lane);
        } else {
            keep_logs(&lane, &outcome.plan)?;
            lane.stop().await?;
        }
        outcomes.push(outcome);
    }
    if let Some(lane) = spare {
        lane.stop().await?;
    }
    Ok(outcomes)
}

async fn ready(stack: &Stack, cast: Cast, number: usize) -> Result<Lane> {
    let lane = Lane::start(stack, cast, &format!("outage-{number}")).await?;
    crate::trial::warm_up(&lane, &format!("w{number}")).await?;
    Ok(lane)
}

async fn one(lane: &Lane, servers: &mut Servers, outage: &Outage, number: usize) -> Outcome {
    let started = Instant::now();
    let restarts = crate::trial::restarts(lane);
    lane.statuses.take();
    let mut after = None;
    let mut problems = Vec::new();
    match carry_out(lane, servers, outage, number).await {
        Ok(converged_after) => after = Some(converged_after),
        Err(error) => problems.push(format!("{error:#}")),
    }
    let (statuses_compared, lies) = lane.statuses.take();
    // What follows the statuses asks the same servers, and is told old things while they are away.
    if !outage.forgets() {
        problems.extend(lies);
    }
    Outcome {
        plan: outage.to_string(),
        verdict: if problems.is_empty() {
            Verdict::Converged
        } else {
            Verdict::Diverged
        },
        converged_after: after,
        took: started.elapsed().as_secs_f64(),
        at: chrono::Utc::now().timestamp(),
        restarts: crate::trial::restarts(lane) - restarts,
        statuses_compared,
        phases: std::collections::BTreeMap::new(),
        problems,
        trace: Vec::new(),
    }
}

/// Seconds from the end of the outage until everything was as declared.
async fn carry_out(
    lane: &Lane,
    servers: &mut Servers,
    outage: &Outage,
    number: usize,
) -> Result<f64> {
    let Some(machine) = outage.full() else {
        return work_through(lane, servers, outage, number).await;
    };
    servers.on_a_small_disk(machine, lane).await?;
    let worked = work_through(lane, servers, outage, number).await;
    servers.off_the_small_disk(machine, lane).await?;
    worked
}

async fn work_through(
    lane: &Lane,
    servers: &mut Servers,
    outage: &Outage,
    number: usize,
) -> Result<f64> {
    let mut work = Work::prepare(lane, &format!("o{number}")).await?;
    if outage.way == Way::Restored {
        servers.back_up(lane).await?;
    }
    work.before().await?;
    if outage.forgets() {
        // What is lost with the data of a run under way is lost; what is claimed is about the rest.
        work.settle().await?;
        work.forget(outage.way == Way::Restored);
    }
    let (ended, during) = tokio::join!(happen(lane, servers, outage), work.during());
    let ended = ended.with_context(|| format!("{outage} could not be made"))?;
    during?;
    work.after().await?;
    work.settle().await?;
    let converged_after = ended.elapsed().as_secs_f64();
    work.stays().await?;
    work.clear().await?;
    Ok(converged_after)
}

/// Has it happen; returns when it was over.
async fn happen(lane: &Lane, servers: &mut Servers, outage: &Outage) -> Result<Instant> {
    if outage.way == Way::Restored {
        servers.restore(lane).await?;
        return Ok(Instant::now());
    }
    if let Some(machine) = outage.full() {
        servers.fill(machine, lane).await?;
        tokio::time::sleep(FROZEN).await;
        servers.free(machine, lane).await?;
        return Ok(Instant::now());
    }
    if let Some(seconds) = outage.clock() {
        lane.put_clocks(&outage.programs(), seconds)?;
        tokio::time::sleep(FROZEN).await;
        lane.put_clocks(&outage.programs(), 0)?;
        return Ok(Instant::now());
    }
    let (begin, end) = match outage.way {
        Way::Frozen => (Signal::STOP, Some(Signal::CONT)),
        Way::Stopped => (Signal::TERM, None),
        _ => (Signal::KILL, None),
    };
    let mut programs = Vec::new();
    for victim in &outage.victims {
        match victim {
            Victim::Server(machine) => servers.signal(*machine, begin).await?,
            Victim::Program(program) => {
                let running = lane.program(*program)?.running();
                let running = running.context("the program does not run")?;
                running.kill(begin)?;
                programs.push(Arc::clone(&running));
            }
        }
    }
    let pause = if end.is_some() { FROZEN } else { AWAY };
    tokio::time::sleep(pause).await;
    for program in programs {
        if let Some(end) = end {
            program.kill(end)?;
        }
    }
    for victim in &outage.victims {
        match (victim, end) {
            (Victim::Server(machine), Some(end)) => servers.signal(*machine, end).await?,
            (Victim::Server(machine), None) => {
                let is_emptied = outage.way == Way::Emptied;
                servers.start_again(*machine, is_emptied)?;
            }
            (Victim::Program(_), _) => {}
        }
    }
    for victim in &outage.victims {
        if let Victim::Server(machine) = victim {
            servers.answers(*machine, lane).await?;
        }
    }
    Ok(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_and_program_goes_alone_and_every_two_servers_together() {
        let all = Outage::all();
        assert_eq!(all.len(), 4 * 2 + 4 * 5 + 1 + 3 + 2 + 6 * 2);
        for outage in all {
            assert_eq!(outage.to_string().parse::<Outage>().unwrap(), outage);
        }
        assert!("postgres".parse::<Outage>().is_err());
        assert!("nobody/killed".parse::<Outage>().is_err());
    }
}
