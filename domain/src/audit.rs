//! What became of each expected time.
//!
//! Expected times are computed from what was in force at that time ([`Period`]), never guessed
//! from the present. For each the ledger has a row: the worker's when it ran, and otherwise the one
//! that is decided here, with the facts that it rests on. What can't be known is no outcome: the
//! time stays undecided and is looked at again.
//!
//! Looking goes in two steps, because Temporal is only asked about what is absent:
//! [`History::look`] judges from the ledger and the periods alone, [`History::judge`] with what
//! Temporal said.

mod judge;
mod running;
mod words;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{CatchUp, CronTrigger, OverlapPolicy, RunId, RunOutcome};

pub use judge::{Asked, ScheduleSeen, Verdict};
pub use running::{LooseEnd, OpenRow, OpenRowSeen, close};

/// How long after a change of what is in force the Schedule may not have followed yet.
pub const SETTLING: TimeDelta = TimeDelta::seconds(10);

/// How far a start, or the news of an end, is behind at most when nothing is wrong.
const MOMENT: TimeDelta = TimeDelta::seconds(2);

/// How long Temporal may take to notice that a run has ended, whose end the ledger has.
const CLOSING: TimeDelta = TimeDelta::seconds(5);

/// How long after its time a run that is left out on purpose is entered, unless its grace is
/// shorter: a start that was on its way has its row by then.
const FIRST_LOOK: TimeDelta = TimeDelta::seconds(60);

/// How soon something is looked at again that can't be decided yet.
pub const AGAIN: TimeDelta = TimeDelta::seconds(30);

/// The window that was open, as evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowCause {
    /// The MaintenanceWindow's UID.
    pub uid: Uuid,
    /// Its name.
    pub name: String,
    /// Why it was declared.
    pub reason: String,
    /// Who approved it.
    pub approved_by: String,
}

/// Whether the clock started runs in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeriodState {
    /// It did.
    Active,
    /// The definition was disabled.
    Disabled,
    /// A maintenance window was open.
    Maintenance(WindowCause),
    /// There was no cron trigger, or no definition any more: nothing was expected.
    Withdrawn,
}

impl PeriodState {
    /// The name in the ledger.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Disabled => "Disabled",
            Self::Maintenance(_) => "Maintenance",
            Self::Withdrawn => "Withdrawn",
        }
    }
}

/// What is in force for one activity: when the clock starts it, and whether it does.
#[derive(Debug, Clone, PartialEq)]
pub struct InForce {
    /// The cron trigger; `None` when withdrawn.
    pub trigger: Option<CronTrigger>,
    /// Whether the clock starts runs.
    pub state: PeriodState,
}

impl InForce {
    /// Nothing is expected.
    pub const WITHDRAWN: Self = Self {
        trigger: None,
        state: PeriodState::Withdrawn,
    };
}

/// A time in which the same was in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Period {
    /// Since when.
    pub from: DateTime<Utc>,
    /// Until when, not included; `None` for the present one.
    pub until: Option<DateTime<Utc>>,
    /// What.
    pub in_force: InForce,
    /// The generation of the spec.
    pub generation: i64,
}

impl Period {
    fn ends(&self) -> DateTime<Utc> {
        self.until.unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn expects(&self, time: DateTime<Utc>) -> bool {
        self.in_force.trigger.as_ref().is_some_and(|trigger| {
            let moment = TimeDelta::nanoseconds(1);
            !trigger.schedule.occurrences(time, time + moment).is_empty()
        })
    }
}

/// One run of the Schedule in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledRun {
    /// The run.
    pub run_id: RunId,
    /// Its nominal time.
    pub scheduled_for: DateTime<Utc>,
    /// When it began; `None` if it never did.
    pub fired_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// How it stands.
    pub outcome: RunOutcome,
}

impl ScheduledRun {
    fn is_open_at(&self, time: DateTime<Utc>) -> bool {
        self.fired_at.is_some_and(|fired| fired <= time)
            && self
                .completed_at
                .is_none_or(|completed| completed > time - CLOSING)
    }
}

/// Everything about one activity that a look needs.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// What was in force, in order of time.
    pub periods: Vec<Period>,
    /// The runs of the Schedule in the ledger, in order of their nominal times: those of the time
    /// that is looked at, and the one before it that was still open.
    pub runs: Vec<ScheduledRun>,
    /// How long after its time a run may begin before it counts as missing.
    pub grace: Duration,
}

/// One expected time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected<'history> {
    /// When.
    pub time: DateTime<Utc>,
    /// What was in force then.
    pub period: &'history Period,
}

