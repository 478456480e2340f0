//! Expected times and what became of them: the question that every view of the ledger asks.
//!
//! A row of the Schedule's is an expected time; a run of kind backfill with the same nominal time
//! makes up for it, and the row stays as it is.

use chrono::{DateTime, Utc};
use domain::{ActivityId, RunId, RunOutcome};
use sqlx::FromRow;
use uuid::Uuid;

use crate::day::{ASKED, Columns};
use crate::{ActivityDay, Error, Store};

/// The run that made up for an expected time, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MadeUp {
    /// The run.
    pub run_id: RunId,
    /// How it stands.
    pub outcome: RunOutcome,
}

/// One expected time of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedRun {
    /// The run of that time, whether or not it ever ran.
    pub run_id: RunId,
    /// The activity.
    pub activity: ActivityId,
    /// Its name at the time.
    pub activity_name: String,
    /// When it was expected.
    pub scheduled_for: DateTime<Utc>,
    /// When it began.
    pub fired_at: Option<DateTime<Utc>>,
    /// When it ended, or was decided.
    pub completed_at: Option<DateTime<Utc>>,
    /// What became of it.
    pub outcome: RunOutcome,
    /// The outcome in one sentence, where it did not succeed.
    pub error: Option<String>,
    /// What an absent run's outcome rests on.
    pub evidence: Vec<String>,
    /// The run that makes up for it.
    pub made_up_by: Option<MadeUp>,
}

impl ExpectedRun {
    /// Whether it is missing: nothing ran, and nothing made up for it or is about to.
    pub fn is_missing(&self) -> bool {
        let made_up = self
            .made_up_by
            .is_some_and(|run| matches!(run.outcome, RunOutcome::Succeeded | RunOutcome::Running));
        self.outcome == RunOutcome::Missed && !made_up
    }
}

/// How many expected times of a definition came to the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedCount {
    /// The activity.
    pub activity: ActivityId,
    /// The outcome.
    pub outcome: RunOutcome,
    /// How many there are.
    pub count: i64,
    /// How many of them were made up for by a backfill that succeeded.
    pub made_up: i64,
}

#[derive(FromRow)]
pub(crate) struct Row {
    run_id: Uuid,
    activity_id: Uuid,
    activity_name: String,
    scheduled_for: DateTime<Utc>,
    fired_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    outcome: String,
    error: Option<String>,
    evidence: Option<sqlx::types::Json<Vec<String>>>,
    made_up_run_id: Option<Uuid>,
    made_up_outcome: Option<String>,
}

fn outcome(text: &str) -> Result<RunOutcome, Error> {
    text.parse().map_err(|problem| Error::Unreadable {
        table: "activity_runs",
        problem,
    })
}

impl TryFrom<Row> for ExpectedRun {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let made_up_by = match (row.made_up_run_id, row.made_up_outcome) {
            (Some(run_id), Some(text)) => Some(MadeUp {
                run_id: RunId::new(run_id),
                outcome: outcome(&text)?,
            }),
            _ => None,
        };
        Ok(Self {
            run_id: RunId::new(row.run_id),
            activity: ActivityId::new(row.activity_id),
            activity_name: row.activity_name,
            scheduled_for: row.scheduled_for,
            fired_at: row.fired_at,
            completed_at: row.completed_at,
            outcome: outcome(&row.outcome)?,
            error: row.error,
            evidence: row.evidence.map(|facts| facts.0).unwrap_or_default(),
            made_up_by,
        })
    }
}

const SELECT: &str = "select expected.run_id, expected.activity_id, expected.activity_name, \
                      expected.scheduled_for, expected.fired_at, expected.completed_at, \
                      expected.outcome, expected.error, expected.evidence, \
                      backfill.run_id as made_up_run_id, backfill.outcome as made_up_outcome \
                      from activity_runs expected \
                      left join activity_runs backfill \
                        on backfill.activity_id = expected.activity_id \
                        and backfill.scheduled_for = expected.scheduled_for \
                        and backfill.trigger_kind = 'backfill' \
                      where expected.trigger_kind = 'schedule'";

