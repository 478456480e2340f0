//! The settings of the API, each a flag and an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;

use audit::{InvalidStateHubUrl, StateHub, WorkingMemory};
use axum::http::StatusCode;
use domain::TimeZone;
use domain::verification::Seen;
use runtime::nats::NatsArguments;
use runtime::postgres::PostgresArguments;
use runtime::temporal::TemporalArguments;
use runtime::{AdminArguments, LogArguments, MetricsArguments};

use crate::error::Refusal;
use crate::rate_limit::Rate;

/// Where objects are created when neither API_NAMESPACE nor POD_NAMESPACE says so.
const DEFAULT_NAMESPACE: &str = "activity-core";

/// The REST API of activity-core: writes custom resources, reads the run ledger.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = "actcore-api",
    version,
    mut_arg("nats_url", |nats_url| nats_url.help(
        "The NATS servers, as nats://host:port, several separated by commas: where the page at / \
         counts dead letters. Without it their number is left open"
    ))
)]
pub struct Arguments {
    /// The address of the REST API.
    #[arg(
        long,
        env = "API_BIND_ADDR",
        default_value = "127.0.0.1:8010",
        value_name = "ADDRESS",
        help_heading = "API"
    )]
    pub api_bind_addr: SocketAddr,

    /// Who may call: `kubernetes` asks for a Kubernetes token and for rights on
    /// activitydefinitions; `none` lets everybody in and needs a loopback address.
    #[arg(
        long,
        env = "API_AUTHENTICATION",
        value_enum,
        default_value_t = AuthenticationMode::None,
        help_heading = "API"
    )]
    pub api_authentication: AuthenticationMode,

    /// The namespace in which POST creates definitions; POD_NAMESPACE when left out, else
    /// activity-core.
    #[arg(
        long,
        env = "API_NAMESPACE",
        value_name = "NAMESPACE",
        help_heading = "API"
    )]
    pub api_namespace: Option<String>,

    /// The namespace of this pod (set by the downward API).
    #[arg(
        long,
        env = "POD_NAMESPACE",
        value_name = "NAMESPACE",
        help_heading = "API"
    )]
    pub pod_namespace: Option<String>,

    /// The only namespace whose definitions and event types are served; all when left out.
    #[arg(
        long,
        env = "WATCH_NAMESPACE",
        value_name = "NAMESPACE",
        help_heading = "API"
    )]
    pub watch_namespace: Option<String>,

    /// The largest request body that is read, in bytes.
    #[arg(
        long,
        env = "API_MAX_BODY_BYTES",
        default_value_t = 1024 * 1024,
        value_parser = clap::value_parser!(u32).range(1..),
        value_name = "BYTES",
        help_heading = "API"
    )]
    pub api_max_body_bytes: u32,

    /// How long one request may take, in seconds, before it is answered with 504.
    #[arg(
        long,
        env = "API_REQUEST_TIMEOUT_SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=3600),
        value_name = "SECONDS",
        help_heading = "API"
    )]
    pub api_request_timeout_seconds: u32,

    /// How many requests a second one caller may send in the long run; as many as they like when
    /// 0. `/health` and the documentation do not count.
    #[arg(
        long,
        env = "API_RATE_LIMIT_PER_SECOND",
        default_value_t = 50,
        value_name = "REQUESTS",
        help_heading = "API"
    )]
    pub api_rate_limit_per_second: u32,

    /// How many requests one caller may send at once, before the limit per second holds.
    #[arg(
        long,
        env = "API_RATE_LIMIT_BURST",
        default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(1..),
        value_name = "REQUESTS",
        help_heading = "API"
    )]
    pub api_rate_limit_burst: u32,

    /// The time zone whose today the page at / shows, by its IANA name.
    #[arg(
        long,
        env = "API_TIME_ZONE",
        default_value = "UTC",
        value_parser = parse_time_zone,
        value_name = "NAME",
        help_heading = "API"
    )]
    pub api_time_zone: TimeZone,

    /// How long the steps of one run may take together, in seconds; the worker's setting. A
    /// definition that would take longer is refused.
    #[arg(
        long,
        env = "ACTIVITY_TIMEOUT_SECONDS",
        default_value_t = 900,
        value_parser = clap::value_parser!(u32).range(1..),
        value_name = "SECONDS",
        help_heading = "API"
    )]
    pub activity_timeout_seconds: u32,

    /// The kubeconfig files, as KUBECONFIG lists them; the pod's own account when left out.
    #[arg(
        long,
        env = "KUBECONFIG",
        value_name = "FILES",
        help_heading = "Kubernetes"
    )]
    pub kubeconfig: Option<PathBuf>,

    /// The log.
    #[command(flatten)]
    pub log: LogArguments,

    /// `/livez` and `/readyz`.
    #[command(flatten)]
    pub admin: AdminArguments,

    /// `/metrics`.
    #[command(flatten)]
    pub metrics: MetricsArguments,

    /// The run ledger.
    #[command(flatten)]
    pub postgres: PostgresArguments,

    /// What starts manual runs.
    #[command(flatten)]
    pub temporal: TemporalArguments,

    /// Where dead letters are counted.
    #[command(flatten)]
    pub nats: NatsArguments,

    /// State Hub: where verification looks for progress entries, and where feedback on runs is
    /// told. Without it feedback is only kept.
    #[arg(
        long,
        env = "STATE_HUB_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "Evidence"
    )]
    pub state_hub_url: Option<String>,

    /// Where the working-memory sink writes to, a folder or s3://bucket/prefix with AWS_*: where
    /// verification looks for report files. Without it that check is unknown.
    #[arg(
        long,
        env = "WORKING_MEMORY_DIR",
        value_name = "FOLDER|URL",
        help_heading = "Evidence"
    )]
    pub working_memory_dir: Option<PathBuf>,
}

