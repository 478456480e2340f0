//! The audit's side of the ledger: what is to be decided, what was decided, and how far it has
//! come. Everything goes by the set: a pass over ten thousand definitions takes three questions
//! and two answers.

mod notes;

use std::collections::HashMap;
use std::ops::Range;

use chrono::{DateTime, Utc};
use domain::audit::{Finding, History, OpenRow, Period, ScheduledRun};
use domain::{ActivityId, RunId, RunOutcome, TriggerKey};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::bounded::bounded;
use crate::period::{self, PeriodRow};
use crate::{Error, RunEnd, Store};
pub use notes::OwedNote;

/// The most runs of one activity that one look reads.
const MOST_RUNS: i64 = 20_000;

/// An activity of which something is to be decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Audited {
    /// The activity.
    pub activity: ActivityId,
    /// The namespace of its definition.
    pub namespace: String,
    /// The name of its definition.
    pub name: String,
    /// The name that people use.
    pub display_name: String,
    /// Every expected time before it is decided.
    pub audited_until: DateTime<Utc>,
    /// The state that was read; see [`Progress`].
    pub revision: i64,
    /// What was in force and what ran since then.
    pub history: History,
    /// Where `history` breaks off because there is too much of it.
    pub read_until: Option<DateTime<Utc>>,
}

/// What is entered for one expected time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The activity.
    pub activity: ActivityId,
    /// Its name.
    pub activity_name: String,
    /// The expected time.
    pub time: DateTime<Utc>,
    /// The id of the workflow that the run would be.
    pub workflow_id: String,
    /// What became of it.
    pub finding: Finding,
}

impl Entry {
    /// The run's identity.
    pub fn run_id(&self) -> RunId {
        RunId::of(self.activity, &TriggerKey::Schedule(self.time))
    }
}

/// How far the audit of one activity has come. It is not taken over when what is in force has
/// changed since `revision` was read: then the activity is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The activity.
    pub activity: ActivityId,
    /// The state that was read.
    pub revision: i64,
    /// Every expected time before it is decided.
    pub audited_until: DateTime<Utc>,
    /// When there is something to decide next.
    pub next_look: Option<DateTime<Utc>>,
}

/// A row that says Running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// The run.
    pub run_id: RunId,
    /// The activity.
    pub activity: ActivityId,
    /// Whether it is of an expected time that is decided already.
    pub is_decided: bool,
    /// Its workflow.
    pub row: OpenRow,
}

#[derive(FromRow)]
struct AuditedRow {
    activity_id: Uuid,
    namespace: String,
    name: String,
    display_name: String,
    grace_seconds: i64,
    audited_until: DateTime<Utc>,
    revision: i64,
}

#[derive(FromRow)]
struct RunRow {
    activity_id: Uuid,
    run_id: Uuid,
    scheduled_for: DateTime<Utc>,
    fired_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    outcome: String,
}

fn outcome(text: &str) -> Result<RunOutcome, Error> {
    text.parse().map_err(|problem| Error::Unreadable {
        table: "activity_runs",
        problem,
    })
}