/// What is decided for an absent run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The outcome.
    pub outcome: RunOutcome,
    /// In one sentence.
    pub summary: String,
    /// What it rests on: what was looked at, and what was found.
    pub facts: Vec<String>,
    /// The workflow, if Temporal has one that the ledger did not know.
    pub workflow: Option<FoundWorkflow>,
    /// The window that left it out.
    pub window: Option<WindowCause>,
}

/// A workflow that Temporal has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundWorkflow {
    /// Its run id in Temporal.
    pub run_id: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When and how it ended; `None` while it goes on.
    pub closed: Option<(DateTime<Utc>, HowClosed)>,
}

/// How a workflow ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HowClosed {
    /// Well.
    Completed,
    /// Otherwise, in Temporal's word: failed, cancelled, terminated, timed out.
    Otherwise(String),
}

/// What a look at one expected time comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one decision and is never stored"
)]
pub enum Look {
    /// The ledger has its row.
    Settled,
    /// A change fell on it, and it was not to be expected.
    NotExpected,
    /// It may still come; it is looked at again then.
    Wait(DateTime<Utc>),
    /// Only Temporal can tell.
    Ask,
    /// This is what became of it.
    Enter(Finding),
}

impl History {
    /// The expected times in `[from, until)`, in order, at most `limit`.
    pub fn expected(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Vec<Expected<'_>> {
        let mut expected = Vec::new();
        for period in &self.periods {
            let Some(trigger) = &period.in_force.trigger else {
                continue;
            };
            let from = period.from.max(from);
            let until = period.ends().min(until);
            if from >= until {
                continue;
            }
            let left = limit.saturating_sub(expected.len());
            let times = trigger.schedule.first_occurrences(from..until, left);
            expected.extend(times.into_iter().map(|time| Expected { time, period }));
        }
        expected
    }

    /// When the first expected time after `after` is to be looked at; `None` when none is.
    pub fn next_look(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let period = self.periods.last()?;
        let trigger = period.in_force.trigger.as_ref()?;
        let next = trigger.schedule.next_after(after)?;
        Some(self.first_look(Expected { time: next, period }))
    }

    /// Judges one expected time from the ledger and the periods alone.
    pub fn look(&self, expected: Expected<'_>, now: DateTime<Utc>) -> Look {
        if self.run_of(expected.time).is_some() {
            return Look::Settled;
        }
        let first_look = self.first_look(expected);
        if now < first_look {
            return Look::Wait(first_look);
        }
        match &expected.period.in_force.state {
            PeriodState::Withdrawn => Look::NotExpected,
            PeriodState::Disabled | PeriodState::Maintenance(_) => {
                Look::Enter(words::left_out(expected, expected.period, None))
            }
            PeriodState::Active => self
                .look_at_edges(expected)
                .unwrap_or_else(|| self.look_at_absence(expected, now)),
        }
    }

    /// A time right after the period's beginning or right before its end, when the Schedule may not
    /// have followed yet: the neighbour explains its absence.
    fn look_at_edges(&self, expected: Expected<'_>) -> Option<Look> {
        let Expected { time, period } = expected;
        let at = self
            .periods
            .iter()
            .position(|other| other.from == period.from)?;
        let before = at.checked_sub(1).and_then(|at| self.periods.get(at));
        if time < period.from + SETTLING {
            return Some(match before {
                Some(before) => explained_by(expected, before)?,
                None => Look::NotExpected,
            });
        }
        let after = self.periods.get(at + 1)?;
        let latest_start = time + jitter(period) + MOMENT;
        (latest_start >= after.from)
            .then(|| explained_by(expected, after))
            .flatten()
    }

    fn look_at_absence(&self, expected: Expected<'_>, now: DateTime<Utc>) -> Look {
        let due = self.due(expected);
        match self.in_the_way(expected, now) {
            InTheWay::WaitingFor(again) => Look::Wait(again),
            InTheWay::Nothing if now < due => Look::Wait(due),
            InTheWay::Skipped(_) | InTheWay::Nothing => Look::Ask,
        }
    }

    /// When an absent run is looked at first: if it was left out on purpose, it can be told then.
    fn first_look(&self, expected: Expected<'_>) -> DateTime<Utc> {
        expected.time + jitter(expected.period) + delta(self.grace).min(FIRST_LOOK)
    }

