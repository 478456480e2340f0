//! The activities of a run: short steps against our own Postgres, and long or outward ones.

mod heartbeat;
mod ledger;
mod steps;

pub(crate) use ledger::LedgerActivities;
pub(crate) use steps::StepActivities;
