//! Claims that only the real servers can prove, one module per part of the system.
//!
//! Every test has a Kubernetes namespace, a database, a Temporal namespace, a NATS server and
//! stand-ins of its own, so they run side by side and in any order.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed expectation of a test ends the test"
)]

mod admission;
mod api;
mod audit;
mod backfill;
mod chart;
mod command_line;
mod documentation;
mod drift;
mod faults;
mod fields;
mod handover;
mod import;
mod kstatus;
mod operator;
mod outage;
mod page;
mod place;
mod plugin;
mod router;
mod scale;
mod verify;
mod worker;
