//! The operator's settings.

use std::net::SocketAddr;
use std::time::Duration;

use runtime::{AdminArguments, LogArguments, MetricsArguments};

/// Brings Temporal Schedules and the Postgres mirror to what the ActivityDefinitions declare.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "actcore-operator", version, about)]
pub struct Arguments {
    /// The Kubernetes namespace to watch; all namespaces when left out or empty.
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

    /// How often expected runs are audited, in seconds. A pass in which nothing is due costs two
    /// look-ups.
    #[arg(long, env = "AUDIT_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub audit_seconds: u32,

    /// State Hub, as http://host:port: where a note is left when a maintenance window left runs out
    /// and all is well again. No notes when left out or empty.
    #[arg(
        long,
        env = "STATE_HUB_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "State Hub"
    )]
    pub state_hub_url: Option<String>,

    /// How many definitions are worked on at once.
    #[arg(long, env = "RECONCILE_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub reconcile_concurrency: u16,

    /// The most time that the steps of one run may take together, in seconds.
    #[arg(long, env = "ACTIVITY_TIMEOUT_SECONDS", default_value_t = 900)]
    pub activity_timeout_seconds: u32,

    /// The address of the admission webhook; no webhook when left out.
    #[arg(
        long,
        env = "WEBHOOK_BIND_ADDR",
        value_name = "ADDRESS",
        help_heading = "Admission webhook"
    )]
    pub webhook_bind_addr: Option<SocketAddr>,

    /// The Service through which the API server reaches the webhook, in the operator's namespace.
    #[arg(
        long,
        env = "WEBHOOK_SERVICE",
        default_value = "actcore-operator-webhook",
        value_name = "NAME",
        help_heading = "Admission webhook"
    )]
    pub webhook_service: String,

    /// The URL at which the API server reaches the webhook, for an operator outside of the
    /// cluster. Comes before the Service.
    #[arg(
        long,
        env = "WEBHOOK_URL",
        value_name = "URL",
        help_heading = "Admission webhook"
    )]
    pub webhook_url: Option<url::Url>,

    /// The connection to Temporal.
    #[command(flatten)]
    pub temporal: runtime::temporal::TemporalArguments,

    /// The connection to Postgres.
    #[command(flatten)]
    pub postgres: runtime::postgres::PostgresArguments,

    /// The health endpoints.
    #[command(flatten)]
    pub admin: AdminArguments,

    /// The metrics endpoint.
    #[command(flatten)]
    pub metrics: MetricsArguments,

    /// The log.
    #[command(flatten)]
    pub log: LogArguments,
}

impl Arguments {
    /// The most time that the steps of one run may take together.
    pub const fn time_limit(&self) -> Duration {
        Duration::from_secs(self.activity_timeout_seconds as u64)
    }
}