    /// When an absent run counts as missing: after its jitter, its grace and, where it is made up
    /// for, the catch-up window. Once a later run has begun, Temporal will not catch up on it any
    /// more.
    pub fn due(&self, expected: Expected<'_>) -> DateTime<Utc> {
        let due = expected.time + jitter(expected.period) + delta(self.grace);
        let catch_up = expected.period.in_force.trigger.as_ref();
        match catch_up.map(|trigger| trigger.catch_up) {
            Some(CatchUp::Within(window)) if !self.has_begun_after(expected.time) => {
                due + delta(window)
            }
            _ => due,
        }
    }

    fn has_begun_after(&self, time: DateTime<Utc>) -> bool {
        self.runs
            .iter()
            .any(|run| run.scheduled_for > time && run.fired_at.is_some())
    }

    fn run_of(&self, time: DateTime<Utc>) -> Option<&ScheduledRun> {
        let at = self
            .runs
            .binary_search_by_key(&time, |run| run.scheduled_for)
            .ok()?;
        self.runs.get(at)
    }

    /// The run that keeps another from starting, by the overlap policy that was in force.
    fn in_the_way(&self, expected: Expected<'_>, now: DateTime<Utc>) -> InTheWay<'_> {
        let Some(trigger) = &expected.period.in_force.trigger else {
            return InTheWay::Nothing;
        };
        let latest_start = expected.time + jitter(expected.period) + MOMENT;
        let earlier = || {
            let runs = self.runs.iter().rev();
            runs.filter(|run| run.scheduled_for < expected.time && run.fired_at.is_some())
        };
        let Some(open) = earlier().find(|run| run.is_open_at(latest_start)) else {
            return self.still_queued(expected, now);
        };
        match trigger.overlap {
            OverlapPolicy::AllowAll => InTheWay::Nothing,
            OverlapPolicy::Skip => InTheWay::Skipped(open),
            OverlapPolicy::BufferAll => self.still_queued(expected, now),
            OverlapPolicy::BufferOne
            | OverlapPolicy::CancelOther
            | OverlapPolicy::TerminateOther => {
                // Only one start waits; another one took its place.
                let one_waits = trigger.overlap == OverlapPolicy::BufferOne
                    && earlier().any(|run| {
                        run.scheduled_for > open.scheduled_for && run.fired_at > Some(expected.time)
                    });
                if one_waits || self.has_begun_after(expected.time) {
                    return InTheWay::Skipped(open);
                }
                self.still_queued(expected, now)
            }
        }
    }

    /// A start that waits for the end of a run before it.
    fn still_queued(&self, expected: Expected<'_>, now: DateTime<Utc>) -> InTheWay<'_> {
        let overlap = expected.period.in_force.trigger.as_ref();
        let waits = overlap.is_some_and(|trigger| {
            !matches!(
                trigger.overlap,
                OverlapPolicy::AllowAll | OverlapPolicy::Skip
            )
        });
        if !waits {
            return InTheWay::Nothing;
        }
        let mut earlier = self
            .runs
            .iter()
            .filter(|run| run.scheduled_for < expected.time && run.fired_at.is_some());
        if earlier.clone().any(|run| run.completed_at.is_none()) {
            return InTheWay::WaitingFor(now + AGAIN);
        }
        let last_end = earlier.by_ref().filter_map(|run| run.completed_at).max();
        match last_end.map(|end| end + delta(self.grace)) {
            Some(until) if until > now => InTheWay::WaitingFor(until),
            _ => InTheWay::Nothing,
        }
    }
}

/// What keeps a run from starting.
enum InTheWay<'history> {
    Nothing,
    /// It was left out because of this run.
    Skipped(&'history ScheduledRun),
    /// It waits its turn; look again then.
    WaitingFor(DateTime<Utc>),
}

/// What a neighbouring period says about a time at the edge: left out for the neighbour's reason,
/// or not expected; `None` when it was to run in the neighbour too.
fn explained_by(expected: Expected<'_>, neighbour: &Period) -> Option<Look> {
    if !neighbour.expects(expected.time) {
        return Some(Look::NotExpected);
    }
    match &neighbour.in_force.state {
        PeriodState::Active => None,
        PeriodState::Withdrawn => Some(Look::NotExpected),
        PeriodState::Disabled | PeriodState::Maintenance(_) => {
            Some(Look::Enter(words::left_out(expected, neighbour, None)))
        }
    }
}

fn jitter(period: &Period) -> TimeDelta {
    let trigger = period.in_force.trigger.as_ref();
    trigger.map_or(TimeDelta::zero(), |trigger| delta(trigger.jitter))
}

fn delta(duration: Duration) -> TimeDelta {
    // Settings are at most a year.
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(366))
}

#[cfg(test)]
mod tests;
