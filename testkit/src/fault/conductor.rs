//! Decides which call is struck, keeps the record of all of them, and holds the trigger of SIGKILL.
//! One for each program, shared by its proxies.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::Notify;

use super::plant::{Plant, Slip};
use super::{Call, Kind, Server};
use crate::program::RunningProgram;
use crate::stand_ins::lock;

/// Which call is to be struck by what.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fault {
    /// The server that is called.
    pub server: Server,
    /// The call's name.
    pub call: String,
    /// The how manieth of this name, from 1 on.
    pub occurrence: usize,
    /// What befalls it.
    pub kind: Kind,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            server,
            call,
            occurrence,
            kind,
        } = self;
        write!(formatter, "{server}:{call}#{occurrence}/{kind}")
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = || {
            let (server, rest) = text.split_once(':')?;
            let (call, rest) = rest.split_once('#')?;
            let (occurrence, kind) = rest.split_once('/')?;
            Some((server, call, occurrence, kind))
        };
        let (server, call, occurrence, kind) =
            parts().ok_or_else(|| format!("{text} is not SERVER:CALL#N/KIND"))?;
        Ok(Self {
            server: server.parse()?,
            call: call.to_owned(),
            occurrence: occurrence
                .parse()
                .map_err(|_| format!("{occurrence} is no number"))?,
            kind: kind.parse()?,
        })
    }
}

/// A call that went through a proxy.
#[derive(Debug, Clone)]
pub struct Met {
    /// When.
    pub at: Instant,
    /// Which.
    pub call: Call,
    /// The how manieth of its name since the conductor was armed.
    pub occurrence: usize,
    /// What befell it.
    pub fault: Option<Kind>,
}

/// What became of an armed fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injected {
    /// When the call was struck.
    pub at: Instant,
    /// When nothing of it was left: the call was let go, or whoever made it had given up.
    pub over: Option<Instant>,
    /// Whether a call went unanswered for as long as a proxy holds one, and whoever made it had
    /// still not given up.
    pub is_endless: bool,
}

/// Decides and records, for the proxies of one program.
#[derive(Debug, Default)]
pub struct Conductor {
    state: Mutex<State>,
    program: Mutex<Option<Arc<RunningProgram>>>,
    met: Notify,
    plants: Mutex<Vec<Plant>>,
    slips: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    armed: Vec<(Fault, Option<Injected>)>,
    /// Which of several answers of its kind a server gives.
    variant: u64,
    /// Calls of an earlier arming may still be under way; what they report is not ours.
    era: u64,
    counts: HashMap<(Server, String), usize>,
    trace: Vec<Met>,
}

impl Conductor {
    /// Forgets what was, and strikes these calls from now on, each once. `variant` chooses among
    /// the answers that a server may give, for example which of several retryable errors.
    pub fn arm(&self, faults: &[Fault], variant: u64) {
        let mut state = lock(&self.state);
        let era = state.era + 1;
        *state = State {
            armed: faults.iter().map(|fault| (fault.clone(), None)).collect(),
            variant,
            era,
            ..State::default()
        };
    }

    /// Makes the program look from now on as if it had these bugs, and no others.
    pub fn plant(&self, plants: &[Plant]) {
        *lock(&self.plants) = plants.to_vec();
    }

    /// What the program does wrong in a call, and a number that no other call has.
    pub(super) fn slip(&self, call: &Call) -> Option<(Slip, u64)> {
        let slip = lock(&self.plants)
            .iter()
            .find(|plant| plant.shows_in(call))?
            .slip;
        Some((slip, self.slips.fetch_add(1, Ordering::Relaxed)))
    }

    /// Everything that went through since the conductor was armed.
    pub fn trace(&self) -> Vec<Met> {
        lock(&self.state).trace.clone()
    }

    /// How many calls of this name were met since the conductor was armed.
    pub fn count(&self, server: Server, name: &str) -> usize {
        let state = lock(&self.state);
        let key = (server, name.to_owned());
        state.counts.get(&key).copied().unwrap_or_default()
    }

