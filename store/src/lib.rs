//! Postgres: the mirror of the definitions, the ledger of runs, and the migrations.
//!
//! All SQL is here, one file per aggregate. The tables' reasons are in `migrations/`. Deciding
//! what to write is left to the callers; every write is idempotent, so that a caller that does
//! not know whether it came through may do it again.

mod audit;
mod bounded;
mod day;
mod definition;
mod delivery;
mod error;
mod event_type;
mod expected;
mod feedback;
mod listener;
mod mirror_version;
mod period;
mod predecessor;
mod run;
mod schema;
mod summary;

pub use audit::{Audited, Entry, OpenRun, OwedNote, Progress};
pub use day::{ActivityDay, DayRuns, DefinitionSummary, Problem};
pub use definition::{MirrorRow, MirrorWrite, MirroredVersion};
pub use delivery::{Delivery, DeliveryEnd};
pub use error::Error;
pub use event_type::EventTypeRow;
pub use expected::{ExpectedCount, ExpectedRun, MadeUp};
pub use feedback::{Entered, Feedback, NewFeedback};
pub use listener::Listener;
pub use mirror_version::MirrorVersion;
pub use period::{Declared, MirrorState};
pub use run::{Begun, GivenUp, InstructionUsage, NewRun, PageKey, Run, RunEnd};
pub use schema::{AppliedMigration, SchemaState};
pub use summary::{Reported, RunSummary};

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use bounded::BoundedPool;

/// Access to the data base. Cheap to clone; clones share one pool.
#[derive(Debug, Clone)]
pub struct Store {
    pool: BoundedPool,
}

impl Store {
    /// Takes a pool of connections. How it is made, and its limits, are the runtime's business.
    pub const fn new(pool: PgPool) -> Self {
        Self {
            pool: BoundedPool::new(pool),
        }
    }

    /// The pool, for what no method here does; its statements have no deadline.
    pub const fn pool(&self) -> &PgPool {
        self.pool.unbounded()
    }

    /// What the data base's clock shows.
    pub async fn clock(&self) -> Result<DateTime<Utc>, Error> {
        sqlx::query_scalar("select clock_timestamp()")
            .fetch_one(&self.pool)
            .await
            .map_err(Error::query("read the clock"))
    }

    /// Asks the data base for an answer; an error says why there is none.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("select 1")
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(Error::query("ping"))
    }
}
