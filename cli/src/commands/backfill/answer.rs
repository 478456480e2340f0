//! The answer of `actcore backfill`: a table for people, JSON and YAML for programs.

use chrono::{DateTime, Utc};
use contracts::workflow::format_time;
use domain::{ActivityId, TimeZone};
use serde::Serialize;
use temporal::RunStart;
use uuid::Uuid;

use super::plan::{Decision, Planned};
use crate::history::RunView;
use crate::output;

/// The answer, in the shape that `-o json` promises.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Backfill {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) activity_id: Uuid,
    pub(super) from: DateTime<Utc>,
    pub(super) to: DateTime<Utc>,
    pub(super) dry_run: bool,
    pub(super) times: Vec<Line>,
}

/// One expected time, in the shape that `-o json` promises.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub(super) time: DateTime<Utc>,
    /// The outcome of the time's own row in the ledger; `null` without a row.
    ledger: Option<String>,
    /// What the row says about it.
    evidence: Option<String>,
    /// The outcome of the run that makes up for it; `null` when there is none.
    backfill: Option<String>,
    /// `start` or `leave`.
    action: &'static str,
    /// Why it is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The run that makes up, or would make up, for the time.
    pub(super) run_id: Uuid,
    workflow_id: String,
    /// `now`, or `before` by the same command; absent when nothing was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started: Option<&'static str>,
    /// How the run that was started ended; only with `--wait`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<RunView>,
    #[serde(skip)]
    pub(super) start: RunStart,
}

impl Line {
    pub(super) fn new(planned: Planned, activity: ActivityId, name: &str) -> Self {
        let start = RunStart::by_backfill(activity, name, planned.time);
        let (action, reason) = match planned.decision {
            Decision::Start => ("start", None),
            Decision::Leave(reason) => ("leave", Some(reason.to_string())),
        };
        Self {
            time: planned.time,
            evidence: planned.scheduled.as_ref().and_then(|row| row.error.clone()),
            ledger: planned.scheduled.map(|row| row.outcome),
            backfill: planned.backfill.map(|row| row.outcome),
            action,
            reason,
            run_id: start.run_id.as_uuid(),
            workflow_id: start.workflow_id.clone(),
            started: None,
            run: None,
            start,
        }
    }

    pub(super) fn is_to_start(&self) -> bool {
        self.reason.is_none()
    }

    /// What the ledger says, in one column.
    fn ledger_shown(&self) -> String {
        let own = self.ledger.as_deref().unwrap_or("-");
        match &self.backfill {
            Some(backfill) => format!("{own}, backfill {backfill}"),
            None => own.to_owned(),
        }
    }
}

/// Prints what would be done about each time.
pub(super) fn print_plan(backfill: &Backfill, zone: TimeZone) -> std::io::Result<()> {
    if backfill.times.is_empty() {
        return output::line(format!(
            "no run of {}/{} was expected from {} to {}",
            backfill.namespace,
            backfill.name,
            format_time(backfill.from),
            format_time(backfill.to)
        ));
    }
    let rows = backfill.times.iter().map(|line| {
        let action = match &line.reason {
            None => format!("run {}", line.run_id),
            Some(reason) => format!("leave: {reason}"),
        };
        vec![
            format_time(line.time),
            zone.shown(line.time),
            line.ledger_shown(),
            action,
        ]
    });
    let local = format!("LOCAL ({})", zone.name());
    output::table(&["TIME", &local, "LEDGER", "ACTION"], rows.collect())
}
