//! One pass of the audit: every expected time that has come gets its row in the ledger, and rows
//! that say Running although nothing runs are closed.
//!
//! What is decided is [`domain::audit`]'s; here Postgres and Temporal are asked, by the set, and
//! what came of it is entered. When Temporal can't be asked nothing is decided: the times stay where
//! they are and are looked at again.

mod ask;
mod loose_ends;

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use contracts::names;
use domain::audit::{AGAIN, Expected, Finding, FoundWorkflow, Look, ScheduledRun, WindowCause};
use domain::{ActivityId, RunId, RunOutcome};
use store::{Audited, Entry, Progress, Store};
use temporal::Temporal;

use ask::Questions;
pub use loose_ends::Closed;

/// How many activities are worked on at once.
const BATCH: u16 = 2_000;

/// How many expected times of one activity are decided in one look.
const MOST_TIMES: usize = 5_000;

/// What a pass needs to know of the world around it.
pub trait Surroundings: Sync {
    /// Whether this process may write now.
    fn may_write(&self) -> bool;

    /// A maintenance window that had been declared by `time`, was open then and selects the
    /// activity.
    fn declared_window(&self, activity: ActivityId, time: DateTime<Utc>) -> Option<WindowCause>;
}

/// What went wrong in a pass. What was entered before stays.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// Postgres.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// This process must not write any more.
    #[error("this replica is not the leader any more")]
    MayNotWrite,
}

/// What a pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassReport {
    /// The runs that were entered.
    pub entered: Vec<Entered>,
    /// The rows that were closed.
    pub closed: Vec<Closed>,
    /// Expected times that came to a final outcome, to be counted.
    pub outcomes: Vec<(ActivityId, RunOutcome)>,
    /// Why something could not be decided: Temporal could not be asked.
    pub unasked: Option<String>,
}

/// A run that was entered, with the definition that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// The namespace of the definition.
    pub namespace: String,
    /// The name of the definition.
    pub name: String,
    /// What was entered.
    pub entry: Entry,
}

/// The audit of expected times. It remembers between passes what it has counted; whatever matters
/// beyond the process is in Postgres.
#[derive(Debug)]
pub struct Ledger {
    store: Store,
    temporal: Temporal,
    namespace: Option<String>,
    counted: HashMap<ActivityId, Counted>,
    /// Decided as Running; they are counted when they have ended.
    running: HashMap<RunId, ActivityId>,
    /// Rows whose workflow Temporal did not know, and since when.
    unknown: HashMap<RunId, DateTime<Utc>>,
    is_first: bool,
}

/// Which expected times of an activity have been counted although an earlier one is undecided.
#[derive(Debug, Default)]
struct Counted {
    until: DateTime<Utc>,
    undecided: BTreeSet<DateTime<Utc>>,
}

/// One activity in the middle of a look.
struct InHand {
    audited: Audited,
    /// How far expected times were looked at.
    until: DateTime<Utc>,
    is_cut: bool,
    found: Vec<(DateTime<Utc>, Finding)>,
    to_ask: Vec<DateTime<Utc>>,
    undecided: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    settled: Vec<(DateTime<Utc>, RunId, RunOutcome)>,
}

impl Ledger {
    /// An audit of the definitions of one namespace, or of all.
    pub fn new(store: Store, temporal: Temporal, namespace: Option<String>) -> Self {
        Self {
            store,
            temporal,
            namespace,
            counted: HashMap::new(),
            running: HashMap::new(),
            unknown: HashMap::new(),
            is_first: true,
        }
    }

    /// Decides whatever can be decided at `now`. Nearly free when nothing is due: two indexed
    /// look-ups. Asking Temporal ends after half a minute and goes on in the next pass.
    pub async fn pass(
        &mut self,
        surroundings: &dyn Surroundings,
        now: DateTime<Utc>,
    ) -> Result<PassReport, PassError> {
        let mut report = PassReport::default();
        // First, so that a run that is over is not taken for one that is in the way.
        self.close_loose_ends(surroundings, &mut report, now)
            .await?;
        let mut questions = Questions::new(self.temporal.clone(), self.store.clone());
        loop {
            let due = self
                .store
                .due_for_audit(now, self.namespace.as_deref(), BATCH)
                .await?;
            let is_last = due.len() < usize::from(BATCH);
            if !due.is_empty() {
                self.decide(due, &mut questions, (surroundings, &mut report, now))
                    .await?;
            }
            if is_last {
                break;
            }
        }
        report.unasked = report.unasked.or(questions.failed());
        self.is_first = false;
        Ok(report)
    }

    async fn decide(
        &mut self,
        due: Vec<Audited>,
        questions: &mut Questions,
        (surroundings, report, now): (&dyn Surroundings, &mut PassReport, DateTime<Utc>),
    ) -> Result<(), PassError> {
        let mut in_hand: Vec<InHand> = due
            .into_iter()
            .map(|audited| look_at(audited, now))
            .collect();
        questions.ask_about(&mut in_hand, surroundings, now).await?;
        let progress: Vec<Progress> = in_hand.iter().map(|one| one.progress(now)).collect();
        let entries: Vec<Entered> = in_hand.iter().flat_map(InHand::entries).collect();
        if !surroundings.may_write() {
            return Err(PassError::MayNotWrite);
        }
        let rows: Vec<Entry> = entries
            .iter()
            .map(|entered| entered.entry.clone())
            .collect();
        let entered = self.store.enter_findings(&rows, &progress, now).await?;
        let entered: std::collections::HashSet<RunId> = entered.into_iter().collect();
        for one in &in_hand {
            self.count_settled(one, report);
        }
        for entry in entries {
            let run_id = entry.entry.run_id();
            if entered.contains(&run_id) {
                let (activity, outcome) = (entry.entry.activity, entry.entry.finding.outcome);
                self.count(activity, (run_id, outcome), report);
                report.entered.push(entry);
            }
        }
        Ok(())
    }

