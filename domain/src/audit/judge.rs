//! The judgement on an absent run once Temporal has been asked.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{AGAIN, Expected, Finding, FoundWorkflow, History, InTheWay, WindowCause, words};

/// What Temporal and the cluster were asked about one absent run. That something could not be
/// asked is no case here: then nothing is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<'answers> {
    /// The id of the workflow that the run would be.
    pub workflow_id: &'answers str,
    /// The workflow; `None` when Temporal has none.
    pub workflow: Option<FoundWorkflow>,
    /// The Schedule; `None` when Temporal has none.
    pub schedule: Option<&'answers ScheduleSeen>,
    /// How long Temporal keeps workflows that have ended.
    pub retention: Option<Duration>,
    /// The times in which no operator was there.
    pub gaps: &'answers [Range<DateTime<Utc>>],
    /// A maintenance window that had been declared by then and was open, whether or not there was
    /// an operator to pause the Schedule for it.
    pub declared_window: Option<WindowCause>,
}

/// A Schedule, as far as it explains why nothing ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleSeen {
    /// Its id.
    pub id: String,
    /// The words beside the pause, and whether the pause is the operator's own; `None` when it is
    /// not paused.
    pub paused: Option<(String, bool)>,
    /// The next time at which Temporal says that it will fire.
    pub next: Option<DateTime<Utc>>,
    /// The nominal time of its last start.
    pub last: Option<DateTime<Utc>>,
    /// Why it can't fire any more although it is there: an end, no actions left.
    pub exhausted: Option<String>,
}

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one decision and is never stored"
)]
pub enum Verdict {
    /// It may still come; it is looked at again then.
    Wait(DateTime<Utc>),
    /// This is what became of it.
    Enter(Finding),
}

impl History {
    /// Judges an absent run by what Temporal said.
    pub fn judge(&self, expected: Expected<'_>, asked: &Asked<'_>, now: DateTime<Utc>) -> Verdict {
        if let Some(workflow) = &asked.workflow {
            return Verdict::Enter(words::in_temporal(expected, asked, workflow));
        }
        if let Some(window) = &asked.declared_window {
            let left_out = words::left_out(expected, expected.period, Some(window));
            return Verdict::Enter(left_out);
        }
        let due = self.due(expected);
        match self.in_the_way(expected, now) {
            InTheWay::Skipped(open) => {
                Verdict::Enter(words::overlapped(expected, asked, (open, self.grace)))
            }
            InTheWay::WaitingFor(again) => Verdict::Wait(again),
            InTheWay::Nothing if now < due => Verdict::Wait(due.max(now + AGAIN)),
            InTheWay::Nothing => {
                let begun = self.runs.iter().rev();
                let last = begun
                    .filter(|run| run.fired_at.is_some())
                    .find(|run| run.scheduled_for < expected.time);
                Verdict::Enter(words::missed(expected, asked, (due, last)))
            }
        }
    }
}
