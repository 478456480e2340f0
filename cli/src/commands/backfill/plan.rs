//! Decides for each expected time whether it is made up for. Nothing is contacted here.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{RunOutcome, TriggerKind};

use crate::history::RunView;

/// Which expected times are made up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Those that the ledger calls Missed.
    Missing,
    /// Every one without a run that succeeded: what failed and what was skipped too.
    Unproven,
}

/// What the decision depends on beside the ledger.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    /// When it is asked.
    pub(super) now: DateTime<Utc>,
    /// How long after its time a run may still come by itself.
    pub(super) grace: TimeDelta,
    /// Which times are meant.
    pub(super) extent: Extent,
}

/// One expected time, what the ledger says about it, and what is done.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planned {
    pub(super) time: DateTime<Utc>,
    /// The row of the time itself.
    pub(super) scheduled: Option<RunView>,
    /// The row of a run that makes up for it.
    pub(super) backfill: Option<RunView>,
    pub(super) decision: Decision,
}

/// What is done about one expected time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// A run is started that makes up for it.
    Start,
    /// Nothing.
    Leave(Reason),
}

/// Why an expected time is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its run succeeded.
    Succeeded,
    /// A run that made up for it succeeded.
    MadeUpFor,
    /// Its run goes on.
    Running,
    /// The run that makes up for it goes on.
    BeingMadeUpFor,
    /// The run that made up for it failed, and the same run is never run twice.
    BackfillFailed,
    /// Its grace is not over, so it may still run by itself.
    WithinGrace,
    /// It was left out on purpose, and only missing ones are meant.
    SkippedOnPurpose,
    /// It ran and failed, and only missing ones are meant.
    RanAndFailed,
    /// The ledger has no row, and only what it calls Missed is meant.
    NotJudged,
    /// A later version wrote an outcome that this one does not know.
    UnknownOutcome,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Succeeded => "it succeeded",
            Self::MadeUpFor => "it has been made up for",
            Self::Running => "its run is still going on",
            Self::BeingMadeUpFor => "it is being made up for",
            Self::BackfillFailed => {
                "the run that made up for it failed and is never run twice; use actcore trigger"
            }
            Self::WithinGrace => "its grace is not over: it may still run by itself",
            Self::SkippedOnPurpose => "it was skipped on purpose",
            Self::RanAndFailed => "it ran and failed; without --only-missing it is run again",
            Self::NotJudged => "the audit has not judged it",
            Self::UnknownOutcome => "a later version wrote its outcome",
        })
    }
}

/// Decides for every expected time.
pub(super) fn plan(
    times: &[DateTime<Utc>],
    rows: Vec<RunView>,
    question: Question,
) -> Vec<Planned> {
    let mut scheduled = HashMap::new();
    let mut backfills = HashMap::new();
    for row in rows {
        let Some(time) = row.scheduled_for else {
            continue;
        };
        match row.trigger.split('/').next() {
            Some(kind) if kind == TriggerKind::Schedule.as_str() => scheduled.insert(time, row),
            Some(kind) if kind == TriggerKind::Backfill.as_str() => backfills.insert(time, row),
            _ => None,
        };
    }
    let mut planned = Vec::with_capacity(times.len());
    for time in times {
        let (scheduled, backfill) = (scheduled.remove(time), backfills.remove(time));
        let decision = decide(*time, scheduled.as_ref(), backfill.as_ref(), question);
        planned.push(Planned {
            time: *time,
            scheduled,
            backfill,
            decision,
        });
    }
    planned
}

