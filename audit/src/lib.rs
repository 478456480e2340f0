//! Gathers the evidence of one definition's run on one day: from Temporal, from the ledger in
//! Postgres, from State Hub and from the working memory.
//!
//! What the evidence means is decided by [`domain::verification`]; here the systems are only
//! looked at, all at once, each no longer than [`PATIENCE`]. A system that could not be looked at
//! is told apart from one that has nothing, because unknown is never ok. One engine serves the
//! operator, the command line and the API.

mod definition;
mod pass;
mod progress_note;
mod state_hub;
mod survey;
mod working_memory;

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use chrono::{NaiveDate, Utc};
use domain::verification::{
    self, AbsentEvidence, Check, Evidence, FileEvidence, LedgerEvidence, Seen, Subject,
};
use domain::{ActivityId, Definition, ReportSinkKind, RunId, Trigger};
use futures::future::join_all;
use runtime::describe;
use store::{ActivityDay, Run, Store};
use temporal::Temporal;

pub use definition::{UnreadableDefinition, definition_of};
pub use pass::{Closed, Entered, Ledger, PassError, PassReport, Surroundings};
pub use progress_note::Noted;
pub use state_hub::{InvalidStateHubUrl, StateHub};
pub use survey::Surveyed;
pub use working_memory::WorkingMemory;

/// How long one system may take to show its evidence.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How many expected runs of a day that never were are told apart; a day has 86,400 at most, and a
/// hundred are enough to be worried.
const MOST_ABSENT: u32 = 100;

/// The systems that evidence comes from. One that can't be looked at is an `Err` with the reason,
/// which becomes the text of its checks.
#[derive(Debug, Clone)]
pub struct Auditor {
    /// The ledger.
    pub store: Store,
    /// The Schedules and workflows.
    pub temporal: Seen<Temporal>,
    /// The progress entries.
    pub state_hub: Seen<StateHub>,
    /// The report files.
    pub working_memory: Seen<WorkingMemory>,
}

impl Auditor {
    /// An auditor of Postgres and Temporal alone; the other two say which setting is missing until
    /// they are set.
    pub fn new(store: Store, temporal: Temporal) -> Self {
        Self {
            store,
            temporal: Ok(temporal),
            state_hub: Err("STATE_HUB_URL is not set".to_owned()),
            working_memory: Err("WORKING_MEMORY_DIR is not set".to_owned()),
        }
    }

    /// Checks all six conditions for a definition on a day of its time zone. `time_limit` is the
    /// limit for the steps of one run (`ACTIVITY_TIMEOUT_SECONDS`). Takes twice [`PATIENCE`] at
    /// most: what was reported can only be looked for when the ledger has named the run.
    pub async fn verify(
        &self,
        definition: &Definition,
        date: NaiveDate,
        time_limit: Duration,
    ) -> Vec<Check> {
        let evidence = self.gather(definition, date).await;
        judge((definition, date), time_limit, &evidence)
    }

    /// Everything that can be seen about a definition on a day of its time zone. Only systems that
    /// the definition has to do with are looked at.
    async fn gather(&self, definition: &Definition, date: NaiveDate) -> Evidence {
        let (activity, day) = ([definition.id], [day_of(definition, date)]);
        let with_reports = async {
            let (mut runs, mut absent) = tokio::join!(
                in_time("Postgres", self.look_into_ledger(&day)),
                in_time("Postgres", self.look_for_absent(&day)),
            );
            let ledger = taken(&mut runs, definition.id);
            let absent = taken(&mut absent, definition.id).map(Option::unwrap_or_default);
            let reports = self.look_for_reports(definition, date, &ledger).await;
            (ledger, absent, reports)
        };
        let (schedule, mut workflows, (ledger, absent, (progress, files))) = tokio::join!(
            self.look_for_schedule(definition),
            in_time("Temporal", self.look_for_workflows(&activity)),
            with_reports,
        );
        Evidence {
            schedule,
            workflow: taken(&mut workflows, definition.id),
            ledger,
            absent,
            progress,
            files,
        }
    }

    async fn look_for_schedule(
        &self,
        definition: &Definition,
    ) -> Seen<Option<verification::ScheduleEvidence>> {
        if !matches!(definition.trigger, Trigger::Cron(_)) {
            return Ok(None);
        }
        let temporal = self.temporal.as_ref().map_err(Clone::clone)?;
        in_time("Temporal", async {
            let seen = temporal.schedule_evidence(definition.id).await;
            seen.map_err(|error| describe(&error))
        })
        .await
    }

    async fn look_for_workflows(
        &self,
        activities: &[ActivityId],
    ) -> Seen<HashMap<ActivityId, verification::WorkflowEvidence>> {
        let temporal = self.temporal.as_ref().map_err(Clone::clone)?;
        let seen = temporal.latest_workflows(activities).await;
        seen.map_err(|error| describe(&error))
    }

    async fn look_into_ledger(
        &self,
        days: &[ActivityDay],
    ) -> Seen<HashMap<ActivityId, LedgerEvidence>> {
        let seen = self.store.newest_runs_of(days).await;
        let runs = seen.map_err(|error| describe(&error))?;
        // A row of a run that never began is looked for among the absent ones.
        let begun = runs.into_iter().filter(|run| run.fired_at.is_some());
        Ok(begun.map(|run| (run.activity, evidence_of(run))).collect())
    }

