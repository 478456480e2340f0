//! Postgres: the mirror of the definitions, the ledger of runs, and the migrations.
//!
//! All SQL is here, one file per aggregate. The tables' reasons are in `migrations/`. Deciding
//! what to write is left to the callers; every write is idempotent, so that a caller that does
//! not know whether it came through may do it again.

mod definition;
mod delivery;
mod error;
mod event_type;
mod mirror_version;
mod run;
mod schema;

pub use definition::{DEFINITIONS_CHANNEL, MirrorRow, MirrorWrite};
pub use delivery::{Delivery, DeliveryEnd};
pub use error::Error;
pub use event_type::EventTypeRow;
pub use mirror_version::MirrorVersion;
pub use run::{Begun, InstructionUsage, NewRun, PageKey, RUNS_CHANNEL, Run, RunEnd, RunSummary};
pub use schema::{AppliedMigration, SchemaState};

use sqlx::PgPool;

/// Access to the data base. Cheap to clone; clones share one pool.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Takes a pool of connections. How it is made, and its limits, are the runtime's business.
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The pool, for what no method here does: a listener.
    pub const fn pool(&self) -> &PgPool {
        &self.pool
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