impl Store {
    /// At most `limit` activities with something to decide at `now`, those that have waited
    /// longest first; of one namespace where one is given.
    pub async fn due_for_audit(
        &self,
        now: DateTime<Utc>,
        namespace: Option<&str>,
        limit: u16,
    ) -> Result<Vec<Audited>, Error> {
        let due: Vec<AuditedRow> = sqlx::query_as(
            "select activity_id, namespace, name, display_name, grace_seconds, audited_until,
                    revision
             from audited_activities
             where next_look <= $1 and ($2::text is null or namespace = $2)
             order by next_look limit $3",
        )
        .bind(now)
        .bind(namespace)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("look for what is to be audited"))?;
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let activities: Vec<Uuid> = due.iter().map(|row| row.activity_id).collect();
        let since: Vec<DateTime<Utc>> = due.iter().map(|row| row.audited_until).collect();
        // Periods after the revisions: what has changed since is seen, and looked at again.
        let periods = self.periods_since(&activities, &since).await?;
        let runs = self.scheduled_runs_since(&activities, &since).await?;
        Ok(assemble(due, periods, runs))
    }

    async fn periods_since(
        &self,
        activities: &[Uuid],
        since: &[DateTime<Utc>],
    ) -> Result<HashMap<Uuid, Vec<Period>>, Error> {
        // With the one before, which explains what falls on the change.
        let rows: Vec<PeriodRow> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {}, effective_until
             from (select *, lead(effective_from)
                             over (partition by activity_id order by effective_from)
                             as effective_until
                   from schedule_periods where activity_id = any($1)) periods
             join unnest($1::uuid[], $2::timestamptz[]) as due (activity_id, since)
               using (activity_id)
             where effective_until is null or effective_until > since - interval '1 hour'
             order by activity_id, effective_from",
            period::COLUMNS
        )))
        .bind(activities)
        .bind(since)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read what was in force"))?;
        let mut periods: HashMap<Uuid, Vec<Period>> = HashMap::new();
        for row in rows {
            let of = periods.entry(row.activity_id).or_default();
            of.push(row.try_into()?);
        }
        Ok(periods)
    }

    async fn scheduled_runs_since(
        &self,
        activities: &[Uuid],
        since: &[DateTime<Utc>],
    ) -> Result<HashMap<Uuid, Vec<ScheduledRun>>, Error> {
        // With the last one that began before: it may have been open still.
        let rows: Vec<RunRow> = sqlx::query_as(
            "with due as (select * from unnest($1::uuid[], $2::timestamptz[])
                                        as due (activity_id, since))
             select activity_id, run_id, scheduled_for, fired_at, completed_at, outcome
             from due, lateral (
               select run_id, scheduled_for, fired_at, completed_at, outcome
               from activity_runs
               where activity_id = due.activity_id and scheduled_for >= since
                 and trigger_kind = 'schedule'
               order by scheduled_for limit $3) runs
             union all
             select activity_id, run_id, scheduled_for, fired_at, completed_at, outcome
             from due, lateral (
               select run_id, scheduled_for, fired_at, completed_at, outcome
               from activity_runs
               where activity_id = due.activity_id and scheduled_for < since
                 and trigger_kind = 'schedule' and fired_at is not null
               order by scheduled_for desc limit 1) before
             order by activity_id, scheduled_for",
        )
        .bind(activities)
        .bind(since)
        .bind(MOST_RUNS)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read what ran"))?;
        let mut runs: HashMap<Uuid, Vec<ScheduledRun>> = HashMap::new();
        for row in rows {
            runs.entry(row.activity_id).or_default().push(ScheduledRun {
                run_id: RunId::new(row.run_id),
                scheduled_for: row.scheduled_for,
                fired_at: row.fired_at,
                completed_at: row.completed_at,
                outcome: outcome(&row.outcome)?,
            });
        }
        Ok(runs)
    }

    /// Enters what was decided and how far the audit has come, all or nothing. A run that has
    /// begun meanwhile keeps its own row. Returns the runs that were entered.
    pub async fn enter_findings(
        &self,
        entries: &[Entry],
        progress: &[Progress],
        now: DateTime<Utc>,
    ) -> Result<Vec<RunId>, Error> {
        bounded("enter an audit", async {
            let mut transaction = self
                .pool
                .begin()
                .await
                .map_err(Error::query("begin to enter what was audited"))?;
            let entered = if entries.is_empty() {
                Vec::new()
            } else {
                let entered = insert(&mut transaction, entries, now).await?;
                notes::owe_notes(&mut transaction, entries, &entered).await?;
                entered
            };
            advance(&mut transaction, progress).await?;
            transaction
                .commit()
                .await
                .map_err(Error::query("commit what was audited"))?;
            Ok(entered)
        })
        .await
    }

    /// Every run that the ledger calls Running, the oldest first, at most 10,000.
    pub async fn open_runs(&self) -> Result<Vec<OpenRun>, Error> {
        #[derive(FromRow)]
        struct Row {
            run_id: Uuid,
            activity_id: Uuid,
            is_decided: bool,
            workflow_id: Option<String>,
            workflow_run_id: Option<String>,
            fired_at: DateTime<Utc>,
        }
        let rows: Vec<Row> = sqlx::query_as(
            "select run_id, activity_id, workflow_id, workflow_run_id, fired_at,
                    trigger_kind = 'schedule' and coalesce(scheduled_for < audited_until, false)
                      as is_decided
             from activity_runs left join audited_activities using (activity_id)
             where outcome = 'Running' and fired_at is not null
             order by fired_at limit 10000",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read the open runs"))?;
        let open = rows.into_iter().map(|row| OpenRun {
            run_id: RunId::new(row.run_id),
            activity: ActivityId::new(row.activity_id),
            is_decided: row.is_decided,
            row: OpenRow {
                workflow_id: row.workflow_id.unwrap_or_default(),
                workflow_run_id: row.workflow_run_id.unwrap_or_default(),
                fired_at: row.fired_at,
            },
        });
        Ok(open.collect())
    }

    /// How runs stand.
    pub async fn outcomes(&self, runs: &[RunId]) -> Result<Vec<(RunId, RunOutcome)>, Error> {
        let ids: Vec<Uuid> = runs.iter().map(|run| run.as_uuid()).collect();
        let rows: Vec<(Uuid, String)> =
            sqlx::query_as("select run_id, outcome from activity_runs where run_id = any($1)")
                .bind(ids)
                .fetch_all(&self.pool)
                .await
                .map_err(Error::query("read how runs stand"))?;
        rows.into_iter()
            .map(|(run, text)| Ok((RunId::new(run), outcome(&text)?)))
            .collect()
    }

    /// Ends a run whose workflow has ended without entering it; false when the row has changed
    /// meanwhile. Deliveries that were under way are given up.
    pub async fn close_run(&self, run: &OpenRun, end: &RunEnd) -> Result<bool, Error> {
        bounded("close a run", async {
            let mut transaction = self
                .pool
                .begin()
                .await
                .map_err(Error::query("begin to close a run"))?;
            let closed = sqlx::query(
                "update activity_runs set outcome = $3, error = $4, completed_at = $5,
               evidence = coalesce(evidence, '[]') || jsonb_build_array($4::text)
             where run_id = $1 and outcome = 'Running'
               and coalesce(workflow_run_id, '') = $2",
            )
            .bind(run.run_id.as_uuid())
            .bind(&run.row.workflow_run_id)
            .bind(end.outcome.as_str())
            .bind(&end.error)
            .bind(end.completed_at)
            .execute(&mut *transaction)
            .await
            .map_err(Error::query("close a run"))?
            .rows_affected();
            if closed > 0 {
                sqlx::query(
                    "update sink_deliveries set result = 'Failed',
                   last_error = coalesce(last_error, $2), updated_at = now()
                 where run_id = $1 and result = 'Pending'",
                )
                .bind(run.run_id.as_uuid())
                .bind(&end.error)
                .execute(&mut *transaction)
                .await
                .map_err(Error::query("give up a closed run's deliveries"))?;
            }
            transaction
                .commit()
                .await
                .map_err(Error::query("commit a closed run"))?;
            Ok(closed > 0)
        })
        .await
    }

    /// Writes down that an operator is at work, and since when none was if the last word is older
    /// than `silence`. May be called as often as one likes.
    pub async fn note_pass(
        &self,
        now: DateTime<Utc>,
        silence: chrono::TimeDelta,
    ) -> Result<Option<Range<DateTime<Utc>>>, Error> {
        let before: Option<DateTime<Utc>> = sqlx::query_scalar(
            "with before as (select last_pass from audit_passes for update),
                  gap as (insert into audit_gaps (began_at, ended_at)
                          select last_pass, $1 from before where last_pass < $1 - $2
                          on conflict (began_at) do update set ended_at = excluded.ended_at
                          returning began_at),
                  noted as (insert into audit_passes (last_pass) values ($1)
                            on conflict (is_single) do update
                              set last_pass = greatest(audit_passes.last_pass, $1))
             select began_at from gap",
        )
        .bind(now)
        .bind(silence)
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::query("note a pass of the audit"))?;
        Ok(before.map(|began| began..now))
    }

    /// The times since `since` in which no operator was at work, in order.
    pub async fn audit_gaps(
        &self,
        since: DateTime<Utc>,
    ) -> Result<Vec<Range<DateTime<Utc>>>, Error> {
        let gaps: Vec<(DateTime<Utc>, DateTime<Utc>)> = sqlx::query_as(
            "select began_at, ended_at from audit_gaps where ended_at > $1 order by began_at",
        )
        .bind(since)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read when no operator was at work"))?;
        Ok(gaps
            .into_iter()
            .map(|(began, ended)| began..ended)
            .collect())
    }
}

