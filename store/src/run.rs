//! The ledger: one row for every run, from its start to its outcome.

use chrono::{DateTime, Utc};
use domain::{ActivityId, RunId, RunOutcome, TriggerKey};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use crate::bounded::bounded;
use crate::definition::COLUMNS as DEFINITION_COLUMNS;
use crate::{Error, MirrorRow, Store};

/// A run that begins.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// The activity.
    pub activity: ActivityId,
    /// What started it.
    pub trigger: TriggerKey,
    /// When it began.
    pub fired_at: DateTime<Utc>,
    /// The workflow that runs it.
    pub workflow_id: String,
    /// The workflow's run id in Temporal.
    pub workflow_run_id: String,
    /// The trace that it belongs to.
    pub trace_id: Option<String>,
}

impl NewRun {
    /// The run's identity.
    pub fn run_id(&self) -> RunId {
        RunId::of(self.activity, &self.trigger)
    }
}

/// Whether a run begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// It is this workflow's to carry out, as this definition says; `None` when that is deleted.
    Here(Option<MirrorRow>),
    /// Another workflow carried it out, with this outcome.
    EndedBefore(RunOutcome),
}

/// What an instruction took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstructionUsage {
    /// The model that answered.
    pub model: String,
    /// The SHA-256 of the rendered prompt, in hexadecimal.
    pub prompt_sha256: String,
    /// Tokens of the prompt.
    pub prompt_tokens: i64,
    /// Tokens of the answer.
    pub completion_tokens: i64,
    /// How long the answer took.
    pub milliseconds: i64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// Its outcome; a final one.
    pub outcome: RunOutcome,
    /// Why it did not end well.
    pub error: Option<String>,
    /// When it ended.
    pub completed_at: DateTime<Utc>,
}

/// A delivery that nobody tries any more.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct GivenUp {
    /// The sink's name in the definition.
    pub sink: String,
    /// What kind of sink it is.
    pub kind: String,
}

/// Why a delivery is given up that was under way when its run ended; what was tried keeps its own
/// last error.
const GIVEN_UP: &str = "the run ended before the delivery was confirmed";

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The run.
    pub run_id: RunId,
    /// The activity.
    pub activity: ActivityId,
    /// Its name at the time.
    pub activity_name: String,
    /// What started it, as text.
    pub trigger_key: String,
    /// Its nominal time.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// When it began.
    pub fired_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// How it stands.
    pub outcome: RunOutcome,
    /// Why it did not end well.
    pub error: Option<String>,
    /// The workflow that ran it.
    pub workflow_id: Option<String>,
    /// The trace that it belongs to.
    pub trace_id: Option<String>,
    /// What its instruction took.
    pub usage: Option<InstructionUsage>,
    /// Where it stands in the history: its nominal time, else when it began.
    pub sort_time: DateTime<Utc>,
}

/// The channel on which each run that begins or ends is announced (`LISTEN`); the payload is the
/// activity's id.
pub(crate) const RUNS_CHANNEL: &str = "activity_core_runs";

/// A place in the history, to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageKey {
    /// The sort time of the last run that was read.
    pub sort_time: DateTime<Utc>,
    /// Its id.
    pub run_id: RunId,
}

#[derive(FromRow)]
pub(crate) struct Row {
    run_id: Uuid,
    activity_id: Uuid,
    activity_name: String,
    trigger_key: String,
    scheduled_for: Option<DateTime<Utc>>,
    fired_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    outcome: String,
    error: Option<String>,
    workflow_id: Option<String>,
    trace_id: Option<String>,
    model: Option<String>,
    prompt_sha256: Option<String>,
    prompt_tokens: Option<i64>,
    completion_tokens: Option<i64>,
    instruction_milliseconds: Option<i64>,
    sort_time: DateTime<Utc>,
}

impl TryFrom<Row> for Run {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let outcome = row.outcome.parse().map_err(|problem| Error::Unreadable {
            table: "activity_runs",
            problem,
        })?;
        let usage = row.model.map(|model| InstructionUsage {
            model,
            prompt_sha256: row.prompt_sha256.unwrap_or_default(),
            prompt_tokens: row.prompt_tokens.unwrap_or_default(),
            completion_tokens: row.completion_tokens.unwrap_or_default(),
            milliseconds: row.instruction_milliseconds.unwrap_or_default(),
        });
        Ok(Self {
            run_id: RunId::new(row.run_id),
            activity: ActivityId::new(row.activity_id),
            activity_name: row.activity_name,
            trigger_key: row.trigger_key,
            scheduled_for: row.scheduled_for,
            fired_at: row.fired_at,
            completed_at: row.completed_at,
            outcome,
            error: row.error,
            workflow_id: row.workflow_id,
            trace_id: row.trace_id,
            usage,
            sort_time: row.sort_time,
        })
    }
}

