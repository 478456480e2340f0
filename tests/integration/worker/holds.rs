//! Holds a worker at a chosen moment: while one of its statements is committed to Postgres.
//!
//! A worker that is killed there has done what comes before the statement and nothing after it.
//! Whether the statement itself took effect is then ours to choose: it is rolled back, as when
//! Postgres never heard the end of it, or committed, as when only the acknowledgement was lost.

use anyhow::Result;
use domain::RunId;
use sqlx::{Connection as _, PgConnection, Row as _};
use testkit::wait::{Seen, until};

use crate::place::PATIENCE;

const INSTALL: &str = "
    create table held_moments (
        key bigint primary key, run_id uuid not null, moment text not null, sink text not null);
    create function hold_moment() returns trigger language plpgsql as $$
    declare
        held bigint;
    begin
        select key into held from held_moments
        where run_id = new.run_id
          and sink = coalesce(to_jsonb(new)->>'sink', '')
          and moment = case
            when tg_table_name = 'activity_runs' and tg_op = 'INSERT' then 'begin'
            when tg_table_name = 'activity_runs'
              and to_jsonb(old)->>'outcome' = 'Running'
              and to_jsonb(new)->>'outcome' <> 'Running' then 'end'
            when tg_table_name = 'run_reports' then 'answer'
            when tg_table_name = 'sink_deliveries' and tg_op = 'INSERT' then 'intent'
            when tg_table_name = 'sink_deliveries'
              and to_jsonb(new)->>'result' <> 'Pending' then 'result'
            end;
        if found then
            perform pg_advisory_xact_lock(held);
        end if;
        return null;
    end $$;
    create constraint trigger hold_moment after insert or update on activity_runs
        deferrable initially deferred for each row execute function hold_moment();
    create constraint trigger hold_moment after insert on run_reports
        deferrable initially deferred for each row execute function hold_moment();
    create constraint trigger hold_moment after insert or update on sink_deliveries
        deferrable initially deferred for each row execute function hold_moment();";

/// A statement of a run, at whose commit it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// begin, answer, intent, result or end.
    pub(crate) statement: &'static str,
    /// The sink of an intent or a result, else empty.
    pub(crate) sink: &'static str,
}

/// What becomes of a held statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It never happened.
    RolledBack,
    /// It happened, and nobody was told.
    Committed,
}

/// The held moments of one database.
pub(crate) struct Holds {
    connection: PgConnection,
    fates: Vec<Fate>,
}

impl Holds {
    pub(crate) async fn install(database_url: &str) -> Result<Self> {
        let mut connection = PgConnection::connect(database_url).await?;
        sqlx::raw_sql(INSTALL).execute(&mut connection).await?;
        Ok(Self {
            connection,
            fates: Vec::new(),
        })
    }

    /// Holds a run at a moment, from now on.
    pub(crate) async fn hold(&mut self, run: RunId, moment: Moment, fate: Fate) -> Result<()> {
        self.fates.push(fate);
        let key = i64::try_from(self.fates.len())?;
        sqlx::query("select pg_advisory_lock($1)")
            .bind(key)
            .execute(&mut self.connection)
            .await?;
        sqlx::query("insert into held_moments values ($1, $2, $3, $4)")
            .bind(key)
            .bind(run.as_uuid())
            .bind(moment.statement)
            .bind(moment.sink)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Waits until every run is held at its moment.
    pub(crate) async fn all_held(&mut self) -> Result<()> {
        let wanted: Vec<i64> = (1..=i64::try_from(self.fates.len())?).collect();
        let connection = tokio::sync::Mutex::new(&mut self.connection);
        let held = async || {
            let rows = sqlx::query(
                "select distinct objid::bigint as key from pg_locks
                 where locktype = 'advisory' and not granted
                   and database = (select oid from pg_database where datname = current_database())
                 order by key",
            )
            .fetch_all(&mut **connection.lock().await)
            .await?;
            let held: Vec<i64> = rows.iter().map(|row| row.get("key")).collect();
            Ok::<_, sqlx::Error>(if held == wanted {
                Seen::Done(())
            } else {
                Seen::not_yet(format!("{held:?}"))
            })
        };
        Ok(until("every run to be held", PATIENCE, held).await?)
    }

    /// Lets go of everything, each as its fate says. To be called when the worker is dead.
    pub(crate) async fn let_go(mut self) -> Result<()> {
        let rolled_back: Vec<i64> = (1..)
            .zip(&self.fates)
            .filter(|(_, fate)| **fate == Fate::RolledBack)
            .map(|(key, _)| key)
            .collect();
        // First those that wait for a held statement's row: repetitions of it by the dead worker.
        for lock in [
            "locktype in ('transactionid', 'tuple')",
            "objid::bigint = any ($1)",
        ] {
            let statement = format!(
                "select pg_terminate_backend(pid) from pg_locks join pg_stat_activity using (pid)
                 where datname = current_database() and not granted
                   and {lock} and $1::bigint[] is not null"
            );
            sqlx::query(sqlx::AssertSqlSafe(statement))
                .bind(&rolled_back)
                .execute(&mut self.connection)
                .await?;
        }
        sqlx::query("delete from held_moments")
            .execute(&mut self.connection)
            .await?;
        // The end of the session is the end of its locks.
        self.connection.close().await?;
        Ok(())
    }
}