fn assemble(
    due: Vec<AuditedRow>,
    mut periods: HashMap<Uuid, Vec<Period>>,
    mut runs: HashMap<Uuid, Vec<ScheduledRun>>,
) -> Vec<Audited> {
    let audited = due.into_iter().map(|row| {
        let runs = runs.remove(&row.activity_id).unwrap_or_default();
        let is_cut = i64::try_from(runs.len()).unwrap_or(i64::MAX) >= MOST_RUNS;
        Audited {
            activity: ActivityId::new(row.activity_id),
            namespace: row.namespace,
            name: row.name,
            display_name: row.display_name,
            audited_until: row.audited_until,
            revision: row.revision,
            read_until: runs.last().filter(|_| is_cut).map(|run| run.scheduled_for),
            history: History {
                periods: periods.remove(&row.activity_id).unwrap_or_default(),
                runs,
                grace: period::seconds(row.grace_seconds),
            },
        }
    });
    audited.collect()
}

async fn insert(
    connection: &mut PgConnection,
    entries: &[Entry],
    now: DateTime<Utc>,
) -> Result<Vec<RunId>, Error> {
    let column = |of: fn(&Entry) -> String| entries.iter().map(of).collect::<Vec<String>>();
    let workflows = || entries.iter().map(|entry| entry.finding.workflow.as_ref());
    let fired = workflows().map(|workflow| workflow.map(|found| found.started_at));
    let completed = workflows().map(|workflow| match workflow {
        Some(found) => found.closed.as_ref().map(|(closed, _)| *closed),
        None => Some(now),
    });
    let entered: Vec<Uuid> = sqlx::query_scalar(
        "insert into activity_runs
           (run_id, activity_id, activity_name, trigger_kind, trigger_key, scheduled_for, outcome,
            error, evidence, workflow_id, workflow_run_id, fired_at, completed_at)
         select run_id, activity_id, activity_name, 'schedule', trigger_key, scheduled_for, outcome,
                summary, evidence, workflow_id, workflow_run_id, fired_at, completed_at
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::text[],
                     $7::text[], $8::jsonb[], $9::text[], $10::text[], $11::timestamptz[],
                     $12::timestamptz[])
           as entry (run_id, activity_id, activity_name, trigger_key, scheduled_for, outcome,
                     summary, evidence, workflow_id, workflow_run_id, fired_at, completed_at)
         on conflict (run_id) do nothing
         returning run_id",
    )
    .bind(
        entries
            .iter()
            .map(|entry| entry.run_id().as_uuid())
            .collect::<Vec<_>>(),
    )
    .bind(
        entries
            .iter()
            .map(|entry| entry.activity.as_uuid())
            .collect::<Vec<_>>(),
    )
    .bind(column(|entry| entry.activity_name.clone()))
    .bind(column(|entry| TriggerKey::Schedule(entry.time).to_string()))
    .bind(entries.iter().map(|entry| entry.time).collect::<Vec<_>>())
    .bind(column(|entry| entry.finding.outcome.as_str().to_owned()))
    .bind(entries.iter().map(error_of).collect::<Vec<_>>())
    .bind(
        entries
            .iter()
            .map(|entry| serde_json::Value::from(entry.finding.facts.clone()))
            .collect::<Vec<_>>(),
    )
    .bind(
        entries
            .iter()
            .map(|entry| {
                entry
                    .finding
                    .workflow
                    .is_some()
                    .then(|| entry.workflow_id.clone())
            })
            .collect::<Vec<_>>(),
    )
    .bind(
        workflows()
            .map(|found| found.map(|found| found.run_id.clone()))
            .collect::<Vec<_>>(),
    )
    .bind(fired.collect::<Vec<_>>())
    .bind(completed.collect::<Vec<_>>())
    .fetch_all(connection)
    .await
    .map_err(Error::query("enter what became of expected runs"))?;
    Ok(entered.into_iter().map(RunId::new).collect())
}

