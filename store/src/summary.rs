//! An activity's runs in short: what status and metrics say.

use chrono::{DateTime, Utc};
use domain::{ActivityId, RunOutcome};

use crate::day::{ASKED, Columns};
use crate::run::{COLUMNS, Row};
use crate::{ActivityDay, Error, ExpectedRun, Run, Store};

/// An activity's runs in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// The newest run.
    pub latest: Option<Run>,
    /// The newest run that has ended.
    pub latest_ended: Option<Run>,
    /// The newest expected time that has a row.
    pub newest_expected: Option<ExpectedRun>,
    /// What became of the reports of the newest run that began and ended.
    pub reported: Option<Reported>,
    /// Expected runs that are missing, not counting those that were made up for.
    pub missed: i64,
    /// Expected runs that were left out on purpose.
    pub skipped: i64,
}

/// Where the reports of a run are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// When the run began.
    pub fired_at: DateTime<Utc>,
    /// How many report sinks were tried.
    pub tried: i64,
    /// How many of them have it.
    pub present: i64,
}

impl Store {
    /// The newest runs of an activity, and how many expected ones never were.
    pub async fn run_summary(&self, activity: ActivityId) -> Result<RunSummary, Error> {
        let latest = self.newest(activity, "").await?;
        let latest_ended = match &latest {
            Some(run) if run.outcome == RunOutcome::Running => {
                self.newest(activity, "and outcome <> 'Running'").await?
            }
            other => other.clone(),
        };
        let completed = match &latest_ended {
            Some(run) if run.fired_at.is_none() => {
                self.newest(activity, "and outcome in ('Succeeded', 'Failed')")
                    .await?
            }
            other => other.clone(),
        };
        let reported = match completed {
            Some(run) => self.reported(&run).await?,
            None => None,
        };
        let (missed, skipped) = self.count_absent(activity).await?;
        Ok(RunSummary {
            latest,
            latest_ended,
            newest_expected: self.newest_expected(activity).await?,
            reported,
            missed,
            skipped,
        })
    }

    /// The newest run of an activity that `condition` lets through. Of a missed time and the run
    /// that made up for it, which have the same nominal time, it is the latter.
    async fn newest(
        &self,
        activity: ActivityId,
        condition: &'static str,
    ) -> Result<Option<Run>, Error> {
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from activity_runs
             where activity_id = $1 {condition}
             order by coalesce(scheduled_for, fired_at, created_at) desc, fired_at is null,
                      run_id desc
             limit 1"
        )))
        .bind(activity.as_uuid())
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::query("read an activity's newest run"))?;
        row.map(Run::try_from).transpose()
    }

    async fn reported(&self, run: &Run) -> Result<Option<Reported>, Error> {
        let Some(fired_at) = run.fired_at else {
            return Ok(None);
        };
        let (tried, present): (i64, i64) = sqlx::query_as(
            "select count(*), count(*) filter (where result in ('Delivered', 'Exists'))
             from sink_deliveries
             where run_id = $1 and kind in ('stateHub', 'workingMemory', 'webhook')",
        )
        .bind(run.run_id.as_uuid())
        .fetch_one(&self.pool)
        .await
        .map_err(Error::query("count a run's reports"))?;
        Ok(Some(Reported {
            fired_at,
            tried,
            present,
        }))
    }

    async fn count_absent(&self, activity: ActivityId) -> Result<(i64, i64), Error> {
        sqlx::query_as(
            "select count(*) filter (where outcome = 'Missed' and not exists (
                      select from activity_runs backfill
                      where backfill.activity_id = absent.activity_id
                        and backfill.scheduled_for = absent.scheduled_for
                        and backfill.trigger_kind = 'backfill'
                        and backfill.outcome = 'Succeeded')),
                    count(*) filter (where outcome <> 'Missed')
             from activity_runs absent
             where activity_id = $1
               and outcome in ('SkippedOverlap', 'SkippedMaintenance', 'SkippedDisabled',
                               'Missed')",
        )
        .bind(activity.as_uuid())
        .fetch_one(&self.pool)
        .await
        .map_err(Error::query("count an activity's absent runs"))
    }

    /// The run of each day, where there is one: by its nominal time, or else by its beginning. Of
    /// several it is the newest that began.
    pub async fn newest_runs_of(&self, days: &[ActivityDay]) -> Result<Vec<Run>, Error> {
        let columns = Columns::of(days);
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select run.* from {ASKED} cross join lateral (
               select {COLUMNS} from activity_runs
               where activity_id = asked_id
                 and coalesce(scheduled_for, fired_at, created_at) >= asked_from
                 and coalesce(scheduled_for, fired_at, created_at) < asked_until
               order by fired_at is null, coalesce(scheduled_for, fired_at, created_at) desc,
                        run_id desc
               limit 1) as run"
        )))
        .bind(columns.activities)
        .bind(columns.from)
        .bind(columns.until)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read the runs of a day"))?;
        rows.into_iter().map(Run::try_from).collect()
    }
}
