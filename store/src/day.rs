//! What people ask about a day: all definitions at a glance, and what the ledger has of each. One
//! query for all of them, however many there are.

use chrono::{DateTime, Utc};
use domain::{ActivityId, RunOutcome};
use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use crate::run::{COLUMNS, Row};
use crate::{Error, Run, Store};

/// One definition at a glance.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct DefinitionSummary {
    /// The activity's id.
    pub activity_id: Uuid,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The name that people use.
    pub display_name: String,
    /// Whether runs are started.
    pub enabled: bool,
    /// The event type that is waited for, if any.
    pub event_type: Option<String>,
    /// `spec.trigger.cron`, if there is one.
    pub cron: Option<Value>,
    /// `spec.verification`, if there is one.
    pub verification: Option<Value>,
    /// Every expected time before it is decided: one that was due has its row.
    pub decided_until: DateTime<Utc>,
}

/// A day of one activity: the instants `[from, until)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityDay {
    /// The activity.
    pub activity: ActivityId,
    /// The first instant.
    pub from: DateTime<Utc>,
    /// The first instant after it.
    pub until: DateTime<Utc>,
}

/// What the ledger has of one activity on its day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayRuns {
    /// The activity.
    pub activity: ActivityId,
    /// The first instant of the day.
    pub from: DateTime<Utc>,
    /// The expected times that have a row, in order.
    pub expected: Vec<(DateTime<Utc>, RunOutcome)>,
    /// The nominal times that somebody had made up for, in order.
    pub made_up: Vec<(DateTime<Utc>, RunOutcome)>,
    /// Runs without a nominal time, on events and requests.
    pub others: i64,
    /// Those of them that failed.
    pub others_failed: i64,
}

/// A row of a day that is no success, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The row.
    pub run: Run,
    /// What an absent run's outcome rests on; empty for one that ran.
    pub evidence: Vec<String>,
}

#[derive(FromRow)]
struct DayRow {
    activity_id: Uuid,
    since: DateTime<Utc>,
    times: Vec<i64>,
    outcomes: Vec<String>,
    made_up_times: Vec<i64>,
    made_up_outcomes: Vec<String>,
    others: i64,
    others_failed: i64,
}

impl TryFrom<DayRow> for DayRuns {
    type Error = Error;

    fn try_from(row: DayRow) -> Result<Self, Error> {
        Ok(Self {
            activity: ActivityId::new(row.activity_id),
            from: row.since,
            expected: pairs(&row.times, &row.outcomes)?,
            made_up: pairs(&row.made_up_times, &row.made_up_outcomes)?,
            others: row.others,
            others_failed: row.others_failed,
        })
    }
}

fn pairs(times: &[i64], outcomes: &[String]) -> Result<Vec<(DateTime<Utc>, RunOutcome)>, Error> {
    let unreadable = |problem| Error::Unreadable {
        table: "activity_runs",
        problem,
    };
    let pairs = times.iter().zip(outcomes).map(|(seconds, outcome)| {
        let time = DateTime::from_timestamp(*seconds, 0)
            .ok_or_else(|| unreadable(format!("{seconds} is no instant")))?;
        Ok((time, outcome.parse().map_err(unreadable)?))
    });
    pairs.collect()
}

#[derive(FromRow)]
struct ProblemRow {
    #[sqlx(flatten)]
    run: Row,
    evidence: Option<sqlx::types::Json<Vec<String>>>,
}

impl TryFrom<ProblemRow> for Problem {
    type Error = Error;

    fn try_from(row: ProblemRow) -> Result<Self, Error> {
        Ok(Self {
            run: row.run.try_into()?,
            evidence: row.evidence.map(|facts| facts.0).unwrap_or_default(),
        })
    }
}

/// The days of `$1` to `$3`, three arrays of one length: activities, first instants, and first
/// instants after them.
pub(crate) const ASKED: &str = "unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) \
                                as asked (asked_id, asked_from, asked_until)";

/// The days as columns, for `unnest`.
pub(crate) struct Columns {
    pub(crate) activities: Vec<Uuid>,
    pub(crate) from: Vec<DateTime<Utc>>,
    pub(crate) until: Vec<DateTime<Utc>>,
}

impl Columns {
    pub(crate) fn of(days: &[ActivityDay]) -> Self {
        Self {
            activities: days.iter().map(|day| day.activity.as_uuid()).collect(),
            from: days.iter().map(|day| day.from).collect(),
            until: days.iter().map(|day| day.until).collect(),
        }
    }
}

const SUMMARIES: &str = "select definition.activity_id, definition.namespace, definition.name, \
                         definition.display_name, definition.enabled, definition.event_type, \
                         definition.spec #> '{trigger,cron}' as cron, \
                         definition.spec -> 'verification' as verification, \
                         coalesce(audited.audited_until, definition.updated_at) as decided_until \
                         from activity_definitions definition \
                         left join audited_activities audited using (activity_id)";