pub(crate) const COLUMNS: &str = "run_id, activity_id, activity_name, trigger_key, scheduled_for, fired_at, \
                       completed_at, outcome, error, workflow_id, trace_id, model, prompt_sha256, \
                       prompt_tokens, completion_tokens, instruction_milliseconds, \
                       coalesce(scheduled_for, fired_at, created_at) as sort_time";

/// Whether a run was entered, and its definition.
fn entered(row: &PgRow) -> Result<(bool, Option<MirrorRow>), sqlx::Error> {
    let is_declared = row.try_get::<Option<Uuid>, _>("activity_id")?.is_some();
    let definition = is_declared.then(|| MirrorRow::from_row(row)).transpose()?;
    Ok((row.try_get("is_entered")?, definition))
}

impl Store {
    /// Enters a run as Running and reads its definition, or says that it has ended before. May be
    /// repeated. The run has the name that its definition has at this time, and its activity's id
    /// where there is none.
    ///
    /// A run that ended in another workflow is one that Temporal has forgotten, because it was
    /// restored from a backup or emptied: the ledger's word counts. A row that was taken for
    /// missed or skipped, or whose workflow is lost, gives way to the run that happens after all.
    pub async fn begin_run(&self, run: &NewRun) -> Result<Begun, Error> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "with definition as (
               select {DEFINITION_COLUMNS} from activity_definitions where activity_id = $2),
             entered as (
               insert into activity_runs
                 (run_id, activity_id, activity_name, trigger_kind, trigger_key, scheduled_for,
                  fired_at, outcome, workflow_id, workflow_run_id, trace_id)
               values ($1, $2, coalesce((select display_name from definition), $2::text), $3, $4,
                       $5, $6, 'Running', $7, $8, $9)
               on conflict (run_id) do update set
                 fired_at = excluded.fired_at, completed_at = null, outcome = 'Running',
                 evidence = case when activity_runs.outcome <> 'Running'
                   then coalesce(activity_runs.evidence, '[]') || jsonb_build_array(
                     'it had been entered as ' || activity_runs.outcome
                     || ', and began after all') end,
                 error = null, workflow_id = excluded.workflow_id,
                 workflow_run_id = excluded.workflow_run_id
               where activity_runs.outcome not in ('Succeeded', 'Failed')
                 and activity_runs.workflow_run_id is distinct from excluded.workflow_run_id
               returning true)
             select exists (select from entered) as is_entered, definition.*
             from (select) as always left join definition on true"
        )))
        .bind(run.run_id().as_uuid())
        .bind(run.activity.as_uuid())
        .bind(run.trigger.kind().as_str())
        .bind(run.trigger.to_string())
        .bind(run.trigger.scheduled_for())
        .bind(run.fired_at)
        .bind(&run.workflow_id)
        .bind(&run.workflow_run_id)
        .bind(&run.trace_id)
        .fetch_one(&self.pool)
        .await
        .map_err(Error::query("enter a run"))?;
        let (is_entered, definition) =
            entered(&row).map_err(Error::query("read what a run begins with"))?;
        if is_entered {
            return Ok(Begun::Here(definition));
        }
        let ended_elsewhere: Option<String> = sqlx::query_scalar(
            "select outcome from activity_runs
             where run_id = $1 and outcome <> 'Running'
               and workflow_run_id is distinct from $2",
        )
        .bind(run.run_id().as_uuid())
        .bind(&run.workflow_run_id)
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::query("read a run that begins"))?;
        ended_elsewhere.map_or(Ok(Begun::Here(definition)), |outcome| {
            outcome
                .parse()
                .map(Begun::EndedBefore)
                .map_err(|problem| Error::Unreadable {
                    table: "activity_runs",
                    problem,
                })
        })
    }

    /// Keeps an instruction's answer and what it took, before anybody acts on it.
    pub async fn record_instruction(
        &self,
        run: RunId,
        usage: &InstructionUsage,
        report: &str,
    ) -> Result<(), Error> {
        bounded("record an instruction", async {
            let mut transaction = self
                .pool
                .begin()
                .await
                .map_err(Error::query("begin to record an instruction"))?;
            sqlx::query(
                "update activity_runs set model = $2, prompt_sha256 = $3, prompt_tokens = $4,
               completion_tokens = $5, instruction_milliseconds = $6
             where run_id = $1",
            )
            .bind(run.as_uuid())
            .bind(&usage.model)
            .bind(&usage.prompt_sha256)
            .bind(usage.prompt_tokens)
            .bind(usage.completion_tokens)
            .bind(usage.milliseconds)
            .execute(&mut *transaction)
            .await
            .map_err(Error::query("record an instruction's usage"))?;
            sqlx::query(
                "insert into run_reports (run_id, body) values ($1, $2) on conflict do nothing",
            )
            .bind(run.as_uuid())
            .bind(report)
            .execute(&mut *transaction)
            .await
            .map_err(Error::query("record a report"))?;
            transaction
                .commit()
                .await
                .map_err(Error::query("commit an instruction"))
        })
        .await
    }

    /// The report of a run, if its instruction has been answered.
    pub async fn report(&self, run: RunId) -> Result<Option<String>, Error> {
        sqlx::query_scalar("select body from run_reports where run_id = $1")
            .bind(run.as_uuid())
            .fetch_optional(&self.pool)
            .await
            .map_err(Error::query("read a report"))
    }

    /// The report of the newest run of an activity that succeeded.
    pub async fn previous_report(&self, activity: ActivityId) -> Result<Option<String>, Error> {
        sqlx::query_scalar(
            "select body from run_reports join activity_runs using (run_id)
             where activity_id = $1 and outcome = 'Succeeded'
             order by coalesce(scheduled_for, fired_at, activity_runs.created_at) desc limit 1",
        )
        .bind(activity.as_uuid())
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::query("read the previous report"))
    }

    /// Enters how a run ended, and gives up its deliveries that are still pending, because nobody
    /// tries them any more: all at once, or nothing. A run that has ended keeps its first outcome.
    /// `None` says that the run has no row: it has to begin before it can end.
    pub async fn end_run(&self, run: RunId, end: &RunEnd) -> Result<Option<Vec<GivenUp>>, Error> {
        let (is_known, given_up): (bool, Json<Vec<GivenUp>>) = sqlx::query_as(
            "with ended as (
               update activity_runs set outcome = $2, error = $3, completed_at = $4
               where run_id = $1 and outcome = 'Running'),
             given_up as (
               update sink_deliveries set result = 'Failed',
                 last_error = coalesce(last_error, $5), updated_at = now()
               where run_id = $1 and result = 'Pending'
               returning jsonb_build_object('sink', sink, 'kind', kind) as delivery)
             select exists (select from activity_runs where run_id = $1),
                    (select coalesce(jsonb_agg(delivery), '[]') from given_up)",
        )
        .bind(run.as_uuid())
        .bind(end.outcome.as_str())
        .bind(&end.error)
        .bind(end.completed_at)
        .bind(GIVEN_UP)
        .fetch_one(&self.pool)
        .await
        .map_err(Error::query("enter a run's outcome"))?;
        Ok(is_known.then_some(given_up.0))
    }

    /// One run.
    pub async fn run(&self, run: RunId) -> Result<Option<Run>, Error> {
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from activity_runs where run_id = $1"
        )))
        .bind(run.as_uuid())
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::query("read a run"))?;
        row.map(Run::try_from).transpose()
    }

    /// An activity's runs, the newest first, at most `limit`, from after `from` on.
    pub async fn runs(
        &self,
        activity: ActivityId,
        from: Option<PageKey>,
        limit: u16,
    ) -> Result<Vec<Run>, Error> {
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from activity_runs
             where activity_id = $1
               and ($2::timestamptz is null
                    or (coalesce(scheduled_for, fired_at, created_at), run_id) < ($2, $3))
             order by coalesce(scheduled_for, fired_at, created_at) desc, run_id desc
             limit $4"
        )))
        .bind(activity.as_uuid())
        .bind(from.map(|key| key.sort_time))
        .bind(from.map(|key| key.run_id.as_uuid()))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read an activity's runs"))?;
        rows.into_iter().map(Run::try_from).collect()
    }

    /// The rows of an activity's nominal times in `[from, until)`, in order of time: those that the
    /// Schedule started or should have started, and those that made up for one.
    pub async fn runs_at_nominal_times(
        &self,
        activity: ActivityId,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<Run>, Error> {
        // By the expression that the index is on; with a nominal time it is the nominal time.
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from activity_runs
             where activity_id = $1
               and scheduled_for is not null
               and coalesce(scheduled_for, fired_at, created_at) >= $2
               and coalesce(scheduled_for, fired_at, created_at) < $3
             order by coalesce(scheduled_for, fired_at, created_at), run_id"
        )))
        .bind(activity.as_uuid())
        .bind(from)
        .bind(until)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read the runs of nominal times"))?;
        rows.into_iter().map(Run::try_from).collect()
    }
}