/// A run that goes on or succeeded has no error; its facts are in the evidence.
fn error_of(entry: &Entry) -> Option<String> {
    let fine = [RunOutcome::Running, RunOutcome::Succeeded].contains(&entry.finding.outcome);
    (!fine).then(|| entry.finding.summary.clone())
}

async fn advance(connection: &mut PgConnection, progress: &[Progress]) -> Result<(), Error> {
    sqlx::query(
        "update audited_activities audited
         set audited_until = done.audited_until, next_look = done.next_look
         from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::timestamptz[])
           as done (activity_id, revision, audited_until, next_look)
         where audited.activity_id = done.activity_id and audited.revision = done.revision",
    )
    .bind(
        progress
            .iter()
            .map(|done| done.activity.as_uuid())
            .collect::<Vec<_>>(),
    )
    .bind(
        progress
            .iter()
            .map(|done| done.revision)
            .collect::<Vec<_>>(),
    )
    .bind(
        progress
            .iter()
            .map(|done| done.audited_until)
            .collect::<Vec<_>>(),
    )
    .bind(
        progress
            .iter()
            .map(|done| done.next_look)
            .collect::<Vec<_>>(),
    )
    .execute(connection)
    .await
    .map(|_| ())
    .map_err(Error::query("enter how far the audit has come"))
}
