//! Every setting of the worker.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use runtime::postgres::PostgresArguments;
use runtime::temporal::TemporalArguments;
use runtime::{AdminArguments, LogArguments, MetricsArguments};
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

    /// The folder of working-memory reports. Without it, such reports fail.
    #[arg(long, env = "WORKING_MEMORY_DIR", value_name = "FOLDER")]
    pub working_memory_dir: Option<PathBuf>,

    /// issue-core. Needed when ISSUE_SINK_TYPE is issue-core.
    #[arg(long, env = "ISSUE_CORE_URL", value_name = "URL")]
    pub issue_core_url: Option<Url>,

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

/// A text that is printed nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, to be sent to the one who knows it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.trim().to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
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
