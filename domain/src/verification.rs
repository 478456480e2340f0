//! "Did today's run happen?" — answered from evidence.
//!
//! Six conditions, each decided from what was seen in a different system. A check whose system
//! could not be looked at is [`Verdict::Unknown`], and unknown is never ok. Gathering the evidence
//! is left to the `audit` crate.

mod expectation;
mod ledger;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

pub use expectation::Expectation;
use ledger::Day;

use crate::{Definition, OverlapPolicy, ReportSinkKind, RunId, RunOutcome, TimeZone, Trigger};

/// What was seen, or the reason why nothing could be seen.
pub type Seen<T> = Result<T, String>;

/// The state of a Temporal Schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleEvidence {
    /// The Schedule's id.
    pub id: String,
    /// Whether it is paused.
    pub paused: bool,
    /// The note beside the pause.
    pub note: String,
    /// What it does on overlap.
    pub overlap: OverlapPolicy,
}

/// The state of the latest workflow of an activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowEvidence {
    /// The workflow's id.
    pub id: String,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// How it stands.
    pub status: WorkflowStatus,
    /// The activity that is being tried again after a failure, with its attempt and last error.
    pub retrying: Option<String>,
}

/// How a workflow stands, as far as verification tells states apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkflowStatus {
    /// Still going.
    Running,
    /// Ended well.
    Completed,
    /// Ended otherwise: failed, cancelled, terminated or timed out.
    Closed,
}

/// The ledger's row of the run of the day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEvidence {
    /// The run.
    pub run_id: RunId,
    /// Its nominal time, if it has one.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// When it really began; `None` if it never did.
    pub fired_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Why it did not end well.
    pub error: Option<String>,
}

/// An expected time of the day that came to no run and that nothing made up for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbsentEvidence {
    /// When it was expected.
    pub scheduled_for: DateTime<Utc>,
    /// What the audit decided.
    pub outcome: RunOutcome,
    /// Why, in its words.
    pub words: String,
}

/// A report file that was found for the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEvidence {
    /// The file's name.
    pub name: String,
    /// The run id in its frontmatter.
    pub run_id: Option<RunId>,
}

/// Everything that was seen about one definition on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The Schedule; `Ok(None)` when Temporal has none.
    pub schedule: Seen<Option<ScheduleEvidence>>,
    /// The latest workflow; `Ok(None)` when Temporal has none.
    pub workflow: Seen<Option<WorkflowEvidence>>,
    /// The newest run of the day that began; `Ok(None)` when none did.
    pub ledger: Seen<Option<LedgerEvidence>>,
    /// The expected times of the day that came to no run, the newest first.
    pub absent: Seen<Vec<AbsentEvidence>>,
    /// The run ids in State Hub's progress entries of the definition's event type.
    pub progress: Seen<Vec<RunId>>,
    /// The report files of the day.
    pub files: Seen<Vec<FileEvidence>>,
}

/// The answer to one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The condition holds.
    Ok,
    /// The definition asks for nothing that this condition could be about.
    NotApplicable,
    /// The condition does not hold.
    Failed,
    /// It could not be looked at.
    Unknown,
}

impl Verdict {
    /// Whether the check does not stand in the way of "it happened".
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Ok | Self::NotApplicable)
    }

    /// The word that reports print.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotApplicable => "n/a",
            Self::Failed => "FAILED",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One condition of the verification, in the order in which they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The Schedule exists, is not paused and has the declared overlap policy.
    Schedule,
    /// The latest workflow completed, or visibly retries a failed activity.
    Workflow,
    /// The ledger has a row of the day.
    Ledger,
    /// State Hub has a progress entry of the run.
    Progress,
    /// The working memory has the report of the run.
    WorkingMemory,
    /// The timeouts fit under the limit of a run.
    TimeBudget,
}

impl Condition {
    /// All six, in order.
    pub const ALL: [Self; 6] = [
        Self::Schedule,
        Self::Workflow,
        Self::Ledger,
        Self::Progress,
        Self::WorkingMemory,
        Self::TimeBudget,
    ];

    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Workflow => "workflow",
            Self::Ledger => "ledger",
            Self::Progress => "progress",
            Self::WorkingMemory => "workingMemory",
            Self::TimeBudget => "timeBudget",
        }
    }
}

/// One condition and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Which condition.
    pub condition: Condition,
    /// The answer.
    pub verdict: Verdict,
    /// What was seen, and where not ok what to look at.
    pub detail: String,
}

/// What is verified: one definition on one day.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'definition> {
    /// The definition.
    pub definition: &'definition Definition,
    /// The day, in the definition's time zone.
    pub date: NaiveDate,
    /// The limit for the steps of one run.
    pub time_limit: Duration,
    /// When it is asked.
    pub now: DateTime<Utc>,
}

impl Subject<'_> {
    /// Whether something that began then may still be going without anything being wrong.
    fn is_in_grace(&self, began: DateTime<Utc>) -> bool {
        let grace = TimeDelta::from_std(self.definition.grace).unwrap_or(TimeDelta::MAX);
        began
            .checked_add_signed(grace)
            .is_none_or(|until| self.now < until)
    }
}

/// The time zone in which a definition's days are counted.
pub fn time_zone(definition: &Definition) -> TimeZone {
    match &definition.trigger {
        Trigger::Cron(cron) => cron.schedule.time_zone,
        Trigger::Event(_) | Trigger::Manual => TimeZone::UTC,
    }
}

