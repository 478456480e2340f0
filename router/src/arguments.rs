//! The router's settings, each a flag and an environment variable.

use runtime::nats::NatsArguments;
use runtime::postgres::PostgresArguments;
use runtime::temporal::TemporalArguments;
use runtime::{AdminArguments, LogArguments, MetricsArguments};

/// Starts activities from the events on JetStream: no event is lost, none is run twice.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "actcore-event-router", version)]
pub struct Arguments {
    /// How many events this replica works on at once.
    #[arg(
        long,
        env = "ROUTER_MAX_IN_FLIGHT",
        default_value_t = 256,
        value_parser = clap::value_parser!(u16).range(1..=4096),
        value_name = "N",
        help_heading = "Router"
    )]
    pub max_in_flight: u16,

    /// How often an event that Temporal fails to start is tried before it becomes a dead letter.
    /// While Temporal, Postgres or NATS is away, nothing is counted.
    #[arg(
        long,
        env = "ROUTER_MAX_DELIVERIES",
        default_value_t = 10,
        value_parser = clap::value_parser!(u16).range(1..=1000),
        value_name = "N",
        help_heading = "Router"
    )]
    pub max_deliveries: u16,

    /// How long after a router was killed the events that it had in hand are given to another,
    /// in seconds.
    #[arg(
        long,
        env = "ROUTER_ACK_WAIT_SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(1..=3600),
        value_name = "SECONDS",
        help_heading = "Router"
    )]
    pub ack_wait_seconds: u16,

    /// How many servers of a NATS cluster keep each stream, where this program makes it.
    #[arg(
        long,
        env = "ROUTER_STREAM_REPLICAS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=5),
        value_name = "N",
        help_heading = "Router"
    )]
    pub stream_replicas: u8,

    /// How often the mirror is compared at the least, in seconds; changes are heard of at once.
    #[arg(
        long,
        env = "MIRROR_REFRESH_SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(1..=3600),
        value_name = "SECONDS",
        help_heading = "Router"
    )]
    pub mirror_refresh_seconds: u16,

    /// The log.
    #[command(flatten)]
    pub log: LogArguments,

    /// `/livez` and `/readyz`.
    #[command(flatten)]
    pub admin: AdminArguments,

    /// `/metrics`.
    #[command(flatten)]
    pub metrics: MetricsArguments,

    /// Where the definitions are read from.
    #[command(flatten)]
    pub postgres: PostgresArguments,

    /// Where runs are started.
    #[command(flatten)]
    pub temporal: TemporalArguments,

    /// Where the events come from.
    #[command(flatten)]
    pub nats: NatsArguments,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_flag_is_well_formed_and_has_an_environment_variable() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for argument in command.get_arguments() {
            assert!(argument.get_env().is_some(), "{}", argument.get_id());
            assert!(argument.get_help().is_some(), "{}", argument.get_id());
        }
    }
}
