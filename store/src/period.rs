//! What was declared and in force, one row for each change.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::audit::{InForce, Period, PeriodState, WindowCause};
use domain::{
    ActivityId, CatchUp, CronExpression, CronSchedule, CronTrigger, OverlapPolicy, TimeZone,
};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::bounded::bounded;
use crate::{Error, MirrorRow, MirrorWrite, Store};

/// What comes into force with a mirror row.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// When the clock starts runs, and whether it does.
    pub in_force: InForce,
    /// How long after its time a run may begin before it counts as missing.
    pub grace: Duration,
}

/// A mirror row and what goes with it.
#[derive(Debug, Clone, PartialEq)]
pub struct MirrorState {
    /// The row.
    pub row: MirrorRow,
    /// Since when it stands so.
    pub since: DateTime<Utc>,
    /// What the audit takes to be in force; `None` when it knows of nothing.
    pub in_force: Option<InForce>,
}

#[derive(FromRow)]
pub(crate) struct PeriodRow {
    pub(crate) activity_id: Uuid,
    pub(crate) effective_from: DateTime<Utc>,
    pub(crate) effective_until: Option<DateTime<Utc>>,
    state: String,
    expression: Option<String>,
    time_zone: Option<String>,
    start_time: Option<DateTime<Utc>>,
    end_time: Option<DateTime<Utc>>,
    jitter_seconds: Option<i64>,
    catch_up_seconds: Option<i64>,
    overlap: Option<String>,
    window_uid: Option<Uuid>,
    window_name: Option<String>,
    window_reason: Option<String>,
    window_approved_by: Option<String>,
    generation: i64,
}

pub(crate) const COLUMNS: &str = "activity_id, effective_from, state, expression, time_zone, \
                                  start_time, end_time, jitter_seconds, catch_up_seconds, \
                                  overlap, window_uid, window_name, window_reason, \
                                  window_approved_by, generation";

fn unreadable(problem: impl ToString) -> Error {
    Error::Unreadable {
        table: "schedule_periods",
        problem: problem.to_string(),
    }
}

impl TryFrom<PeriodRow> for Period {
    type Error = Error;

    fn try_from(row: PeriodRow) -> Result<Self, Error> {
        Ok(Self {
            from: row.effective_from,
            until: row.effective_until,
            generation: row.generation,
            in_force: row.try_into()?,
        })
    }
}

impl TryFrom<PeriodRow> for InForce {
    type Error = Error;

    fn try_from(row: PeriodRow) -> Result<Self, Error> {
        let trigger = row.trigger()?;
        let state = match (row.state.as_str(), row.window_uid) {
            ("Active", _) => PeriodState::Active,
            ("Disabled", _) => PeriodState::Disabled,
            ("Withdrawn", _) => PeriodState::Withdrawn,
            ("Maintenance", Some(uid)) => PeriodState::Maintenance(WindowCause {
                uid,
                name: row.window_name.unwrap_or_default(),
                reason: row.window_reason.unwrap_or_default(),
                approved_by: row.window_approved_by.unwrap_or_default(),
            }),
            (other, _) => return Err(unreadable(format!("state \"{other}\""))),
        };
        Ok(Self { trigger, state })
    }
}

impl PeriodRow {
    fn trigger(&self) -> Result<Option<CronTrigger>, Error> {
        let Some(expression) = &self.expression else {
            return Ok(None);
        };
        let zone = self.time_zone.as_deref().unwrap_or("UTC");
        let overlap = self.overlap.as_deref().unwrap_or_default();
        let overlap = OverlapPolicy::ALL
            .into_iter()
            .find(|policy| policy.as_str() == overlap)
            .ok_or_else(|| unreadable(format!("overlap policy \"{overlap}\"")))?;
        Ok(Some(CronTrigger {
            schedule: CronSchedule {
                expression: CronExpression::parse(expression).map_err(unreadable)?,
                time_zone: TimeZone::parse(zone).map_err(unreadable)?,
                start: self.start_time,
                end: self.end_time,
            },
            catch_up: self
                .catch_up_seconds
                .map_or(CatchUp::Skip, |window| CatchUp::Within(seconds(window))),
            overlap,
            jitter: seconds(self.jitter_seconds.unwrap_or_default()),
        }))
    }
}

pub(crate) fn seconds(stored: i64) -> Duration {
    Duration::from_secs(u64::try_from(stored).unwrap_or_default())
}

fn stored(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

impl Store {
    /// Brings the mirror row to what `row` says, and enters what is in force from now on if that
    /// has changed, both or neither. Refuses as [`Store::write_definition`] does.
    pub async fn put_in_force(
        &self,
        row: &MirrorRow,
        declared: &Declared,
    ) -> Result<MirrorWrite, Error> {
        bounded("put a definition in force", async {
            let mut transaction = self
                .pool
                .begin()
                .await
                .map_err(Error::query("begin to put a definition in force"))?;
            let written = crate::definition::write(&mut transaction, row).await?;
            enter(&mut transaction, row, declared).await?;
            transaction
                .commit()
                .await
                .map_err(Error::query("commit a definition"))?;
            Ok(written)
        })
        .await
    }

    /// The mirror row of an activity, since when it stands so, and what is in force.
    pub async fn mirror_state(&self, activity: ActivityId) -> Result<Option<MirrorState>, Error> {
        bounded("read what is in force", async {
            let Some((row, since)) = self.definition_since(activity).await? else {
                return Ok(None);
            };
            let mut connection = self
                .pool
                .acquire()
                .await
                .map_err(Error::query("read what is in force"))?;
            let in_force = latest(&mut connection, activity.as_uuid()).await?;
            connection.release();
            Ok(Some(MirrorState {
                row,
                since,
                in_force: in_force.map(|(in_force, _)| in_force),
            }))
        })
        .await
    }

    /// Everything that was ever in force for an activity, in order of time.
    pub async fn periods(&self, activity: ActivityId) -> Result<Vec<Period>, Error> {
        let rows: Vec<PeriodRow> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS}, lead(effective_from) over (order by effective_from)
                      as effective_until
             from schedule_periods where activity_id = $1 order by effective_from"
        )))
        .bind(activity.as_uuid())
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read an activity's periods"))?;
        rows.into_iter().map(Period::try_from).collect()
    }
}

