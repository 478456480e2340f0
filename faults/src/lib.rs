//! Nothing lost, nothing doubled: the programs are struck by one fault at a time, at each call that
//! they make, in each workload, and what becomes of it is compared with what was declared.
//!
//! A [`plan::Plan`] says what is done, to whom, and which call is struck how, in one line that can
//! be run again. The plans are not written by hand: a run without faults records every call, so a
//! new call has plans as soon as it exists ([`enumerate`]). The programs and the servers are the
//! real ones; the faults are testkit's, on the wire between them. What is claimed about the outcome
//! is in [`oracle`].

mod actor;
pub mod arguments;
mod clock;
pub mod definitions;
pub mod enumerate;
pub mod expected;
pub mod lane;
pub mod oracle;
pub mod outages;
pub mod outcome;
pub mod plan;
pub mod planted;
mod random;
pub mod report;
pub mod results;
pub mod runner;
mod schedules;
mod spec;
mod statuses;
pub mod trial;
pub mod workload;

pub use plan::Plan;