impl Store {
    /// Every definition of a namespace, or of all, at a glance; in the order of namespaces and
    /// names.
    pub async fn definition_summaries(
        &self,
        namespace: Option<&str>,
    ) -> Result<Vec<DefinitionSummary>, Error> {
        sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "{SUMMARIES} where $1::text is null or definition.namespace = $1
             order by definition.namespace, definition.name"
        )))
        .bind(namespace)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read the definitions at a glance"))
    }

    /// One definition at a glance.
    pub async fn definition_summary(
        &self,
        activity: ActivityId,
    ) -> Result<Option<DefinitionSummary>, Error> {
        sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "{SUMMARIES} where definition.activity_id = $1"
        )))
        .bind(activity.as_uuid())
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::query("read a definition at a glance"))
    }

    /// When an operator last looked for missing runs; `None` if none ever did.
    pub async fn last_audit(&self) -> Result<Option<DateTime<Utc>>, Error> {
        sqlx::query_scalar("select last_pass from audit_passes")
            .fetch_optional(&self.pool)
            .await
            .map_err(Error::query("read when the last audit was"))
    }

    /// What the ledger has of each day, in the order of `days`; one without a row there is left
    /// out.
    pub async fn runs_of_days(&self, days: &[ActivityDay]) -> Result<Vec<DayRuns>, Error> {
        let columns = Columns::of(days);
        let rows: Vec<DayRow> = sqlx::query_as(
            "select day.activity_id, day.since,
               coalesce(array_agg(extract(epoch from scheduled_for)::bigint
                                  order by scheduled_for)
                        filter (where trigger_kind = 'schedule'), '{}') as times,
               coalesce(array_agg(outcome order by scheduled_for)
                        filter (where trigger_kind = 'schedule'), '{}') as outcomes,
               coalesce(array_agg(extract(epoch from scheduled_for)::bigint
                                  order by scheduled_for)
                        filter (where trigger_kind = 'backfill'), '{}') as made_up_times,
               coalesce(array_agg(outcome order by scheduled_for)
                        filter (where trigger_kind = 'backfill'), '{}') as made_up_outcomes,
               count(*) filter (where scheduled_for is null) as others,
               count(*) filter (where scheduled_for is null and outcome = 'Failed')
                 as others_failed
             from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[])
                    with ordinality as day (activity_id, since, until, position)
             join activity_runs on activity_runs.activity_id = day.activity_id
               and coalesce(scheduled_for, fired_at, created_at) >= day.since
               and coalesce(scheduled_for, fired_at, created_at) < day.until
             group by day.position, day.activity_id, day.since order by day.position",
        )
        .bind(columns.activities)
        .bind(columns.from)
        .bind(columns.until)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read the runs of a day"))?;
        rows.into_iter().map(DayRuns::try_from).collect()
    }

    /// The rows of each day that neither succeeded nor run, the newest first, at most `limit` of
    /// one day.
    pub async fn problems_of_days(
        &self,
        days: &[ActivityDay],
        limit: u16,
    ) -> Result<Vec<Problem>, Error> {
        let columns = Columns::of(days);
        let rows: Vec<ProblemRow> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS}, evidence
             from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[])
                    with ordinality as day (activity, since, until, position)
             cross join lateral (
               select * from activity_runs
               where activity_id = day.activity
                 and coalesce(scheduled_for, fired_at, created_at) >= day.since
                 and coalesce(scheduled_for, fired_at, created_at) < day.until
                 and outcome not in ('Succeeded', 'Running')
               order by coalesce(scheduled_for, fired_at, created_at) desc limit $4) as problem
             order by day.position, sort_time desc"
        )))
        .bind(columns.activities)
        .bind(columns.from)
        .bind(columns.until)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read what went wrong on a day"))?;
        rows.into_iter().map(Problem::try_from).collect()
    }

    /// The runs that are going on now, the oldest first, at most `limit`, and how many there are;
    /// those of a namespace's definitions, or all.
    pub async fn running_runs(
        &self,
        namespace: Option<&str>,
        limit: u16,
    ) -> Result<(Vec<Run>, i64), Error> {
        const RUNNING: &str = "from activity_runs
             where outcome = 'Running'
               and ($1::text is null
                    or activity_id in (select activity_id from activity_definitions
                                       where namespace = $1))";
        let count: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) {RUNNING}")))
                .bind(namespace)
                .fetch_one(&self.pool)
                .await
                .map_err(Error::query("count the runs that are going on"))?;
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} {RUNNING} order by fired_at, run_id limit $2"
        )))
        .bind(namespace)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read the runs that are going on"))?;
        let runs: Result<Vec<Run>, Error> = rows.into_iter().map(Run::try_from).collect();
        Ok((runs?, count))
    }
}