fn decide(
    time: DateTime<Utc>,
    scheduled: Option<&RunView>,
    backfill: Option<&RunView>,
    question: Question,
) -> Decision {
    let outcome = |row: &RunView| row.outcome.parse::<RunOutcome>();
    // The time's own success counts before any backfill, whose run may be going on for nothing.
    if let Some(Ok(RunOutcome::Succeeded)) = scheduled.map(outcome) {
        return Decision::Leave(Reason::Succeeded);
    }
    if let Some(backfill) = backfill {
        return Decision::Leave(match outcome(backfill) {
            Ok(RunOutcome::Succeeded) => Reason::MadeUpFor,
            Ok(RunOutcome::Running) => Reason::BeingMadeUpFor,
            Ok(_) => Reason::BackfillFailed,
            Err(_) => Reason::UnknownOutcome,
        });
    }
    let only_missing = question.extent == Extent::Missing;
    let leave_if = |left: bool, reason| {
        if left {
            Decision::Leave(reason)
        } else {
            Decision::Start
        }
    };
    match scheduled.map(outcome) {
        None if time + question.grace > question.now => Decision::Leave(Reason::WithinGrace),
        None => leave_if(only_missing, Reason::NotJudged),
        Some(Err(_)) => Decision::Leave(Reason::UnknownOutcome),
        Some(Ok(RunOutcome::Succeeded)) => Decision::Leave(Reason::Succeeded),
        Some(Ok(RunOutcome::Running)) => Decision::Leave(Reason::Running),
        Some(Ok(RunOutcome::Missed)) => Decision::Start,
        Some(Ok(RunOutcome::Failed)) => leave_if(only_missing, Reason::RanAndFailed),
        Some(Ok(
            RunOutcome::SkippedOverlap
            | RunOutcome::SkippedMaintenance
            | RunOutcome::SkippedDisabled,
        )) => leave_if(only_missing, Reason::SkippedOnPurpose),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(hour: u32) -> DateTime<Utc> {
        format!("2026-11-24T{hour:02}:00:00Z").parse().unwrap()
    }

    fn row(kind: &str, hour: u32, outcome: &str) -> RunView {
        RunView {
            run_id: Uuid::nil(),
            activity_id: Uuid::nil(),
            activity_name: "daily".to_owned(),
            trigger: format!("{kind}/{}", at(hour).to_rfc3339()),
            scheduled_for: Some(at(hour)),
            fired_at: None,
            completed_at: None,
            outcome: outcome.to_owned(),
            error: None,
            workflow_id: None,
        }
    }

    fn decided(extent: Extent, rows: &[RunView]) -> Decision {
        let question = Question {
            now: at(12),
            grace: TimeDelta::minutes(30),
            extent,
        };
        plan(&[at(9)], rows.to_vec(), question)[0].decision
    }

    #[test]
    fn what_was_missed_is_made_up_for_and_what_was_skipped_on_purpose_only_when_asked() {
        use Decision::{Leave, Start};
        let cases = [
            ("Missed", Start, Start),
            ("Failed", Start, Leave(Reason::RanAndFailed)),
            ("SkippedOverlap", Start, Leave(Reason::SkippedOnPurpose)),
            ("SkippedMaintenance", Start, Leave(Reason::SkippedOnPurpose)),
            ("SkippedDisabled", Start, Leave(Reason::SkippedOnPurpose)),
            (
                "Succeeded",
                Leave(Reason::Succeeded),
                Leave(Reason::Succeeded),
            ),
            ("Running", Leave(Reason::Running), Leave(Reason::Running)),
            (
                "Later",
                Leave(Reason::UnknownOutcome),
                Leave(Reason::UnknownOutcome),
            ),
        ];
        for (outcome, unproven, missing) in cases {
            let rows = [row("schedule", 9, outcome)];
            assert_eq!(decided(Extent::Unproven, &rows), unproven, "{outcome}");
            assert_eq!(decided(Extent::Missing, &rows), missing, "{outcome}");
        }
        assert_eq!(decided(Extent::Unproven, &[]), Start);
        assert_eq!(decided(Extent::Missing, &[]), Leave(Reason::NotJudged));
    }

    #[test]
    fn what_is_made_up_for_is_not_made_up_for_twice() {
        let cases = [
            ("Succeeded", Reason::MadeUpFor),
            ("Running", Reason::BeingMadeUpFor),
            ("Failed", Reason::BackfillFailed),
        ];
        for (outcome, reason) in cases {
            let rows = [row("schedule", 9, "Missed"), row("backfill", 9, outcome)];
            assert_eq!(decided(Extent::Unproven, &rows), Decision::Leave(reason));
            assert_eq!(decided(Extent::Missing, &rows), Decision::Leave(reason));
        }
    }

    #[test]
    fn a_time_that_may_still_run_by_itself_is_left_alone() {
        let question = Question {
            now: at(9) + TimeDelta::minutes(29),
            grace: TimeDelta::minutes(30),
            extent: Extent::Unproven,
        };
        let planned = plan(&[at(8), at(9)], Vec::new(), question);
        assert_eq!(planned[0].decision, Decision::Start);
        assert_eq!(planned[1].decision, Decision::Leave(Reason::WithinGrace));
    }
}