    /// Counts the times that were found settled, each once although they are read again as long as
    /// an earlier one is undecided.
    fn count_settled(&mut self, one: &InHand, report: &mut PassReport) {
        let activity = one.audited.activity;
        let mut counted = self.counted.remove(&activity).unwrap_or_default();
        for (time, run, outcome) in &one.settled {
            if *time >= counted.until || counted.undecided.remove(time) {
                self.count(activity, (*run, *outcome), report);
            }
        }
        if !one.undecided.is_empty() {
            counted.until = one.until;
            counted.undecided = one.undecided.iter().map(|(time, _)| *time).collect();
            self.counted.insert(activity, counted);
        }
    }

    fn count(
        &mut self,
        activity: ActivityId,
        (run, outcome): (RunId, RunOutcome),
        report: &mut PassReport,
    ) {
        if outcome.is_final() {
            report.outcomes.push((activity, outcome));
        } else {
            self.running.insert(run, activity);
        }
    }
}

/// The first look at the expected times of one activity.
fn look_at(audited: Audited, now: DateTime<Utc>) -> InHand {
    let horizon = audited.read_until.map_or(now, |end| end.min(now));
    let mut one = InHand {
        until: horizon,
        is_cut: audited.read_until.is_some(),
        found: Vec::new(),
        to_ask: Vec::new(),
        undecided: Vec::new(),
        settled: Vec::new(),
        audited,
    };
    let history = &one.audited.history;
    let expected = history.expected(one.audited.audited_until, horizon, MOST_TIMES);
    if let Some(last) = expected.last().filter(|_| expected.len() == MOST_TIMES) {
        one.until = last.time + chrono::TimeDelta::nanoseconds(1);
        one.is_cut = true;
    }
    for expected in expected {
        match history.look(expected, now) {
            Look::Settled => {
                let row = run_at(&history.runs, expected.time);
                one.settled
                    .extend(row.map(|row| (expected.time, row.run_id, row.outcome)));
            }
            Look::NotExpected => {}
            Look::Wait(again) => one.undecided.push((expected.time, again)),
            Look::Ask => one.to_ask.push(expected.time),
            Look::Enter(finding) => one.found.push((expected.time, finding)),
        }
    }
    one
}

fn run_at(runs: &[ScheduledRun], time: DateTime<Utc>) -> Option<&ScheduledRun> {
    let at = runs
        .binary_search_by_key(&time, |run| run.scheduled_for)
        .ok()?;
    runs.get(at)
}

impl InHand {
    /// The expected time again, with what was in force.
    fn expected(&self, time: DateTime<Utc>) -> Option<Expected<'_>> {
        let periods = self.audited.history.periods.iter().rev();
        let period = periods.into_iter().find(|period| period.from <= time)?;
        Some(Expected { time, period })
    }

    /// Takes a finding down. A workflow that only Temporal had is a run like others to what comes
    /// after it.
    fn find(&mut self, time: DateTime<Utc>, finding: Finding) {
        if let Some(workflow) = &finding.workflow {
            self.see(time, workflow, finding.outcome);
        }
        self.found.push((time, finding));
    }

    /// Counts a workflow that only Temporal has among the runs.
    fn see(&mut self, time: DateTime<Utc>, workflow: &FoundWorkflow, outcome: RunOutcome) {
        let runs = &mut self.audited.history.runs;
        let at = runs.partition_point(|run| run.scheduled_for < time);
        let trigger = domain::TriggerKey::Schedule(time);
        let run = ScheduledRun {
            run_id: RunId::of(self.audited.activity, &trigger),
            scheduled_for: time,
            fired_at: Some(workflow.started_at),
            completed_at: workflow.closed.as_ref().map(|(closed, _)| *closed),
            outcome,
        };
        runs.insert(at, run);
    }

    fn entries(&self) -> Vec<Entered> {
        let found = self.found.iter().map(|(time, finding)| Entered {
            namespace: self.audited.namespace.clone(),
            name: self.audited.name.clone(),
            entry: Entry {
                activity: self.audited.activity,
                activity_name: self.audited.display_name.clone(),
                time: *time,
                workflow_id: names::workflow_id_at(self.audited.activity, *time),
                finding: finding.clone(),
            },
        });
        found.collect()
    }

    fn progress(&self, now: DateTime<Utc>) -> Progress {
        let first = self.undecided.iter().map(|(time, _)| *time).min();
        let again = self.undecided.iter().map(|(_, again)| *again).min();
        let next_look = if self.is_cut {
            Some(again.map_or(now, |again| again.min(now)))
        } else {
            let next = self.audited.history.next_look(now);
            again.into_iter().chain(next).min()
        };
        Progress {
            activity: self.audited.activity,
            revision: self.audited.revision,
            audited_until: first.unwrap_or(self.until),
            next_look: match first {
                // Cut, and nothing gained by looking again at once.
                Some(first) if self.is_cut && first <= self.audited.audited_until => {
                    Some(now + AGAIN)
                }
                _ => next_look,
            },
        }
    }
}
