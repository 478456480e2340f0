//! Claims about the Helm chart, its alerts, its dashboards and the runbooks that need no cluster.
//! What needs one is in `integration/chart.rs` and in `e2e/`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed expectation of a test ends the test"
)]

mod alerts;
mod dashboards;
mod documents;
mod helm;
mod inhibition;
mod mutants;
mod objects;
mod pods;
mod rights;
mod schema;