impl Store {
    /// The expected times of an activity in `[from, until)`, in order, at most `limit`. Times that
    /// the audit has not decided yet and that have no run are not among them.
    pub async fn expected_runs(
        &self,
        activity: ActivityId,
        (from, until): (DateTime<Utc>, DateTime<Utc>),
        limit: u32,
    ) -> Result<Vec<ExpectedRun>, Error> {
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "{SELECT} and expected.activity_id = $1
               and expected.scheduled_for >= $2 and expected.scheduled_for < $3
             order by expected.scheduled_for limit $4"
        )))
        .bind(activity.as_uuid())
        .bind(from)
        .bind(until)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read an activity's expected runs"))?;
        rows.into_iter().map(ExpectedRun::try_from).collect()
    }

    /// The newest expected time of an activity that is decided or runs.
    pub async fn newest_expected(
        &self,
        activity: ActivityId,
    ) -> Result<Option<ExpectedRun>, Error> {
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "{SELECT} and expected.activity_id = $1 and expected.scheduled_for is not null
             order by expected.scheduled_for desc limit 1"
        )))
        .bind(activity.as_uuid())
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::query("read the newest expected run"))?;
        row.map(ExpectedRun::try_from).transpose()
    }

    /// The expected times of each day that did not come to a run and were not made up for by one
    /// that succeeded: of one activity the newest first, at most `limit`.
    pub async fn absent_runs(
        &self,
        days: &[ActivityDay],
        limit: u32,
    ) -> Result<Vec<ExpectedRun>, Error> {
        let columns = Columns::of(days);
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select absent.* from {ASKED} cross join lateral (
               {SELECT} and expected.activity_id = asked_id
                 and expected.scheduled_for >= asked_from and expected.scheduled_for < asked_until
                 and expected.outcome in ('SkippedOverlap', 'SkippedMaintenance',
                                          'SkippedDisabled', 'Missed')
                 and backfill.outcome is distinct from 'Succeeded'
               order by expected.scheduled_for desc limit $4) as absent"
        )))
        .bind(columns.activities)
        .bind(columns.from)
        .bind(columns.until)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read absent runs"))?;
        rows.into_iter().map(ExpectedRun::try_from).collect()
    }

    /// What the expected times of all activities in `[from, until)` came to, counted.
    pub async fn expected_counts(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<ExpectedCount>, Error> {
        let rows: Vec<(Uuid, String, i64, i64)> = sqlx::query_as(
            "select expected.activity_id, expected.outcome, count(*),
                    count(*) filter (where backfill.outcome = 'Succeeded')
             from activity_runs expected
             left join activity_runs backfill
               on backfill.activity_id = expected.activity_id
               and backfill.scheduled_for = expected.scheduled_for
               and backfill.trigger_kind = 'backfill'
             where expected.trigger_kind = 'schedule'
               and expected.scheduled_for >= $1 and expected.scheduled_for < $2
             group by expected.activity_id, expected.outcome
             order by expected.activity_id, expected.outcome",
        )
        .bind(from)
        .bind(until)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("count the expected runs"))?;
        rows.into_iter()
            .map(|(activity, text, count, made_up)| {
                Ok(ExpectedCount {
                    activity: ActivityId::new(activity),
                    outcome: outcome(&text)?,
                    count,
                    made_up,
                })
            })
            .collect()
    }

    /// What an absent run's outcome rests on; empty for one that ran.
    pub async fn evidence(&self, run: RunId) -> Result<Vec<String>, Error> {
        let facts: Option<Option<sqlx::types::Json<Vec<String>>>> =
            sqlx::query_scalar("select evidence from activity_runs where run_id = $1")
                .bind(run.as_uuid())
                .fetch_optional(&self.pool)
                .await
                .map_err(Error::query("read a run's evidence"))?;
        Ok(facts.flatten().map(|facts| facts.0).unwrap_or_default())
    }
}