    async fn look_for_absent(
        &self,
        days: &[ActivityDay],
    ) -> Seen<HashMap<ActivityId, Vec<AbsentEvidence>>> {
        let seen = self.store.absent_runs(days, MOST_ABSENT).await;
        let mut absent: HashMap<_, Vec<_>> = HashMap::new();
        for run in seen.map_err(|error| describe(&error))? {
            absent
                .entry(run.activity)
                .or_default()
                .push(AbsentEvidence {
                    scheduled_for: run.scheduled_for,
                    outcome: run.outcome,
                    words: run.error.unwrap_or_else(|| run.outcome.to_string()),
                });
        }
        Ok(absent)
    }

    /// State Hub's entries and the report files of the run that the ledger names.
    async fn look_for_reports(
        &self,
        definition: &Definition,
        date: NaiveDate,
        ledger: &Seen<Option<LedgerEvidence>>,
    ) -> (Seen<Vec<RunId>>, Seen<Vec<FileEvidence>>) {
        let run = run_of(ledger);
        tokio::join!(
            in_time("State Hub", self.look_for_progress(definition, &run)),
            in_time(
                "the working memory",
                self.look_for_files(definition, date, &run)
            ),
        )
    }

    /// The runs that State Hub has an entry of; with several State Hub reports, an entry of each.
    async fn look_for_progress(
        &self,
        definition: &Definition,
        run: &Seen<Option<RunId>>,
    ) -> Seen<Vec<RunId>> {
        let event_types = event_types(definition);
        if event_types.is_empty() {
            return Ok(Vec::new());
        }
        let state_hub = self.state_hub.as_ref().map_err(Clone::clone)?;
        let Some(run) = run.clone()? else {
            return Ok(Vec::new());
        };
        let asked = event_types
            .iter()
            .map(|event_type| state_hub.runs_with_progress(event_type, run));
        let answers: Seen<Vec<Vec<RunId>>> = join_all(asked).await.into_iter().collect();
        let answers = answers?;
        let everywhere = answers.iter().all(|runs| runs.contains(&run));
        Ok(if everywhere { vec![run] } else { Vec::new() })
    }

    /// The report files of the day; with several working-memory reports, those of a report that
    /// lacks the run, if there is one.
    async fn look_for_files(
        &self,
        definition: &Definition,
        date: NaiveDate,
        run: &Seen<Option<RunId>>,
    ) -> Seen<Vec<FileEvidence>> {
        let prefixes = prefixes(definition);
        if prefixes.is_empty() {
            return Ok(Vec::new());
        }
        let memory = self.working_memory.as_ref().map_err(Clone::clone)?;
        let Some(run) = run.clone()? else {
            return Ok(Vec::new());
        };
        let mut files = Vec::new();
        for prefix in prefixes {
            let found = memory.reports(prefix, date, run).await?;
            if !found.iter().any(|file| file.run_id == Some(run)) {
                return Ok(found);
            }
            files.extend(found);
        }
        Ok(files)
    }
}

/// What the evidence means now.
fn judge(
    (definition, date): (&Definition, NaiveDate),
    time_limit: Duration,
    evidence: &Evidence,
) -> Vec<Check> {
    let subject = Subject {
        definition,
        date,
        time_limit,
        now: Utc::now(),
    };
    verification::verify(&subject, evidence)
}

/// The day of a definition's time zone, as instants.
fn day_of(definition: &Definition, date: NaiveDate) -> ActivityDay {
    let day = verification::time_zone(definition).day(date);
    ActivityDay {
        activity: definition.id,
        from: day.start,
        until: day.end,
    }
}

/// What was seen of one activity where many were asked about.
fn taken<T>(seen: &mut Seen<HashMap<ActivityId, T>>, activity: ActivityId) -> Seen<Option<T>> {
    seen.as_mut()
        .map(|seen| seen.remove(&activity))
        .map_err(|reason| reason.clone())
}

fn evidence_of(run: Run) -> LedgerEvidence {
    LedgerEvidence {
        run_id: run.run_id,
        scheduled_for: run.scheduled_for,
        fired_at: run.fired_at,
        outcome: run.outcome,
        error: run.error,
    }
}

/// The run whose reports are to be looked for, once the ledger has been looked into.
fn run_of(ledger: &Seen<Option<LedgerEvidence>>) -> Seen<Option<RunId>> {
    match ledger {
        Ok(row) => Ok(row.as_ref().map(|row| row.run_id)),
        Err(_) => Err("which run to look for is not known without the ledger".to_owned()),
    }
}

fn event_types(definition: &Definition) -> Vec<&str> {
    let kinds = definition.reports.iter().map(|report| &report.kind);
    kinds
        .filter_map(|kind| match kind {
            ReportSinkKind::StateHub { event_type } => Some(event_type.as_str()),
            ReportSinkKind::WorkingMemory { .. } | ReportSinkKind::Webhook { .. } => None,
        })
        .collect()
}

fn prefixes(definition: &Definition) -> Vec<&str> {
    let kinds = definition.reports.iter().map(|report| &report.kind);
    kinds
        .filter_map(|kind| match kind {
            ReportSinkKind::WorkingMemory { prefix } => Some(prefix.as_str()),
            ReportSinkKind::StateHub { .. } | ReportSinkKind::Webhook { .. } => None,
        })
        .collect()
}

/// What was seen within [`PATIENCE`].
async fn in_time<T>(system: &str, look: impl Future<Output = Seen<T>>) -> Seen<T> {
    tokio::time::timeout(PATIENCE, look)
        .await
        .unwrap_or_else(|_| {
            Err(format!(
                "{system} gave no answer within {} s",
                PATIENCE.as_secs()
            ))
        })
}
