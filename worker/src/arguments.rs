//! Every setting of the worker.

use std::path::PathBuf;

use runtime::postgres::PostgresArguments;
use runtime::temporal::TemporalArguments;
use runtime::{AdminArguments, LogArguments, MetricsArguments, Secret};
use url::Url;

use crate::egress::AllowedHosts;

/// Runs activities: instruction, report sinks, task sink, run ledger.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "actcore-worker", version)]
pub struct Arguments {
    /// Where Temporal is.
    #[command(flatten)]
    pub temporal: TemporalArguments,

    /// Where Postgres is.
    #[command(flatten)]
    pub postgres: PostgresArguments,

    /// How runs are carried out.
    #[command(flatten)]
    pub runs: RunArguments,

    /// Where instructions are answered.
    #[command(flatten)]
    pub model: ModelArguments,

    /// Where reports and tasks go.
    #[command(flatten)]
    pub sinks: SinkArguments,

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

/// How runs are carried out.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "run-arguments")]
#[command(next_help_heading = "Runs")]
pub struct RunArguments {
    /// How long the steps of one run may take together, in seconds. A definition whose timeouts
    /// add up to more does not run, and its ledger row says so.
    #[arg(
        long,
        env = "ACTIVITY_TIMEOUT_SECONDS",
        default_value_t = 900,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=604_800)
    )]
    pub activity_timeout_seconds: u64,

    /// Accepted for compatibility and without effect: the operator keeps the Schedules, so that a
    /// worker has none to synchronise, whatever the number of replicas.
    #[arg(long, env = "SKIP_SCHEDULE_SYNC", value_name = "ANY")]
    pub skip_schedule_sync: Option<String>,

    /// The hosts that the worker may call, separated by commas: host or host:port. The hosts of
    /// STATE_HUB_URL, ISSUE_CORE_URL and OPENAI_BASE_URL are allowed without being listed.
    #[arg(
        long,
        env = "EGRESS_ALLOWED_HOSTS",
        default_value = "",
        value_name = "HOST[:PORT],…"
    )]
    pub egress_allowed_hosts: AllowedHosts,

    /// The build's name in Temporal, where each step of a history shows by which build it was
    /// done. The version and a hash of the program when left out.
    #[arg(long, env = "WORKER_BUILD_ID", value_name = "TEXT")]
    pub worker_build_id: Option<String>,

    /// The folder of the secrets that definitions may refer to: in it a folder for each Secret,
    /// and in that a file for each key. Without it, definitions that refer to one fail.
    #[arg(long, env = "SECRETS_DIR", value_name = "FOLDER")]
    pub secrets_dir: Option<PathBuf>,
}

/// Where instructions are answered.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "model-arguments")]
#[command(next_help_heading = "Instructions")]
pub struct ModelArguments {
    /// The OpenAI-compatible endpoint, up to and including its version, such as
    /// https://host/v1. Without it, definitions with an instruction fail.
    #[arg(long, env = "OPENAI_BASE_URL", value_name = "URL")]
    pub openai_base_url: Option<Url>,

    /// The key of the endpoint, if it needs one.
    #[arg(
        long,
        env = "OPENAI_API_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub openai_api_key: Option<Secret>,
}

/// Where reports and tasks go.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "sink-arguments")]
#[command(next_help_heading = "Sinks")]
pub struct SinkArguments {
    /// State Hub. Without it, State Hub reports and State Hub context fail.
    #[arg(long, env = "STATE_HUB_URL", value_name = "URL")]
    pub state_hub_url: Option<Url>,

    /// Where working-memory reports go: a folder, or s3://bucket/prefix in an object store that
    /// speaks S3. Without it, such reports fail. The store's keys, region and endpoint come from
    /// the usual variables: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL.
    #[arg(long, env = "WORKING_MEMORY_DIR", value_name = "FOLDER|URL")]
    pub working_memory_dir: Option<String>,

    /// issue-core. Needed when ISSUE_SINK_TYPE is issue-core.
    #[arg(long, env = "ISSUE_CORE_URL", value_name = "URL")]
    pub issue_core_url: Option<Url>,

    /// The key that issue-core wants to see, if it wants one.
    #[arg(
        long,
        env = "ISSUE_CORE_TOKEN",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub issue_core_token: Option<Secret>,

    /// Whether tasks are filed at all. With null no task is ever filed, whatever a definition
    /// says: its delivery is entered as DryRun, and issue-core is called only where the
    /// definition itself asks for a dry run.
    #[arg(
        long,
        env = "ISSUE_SINK_TYPE",
        value_enum,
        default_value_t = IssueSinkType::Null,
        value_name = "TYPE"
    )]
    pub issue_sink_type: IssueSinkType,
}

/// Whether tasks are filed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum IssueSinkType {
    /// Never.
    Null,
    /// At issue-core, for definitions that say so.
    IssueCore,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn printing_the_arguments_does_not_show_the_key() {
        let arguments = Arguments::parse_from(["actcore-worker", "--openai-api-key", "sk-canary"]);
        assert!(!format!("{arguments:?}").contains("sk-canary"));
        assert_eq!(arguments.sinks.issue_sink_type, IssueSinkType::Null);
    }
}