/// What is in force now, and since when.
async fn latest(
    connection: &mut PgConnection,
    activity: Uuid,
) -> Result<Option<(InForce, DateTime<Utc>)>, Error> {
    let row: Option<PeriodRow> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select {COLUMNS}, null::timestamptz as effective_until
         from schedule_periods where activity_id = $1 order by effective_from desc limit 1"
    )))
    .bind(activity)
    .fetch_optional(connection)
    .await
    .map_err(Error::query("read what is in force"))?;
    row.map(|row| {
        let since = row.effective_from;
        Ok((row.try_into()?, since))
    })
    .transpose()
}

/// Enters what is in force from now on. The definition's mirror row is locked by then, so that two
/// can't do this at once.
async fn enter(
    connection: &mut PgConnection,
    row: &MirrorRow,
    declared: &Declared,
) -> Result<(), Error> {
    let before = latest(connection, row.activity_id).await?;
    let unchanged = match &before {
        Some((in_force, _)) => *in_force == declared.in_force,
        // Nothing was ever expected, and nothing is.
        None => declared.in_force.trigger.is_none(),
    };
    if !unchanged {
        let since = before.map(|(_, since)| since);
        insert(
            connection,
            (row.activity_id, row.generation),
            &declared.in_force,
            since,
        )
        .await?;
    }
    sqlx::query(
        "insert into audited_activities as audited
           (activity_id, namespace, name, display_name, grace_seconds, audited_until, next_look)
         select $1, $2, $3, $4, $5, max(effective_from), max(effective_from)
         from schedule_periods where activity_id = $1 having count(*) > 0
         on conflict (activity_id) do update set
           namespace = excluded.namespace, name = excluded.name,
           display_name = excluded.display_name, grace_seconds = excluded.grace_seconds,
           next_look = case when $6 then least(audited.next_look, excluded.next_look)
                            else audited.next_look end,
           revision = audited.revision + $6::int
         where $6 or (audited.namespace, audited.name, audited.display_name,
                      audited.grace_seconds)
           is distinct from (excluded.namespace, excluded.name, excluded.display_name,
                             excluded.grace_seconds)",
    )
    .bind(row.activity_id)
    .bind(&row.namespace)
    .bind(&row.name)
    .bind(&row.display_name)
    .bind(stored(declared.grace))
    .bind(!unchanged)
    .execute(connection)
    .await
    .map(|_| ())
    .map_err(Error::query("enter what is audited"))
}

/// Enters that nothing is expected any more, if something was.
pub(crate) async fn withdraw(
    connection: &mut PgConnection,
    activity: Uuid,
    generation: i64,
) -> Result<(), Error> {
    let Some((in_force, since)) = latest(connection, activity).await? else {
        return Ok(());
    };
    if in_force == InForce::WITHDRAWN {
        return Ok(());
    }
    insert(
        connection,
        (activity, generation),
        &InForce::WITHDRAWN,
        Some(since),
    )
    .await?;
    sqlx::query(
        "update audited_activities set next_look = least(next_look, now()),
           revision = revision + 1
         where activity_id = $1",
    )
    .bind(activity)
    .execute(connection)
    .await
    .map(|_| ())
    .map_err(Error::query("withdraw what is audited"))
}

/// `since` is the beginning of the period before, which this one must not precede.
async fn insert(
    connection: &mut PgConnection,
    (activity, generation): (Uuid, i64),
    in_force: &InForce,
    since: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    let trigger = in_force.trigger.as_ref();
    let window = match &in_force.state {
        PeriodState::Maintenance(window) => Some(window),
        PeriodState::Active | PeriodState::Disabled | PeriodState::Withdrawn => None,
    };
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "insert into schedule_periods ({COLUMNS})
         values ($1, greatest(clock_timestamp(), $15 + interval '1 microsecond'), $2, $3, $4, $5,
                 $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    )))
    .bind(activity)
    .bind(in_force.state.as_str())
    .bind(trigger.map(|trigger| trigger.schedule.expression.source()))
    .bind(trigger.map(|trigger| trigger.schedule.time_zone.name()))
    .bind(trigger.and_then(|trigger| trigger.schedule.start))
    .bind(trigger.and_then(|trigger| trigger.schedule.end))
    .bind(trigger.map(|trigger| stored(trigger.jitter)))
    .bind(trigger.and_then(|trigger| match trigger.catch_up {
        CatchUp::Skip => None,
        CatchUp::Within(window) => Some(stored(window)),
    }))
    .bind(trigger.map(|trigger| trigger.overlap.as_str()))
    .bind(window.map(|window| window.uid))
    .bind(window.map(|window| &window.name))
    .bind(window.map(|window| &window.reason))
    .bind(window.map(|window| &window.approved_by))
    .bind(generation)
    .bind(since)
    .execute(connection)
    .await
    .map(|_| ())
    .map_err(Error::query("enter a period"))
}