/// Decides all six conditions.
pub fn verify(subject: &Subject<'_>, evidence: &Evidence) -> Vec<Check> {
    let day = ledger::day(subject, evidence);
    Condition::ALL
        .into_iter()
        .map(|condition| {
            let (verdict, detail) = match condition {
                Condition::Schedule => check_schedule(subject, &evidence.schedule),
                Condition::Workflow => check_workflow(subject, &evidence.workflow),
                Condition::Ledger => ledger::check(subject, &day),
                Condition::Progress => check_progress(subject, &day, &evidence.progress),
                Condition::WorkingMemory => check_files(subject, &day, &evidence.files),
                Condition::TimeBudget => check_time_budget(subject),
            };
            Check {
                condition,
                verdict,
                detail,
            }
        })
        .collect()
}

/// Whether all conditions agree that the run happened.
pub fn is_verified(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.verdict.is_good())
}

type Answer = (Verdict, String);

fn unknown(reason: &str) -> Answer {
    (Verdict::Unknown, format!("could not look: {reason}"))
}

fn check_schedule(subject: &Subject<'_>, seen: &Seen<Option<ScheduleEvidence>>) -> Answer {
    let Trigger::Cron(cron) = &subject.definition.trigger else {
        return (
            Verdict::NotApplicable,
            "the definition has no cron trigger".to_owned(),
        );
    };
    let schedule = match seen {
        Err(reason) => return unknown(reason),
        Ok(None) => {
            return (Verdict::Failed, "Temporal has no such Schedule".to_owned());
        }
        Ok(Some(schedule)) => schedule,
    };
    if schedule.paused {
        return (
            Verdict::Failed,
            format!("{} is paused: {}", schedule.id, schedule.note),
        );
    }
    if schedule.overlap != cron.overlap {
        return (
            Verdict::Failed,
            format!(
                "{} has overlap policy {}, the definition says {}",
                schedule.id,
                schedule.overlap.as_str(),
                cron.overlap.as_str()
            ),
        );
    }
    (
        Verdict::Ok,
        format!(
            "{} exists, is not paused, overlap policy {}",
            schedule.id,
            schedule.overlap.as_str()
        ),
    )
}

fn check_workflow(subject: &Subject<'_>, seen: &Seen<Option<WorkflowEvidence>>) -> Answer {
    match seen {
        Err(reason) => unknown(reason),
        Ok(None) => (
            Verdict::Failed,
            "Temporal has no workflow of this activity".to_owned(),
        ),
        Ok(Some(workflow)) => match (workflow.status, &workflow.retrying) {
            (WorkflowStatus::Completed, _) => (Verdict::Ok, format!("{} completed", workflow.id)),
            (WorkflowStatus::Running, Some(retry)) => {
                (Verdict::Ok, format!("{} is retrying: {retry}", workflow.id))
            }
            (WorkflowStatus::Running, None)
                if workflow
                    .started_at
                    .is_some_and(|began| subject.is_in_grace(began)) =>
            {
                (
                    Verdict::Unknown,
                    format!("{} is still running, within its grace", workflow.id),
                )
            }
            (WorkflowStatus::Running, None) => (
                Verdict::Failed,
                format!("{} is still running and retries nothing", workflow.id),
            ),
            (WorkflowStatus::Closed, _) => (
                Verdict::Failed,
                format!("{} ended without completing", workflow.id),
            ),
        },
    }
}

fn has_sink(definition: &Definition, matches: fn(&ReportSinkKind) -> bool) -> bool {
    definition
        .reports
        .iter()
        .any(|report| matches(&report.kind))
}

fn check_progress(subject: &Subject<'_>, day: &Day<'_>, seen: &Seen<Vec<RunId>>) -> Answer {
    if !has_sink(subject.definition, |kind| {
        matches!(kind, ReportSinkKind::StateHub { .. })
    }) {
        return (
            Verdict::NotApplicable,
            "the definition has no State Hub report".to_owned(),
        );
    }
    let run_id = match ledger::reported_run(day, "progress entry") {
        Ok(run_id) => run_id,
        Err(answer) => return answer,
    };
    match seen {
        Err(reason) => unknown(reason),
        Ok(entries) if entries.contains(&run_id) => (
            Verdict::Ok,
            format!("State Hub has a progress entry of run {run_id}"),
        ),
        Ok(_) => ledger::unreported(
            day,
            format!("State Hub has no progress entry of run {run_id}"),
        ),
    }
}

fn check_files(subject: &Subject<'_>, day: &Day<'_>, seen: &Seen<Vec<FileEvidence>>) -> Answer {
    if !has_sink(subject.definition, |kind| {
        matches!(kind, ReportSinkKind::WorkingMemory { .. })
    }) {
        return (
            Verdict::NotApplicable,
            "the definition has no working-memory report".to_owned(),
        );
    }
    let run_id = match ledger::reported_run(day, "report") {
        Ok(run_id) => run_id,
        Err(answer) => return answer,
    };
    let files = match seen {
        Err(reason) => return unknown(reason),
        Ok(files) => files,
    };
    match files.iter().find(|file| file.run_id == Some(run_id)) {
        Some(file) => (
            Verdict::Ok,
            format!("{} is the report of run {run_id}", file.name),
        ),
        None => ledger::unreported(
            day,
            format!(
                "none of {} report file(s) carries run {run_id} in its frontmatter",
                files.len()
            ),
        ),
    }
}

fn check_time_budget(subject: &Subject<'_>) -> Answer {
    let budget = subject.definition.time_budget();
    match budget.check(subject.time_limit) {
        Ok(()) => (
            Verdict::Ok,
            format!(
                "the steps take at most {} s of {} s",
                budget.total().as_secs(),
                subject.time_limit.as_secs()
            ),
        ),
        Err(exceeded) => (Verdict::Failed, exceeded.to_string()),
    }
}

#[cfg(test)]
mod tests;
