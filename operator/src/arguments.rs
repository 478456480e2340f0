//! The operator's settings.

use std::time::Duration;

use runtime::{AdminArguments, LogArguments, MetricsArguments};

/// Brings Temporal Schedules and the Postgres mirror to what the ActivityDefinitions declare.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "actcore-operator", version, about)]
pub struct Arguments {
    /// The Kubernetes namespace to watch; all namespaces when left out.
    #[arg(long, env = "WATCH_NAMESPACE", value_name = "NAMESPACE")]
    pub watch_namespace: Option<String>,

    /// The namespace of the operator's own Lease.
    #[arg(
        long,
        env = "POD_NAMESPACE",
        default_value = "activity-core",
        value_name = "NAMESPACE"
    )]
    pub pod_namespace: String,

    /// How long a leader may be silent before another replica takes over, in seconds.
    #[arg(long, env = "LEASE_DURATION_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u16).range(3..=3600))]
    pub lease_duration_seconds: u16,

    /// How often everything is compared with Temporal and the mirror, in seconds. A comparison
    /// lists; it describes and writes only what differs.
    #[arg(long, env = "RESYNC_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub resync_seconds: u32,

    /// How many definitions are worked on at once.
    #[arg(long, env = "RECONCILE_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub reconcile_concurrency: u16,

    /// The most time that the steps of one run may take together, in seconds.
    #[arg(long, env = "ACTIVITY_TIMEOUT_SECONDS", default_value_t = 900)]
    pub activity_timeout_seconds: u32,

    #[command(flatten)]
    pub temporal: runtime::temporal::TemporalArguments,

    #[command(flatten)]
    pub postgres: runtime::postgres::PostgresArguments,

    #[command(flatten)]
    pub admin: AdminArguments,

    #[command(flatten)]
    pub metrics: MetricsArguments,

    #[command(flatten)]
    pub log: LogArguments,
}

impl Arguments {
    /// The most time that the steps of one run may take together.
    pub const fn time_limit(&self) -> Duration {
        Duration::from_secs(self.activity_timeout_seconds as u64)
    }
}
