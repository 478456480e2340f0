//! Rows that say Running although nothing runs: the worker that would have entered the end is gone,
//! or the workflow was ended from outside.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{FoundWorkflow, HowClosed, words};
use crate::RunOutcome;

/// How old a row must be at least before it counts that Temporal does not know its workflow.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::minutes(15);

/// A row of the ledger that says Running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRow {
    /// The workflow's id.
    pub workflow_id: String,
    /// The workflow's run id in Temporal.
    pub workflow_run_id: String,
    /// When the run began.
    pub fired_at: DateTime<Utc>,
}

/// What becomes of a row that says Running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LooseEnd {
    /// It still runs, or nothing is known against it.
    Leave,
    /// It has ended.
    End {
        /// How.
        outcome: RunOutcome,
        /// When, as far as known.
        completed_at: DateTime<Utc>,
        /// Why, in one sentence.
        reason: String,
    },
}

/// What was seen of the workflow of an open row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRowSeen {
    /// The very workflow run; `None` when Temporal does not know it.
    pub this: Option<FoundWorkflow>,
    /// The newest run of the same workflow id: another one after a reset.
    pub newest: Option<FoundWorkflow>,
    /// How long Temporal keeps workflows that have ended.
    pub retention: Option<Duration>,
}

/// Decides on a row that says Running. A workflow that was reset goes on under another run id, so
/// the newest run of the id counts as well as the row's own.
pub fn close(row: &OpenRow, seen: &OpenRowSeen, now: DateTime<Utc>) -> LooseEnd {
    let id = &row.workflow_id;
    let is_open = |workflow: &Option<FoundWorkflow>| {
        workflow
            .as_ref()
            .is_some_and(|workflow| workflow.closed.is_none())
    };
    if is_open(&seen.this) || is_open(&seen.newest) {
        return LooseEnd::Leave;
    }
    let closed = seen.this.as_ref().or(seen.newest.as_ref());
    match closed.and_then(|workflow| workflow.closed.clone()) {
        Some((completed_at, HowClosed::Completed)) => LooseEnd::End {
            outcome: RunOutcome::Succeeded,
            completed_at,
            reason: format!("{id} completed in Temporal without entering its end"),
        },
        Some((completed_at, HowClosed::Otherwise(how))) => LooseEnd::End {
            outcome: RunOutcome::Failed,
            completed_at,
            reason: format!("{id} {how} in Temporal without entering its end"),
        },
        None => forgotten(row, seen.retention, now),
    }
}

fn forgotten(row: &OpenRow, retention: Option<Duration>, now: DateTime<Utc>) -> LooseEnd {
    if now - row.fired_at < FORGOTTEN_AFTER {
        return LooseEnd::Leave;
    }
    let id = &row.workflow_id;
    let kept = retention.map(super::delta);
    let reason = match (kept, retention) {
        (Some(kept), Some(retention)) if now - row.fired_at < kept => format!(
            "Temporal does not know {id} any more, although it keeps what has ended for {}: its \
             data was lost, or the workflow deleted; the run never entered its end",
            words::span(retention)
        ),
        _ => format!(
            "Temporal has forgotten {id}, which is older than what it keeps; the run never entered \
             its end"
        ),
    };
    LooseEnd::End {
        outcome: RunOutcome::Failed,
        completed_at: now,
        reason,
    }
}
