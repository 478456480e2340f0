//! Process plumbing shared by the programs: settings, logs, metrics, health, shutdown and the
//! connections to Temporal, NATS and Postgres.
//!
//! No word about activities is known here; what a program does with its connections is its own
//! business.

mod admin;
mod error;
mod metrics;
pub mod nats;
pub mod postgres;
mod program;
mod registry;
mod retry;
mod secret;
mod shutdown;
pub mod storage;
mod telemetry;
pub mod temporal;

pub use admin::{AdminArguments, AdminServer, Probe, ProbeAnswer, Readiness};
pub use error::{Error, MissingSetting, require};
pub use metrics::{Metrics, MetricsArguments};
pub use program::run_program;
pub use registry::{MetricDescription, Registry, TextSource, write_series};
pub use retry::Backoff;
pub use secret::Secret;
pub use shutdown::Shutdown;
pub use telemetry::{LogArguments, LogFormat, describe, initialize};

/// Chooses the one cryptography that all TLS connections of a process use. [`run_program`] does it;
/// others call it once, at the start of `main`. A second call changes nothing.
pub fn install_cryptography() {
    // An error means that a provider is installed already, which is what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