    /// What became of each armed fault, in their order.
    pub fn injected(&self) -> Vec<Option<Injected>> {
        let state = lock(&self.state);
        state.armed.iter().map(|(_, injected)| *injected).collect()
    }

    /// Returns when another call has been met, or after `timeout`.
    pub async fn next_call(&self, timeout: Duration) {
        // Either outcome means: look again.
        let _ = tokio::time::timeout(timeout, self.met.notified()).await;
    }

    /// Says which process is the program now.
    pub(super) fn attach(&self, program: Arc<RunningProgram>) {
        *lock(&self.program) = Some(program);
    }

    /// The process that is the program now.
    pub fn program(&self) -> Option<Arc<RunningProgram>> {
        lock(&self.program).clone()
    }

    /// Ends the program without a warning.
    pub(super) fn kill(&self) {
        if let Some(program) = self.program()
            && let Err(error) = program.kill(Signal::KILL)
        {
            eprintln!("testkit: {error:#}");
        }
    }

    /// Records a call; an injection if it is to be struck.
    pub(super) fn meet(self: &Arc<Self>, call: &Call) -> Option<Injection> {
        let mut state = lock(&self.state);
        let key = (call.server, call.name.clone());
        let count = state.counts.entry(key).or_default();
        *count += 1;
        let occurrence = *count;
        let at = Instant::now();
        let (era, variant) = (state.era, state.variant);
        let struck = state
            .armed
            .iter_mut()
            .enumerate()
            .find(|(_, (fault, was))| {
                was.is_none()
                    && fault.server == call.server
                    && fault.call == call.name
                    && fault.occurrence == occurrence
                    && fault.kind.does_not_apply_to(call).is_none()
            });
        let injection = struck.map(|(index, (fault, injected))| {
            *injected = Some(Injected {
                at,
                over: None,
                is_endless: false,
            });
            Injection {
                kind: fault.kind,
                variant,
                conductor: Arc::clone(self),
                era,
                index,
            }
        });
        state.trace.push(Met {
            at,
            call: call.clone(),
            occurrence,
            fault: injection.as_ref().map(|injection| injection.kind),
        });
        drop(state);
        self.met.notify_waiters();
        injection
    }
}

/// A fault that is coming to pass. When it is dropped, nothing of it is left.
#[derive(Debug)]
pub(super) struct Injection {
    pub(super) kind: Kind,
    pub(super) variant: u64,
    conductor: Arc<Conductor>,
    era: u64,
    index: usize,
}

impl Injection {
    /// Notes that nobody gave up waiting.
    pub(super) fn is_endless(&self) {
        let mut state = lock(&self.conductor.state);
        if state.era == self.era
            && let Some((_, Some(injected))) = state.armed.get_mut(self.index)
        {
            injected.is_endless = true;
        }
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        let mut state = lock(&self.conductor.state);
        if state.era == self.era
            && let Some((_, Some(injected))) = state.armed.get_mut(self.index)
        {
            injected.over = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Effect;
    use super::*;

    #[test]
    fn a_plan_reads_as_it_is_written() {
        let text = "kubernetes:patch-activitydefinitions.status#2/reply-lost";
        let fault: Fault = text.parse().unwrap();
        assert_eq!(fault.occurrence, 2);
        assert_eq!(fault.to_string(), text);
        assert!("temporal:CreateSchedule/slow".parse::<Fault>().is_err());
    }

    #[test]
    fn only_the_chosen_occurrence_is_struck_and_only_once() {
        let conductor = Arc::new(Conductor::default());
        let fault = "temporal:CreateSchedule#2/slow".parse().unwrap();
        conductor.arm(&[fault], 0);
        let call = Call::new(Server::Temporal, "CreateSchedule", Effect::Create);
        assert!(conductor.meet(&call).is_none());
        let injection = conductor.meet(&call).unwrap();
        assert_eq!(conductor.injected()[0].unwrap().over, None);
        drop(injection);
        assert!(conductor.injected()[0].unwrap().over.is_some());
        assert!(conductor.meet(&call).is_none());
        assert_eq!(conductor.trace().len(), 3);
    }
}