fn parse_time_zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::parse(name).map_err(|_| "use an IANA name such as Europe/Berlin".to_owned())
}

/// How callers prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AuthenticationMode {
    /// They do not; only for a loopback address.
    None,
    /// By a Kubernetes token (TokenReview); their rights are asked for by SubjectAccessReview.
    Kubernetes,
}

/// Settings that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidArguments {
    /// Everybody could call.
    #[error(
        "API_BIND_ADDR is {address}, which others can reach, while API_AUTHENTICATION is none; set \
         API_AUTHENTICATION=kubernetes, or API_BIND_ADDR to a loopback address such as \
         127.0.0.1:8010"
    )]
    OpenToAll {
        /// The address.
        address: SocketAddr,
    },
    /// What is created could not be read back.
    #[error(
        "API_NAMESPACE is \"{home}\", while WATCH_NAMESPACE serves only \"{served}\"; set both to \
         the same namespace, or leave WATCH_NAMESPACE out"
    )]
    CreatesOutOfSight {
        /// Where objects are created.
        home: String,
        /// What is served.
        served: String,
    },
}

/// Which namespaces the API works in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Namespaces {
    /// Where POST creates definitions.
    pub(crate) home: String,
    /// The only one that is served; all when `None`.
    pub(crate) served: Option<String>,
}

impl Namespaces {
    /// The namespace to look in, given what the caller asks for; `None` is all of them.
    pub(crate) fn listed<'a>(
        &'a self,
        wanted: Option<&'a str>,
    ) -> Result<Option<&'a str>, Refusal> {
        match (&self.served, wanted) {
            (Some(served), Some(wanted)) if served != wanted => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                format!("namespace: this API serves only the namespace {served}"),
            )
            .about("namespace")),
            (Some(served), _) => Ok(Some(served)),
            (None, wanted) => Ok(wanted),
        }
    }
}

impl Arguments {
    /// The namespaces, settled.
    pub(crate) fn namespaces(&self) -> Result<Namespaces, InvalidArguments> {
        let given = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
        let home = given(&self.api_namespace)
            .or_else(|| given(&self.pod_namespace))
            .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        match given(&self.watch_namespace) {
            Some(served) if served != home => {
                Err(InvalidArguments::CreatesOutOfSight { home, served })
            }
            served => Ok(Namespaces { home, served }),
        }
    }

    /// How many requests one caller may send.
    pub(crate) const fn rate(&self) -> Rate {
        Rate {
            per_second: self.api_rate_limit_per_second,
            burst: self.api_rate_limit_burst,
        }
    }

    /// State Hub, or the reason why there is none. Fails when the URL is of no use.
    pub(crate) fn state_hub(&self) -> Result<Seen<StateHub>, InvalidStateHubUrl> {
        match self.state_hub_url.as_deref().filter(|url| !url.is_empty()) {
            Some(url) => StateHub::new(url).map(Ok),
            None => Ok(Err("STATE_HUB_URL is not set".to_owned())),
        }
    }

    /// The working memory, or the reason why there is none.
    pub(crate) fn working_memory(&self) -> Seen<WorkingMemory> {
        self.working_memory_dir
            .clone()
            .map(WorkingMemory::new)
            .ok_or_else(|| "WORKING_MEMORY_DIR is not set".to_owned())
    }

    /// Refuses to let everybody in from everywhere.
    pub(crate) fn check_address(&self) -> Result<(), InvalidArguments> {
        let address = self.api_bind_addr;
        match self.api_authentication {
            AuthenticationMode::None if !address.ip().is_loopback() => {
                Err(InvalidArguments::OpenToAll { address })
            }
            AuthenticationMode::None | AuthenticationMode::Kubernetes => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    fn parse(flags: &[&str]) -> Arguments {
        Arguments::try_parse_from(["actcore-api"].iter().chain(flags)).unwrap()
    }

    #[test]
    fn every_flag_is_well_formed_and_has_an_environment_variable() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for argument in command.get_arguments() {
            assert!(argument.get_env().is_some(), "{}", argument.get_id());
            assert!(argument.get_help().is_some(), "{}", argument.get_id());
        }
    }

    #[test]
    fn without_authentication_only_a_loopback_address_is_served() {
        let open = parse(&["--api-bind-addr", "0.0.0.0:8010"]);
        let text = open.check_address().unwrap_err().to_string();
        assert!(text.contains("API_BIND_ADDR"), "{text}");
        assert!(text.contains("API_AUTHENTICATION"), "{text}");
        for flags in [
            &["--api-bind-addr", "127.0.0.1:8010"][..],
            &["--api-bind-addr", "[::1]:8010"],
            &[
                "--api-bind-addr",
                "0.0.0.0:8010",
                "--api-authentication",
                "kubernetes",
            ],
        ] {
            assert_eq!(parse(flags).check_address(), Ok(()), "{flags:?}");
        }
    }

    #[test]
    fn definitions_are_created_where_they_are_served() {
        let home = |flags: &[&str]| parse(flags).namespaces().map(|found| found.home);
        assert_eq!(
            home(&["--api-namespace", "a", "--pod-namespace", "b"]),
            Ok("a".into())
        );
        assert_eq!(home(&["--pod-namespace", "b"]), Ok("b".into()));
        let text = parse(&["--api-namespace", "a", "--watch-namespace", "b"])
            .namespaces()
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("API_NAMESPACE") && text.contains("WATCH_NAMESPACE"),
            "{text}"
        );
    }
}
