//! The connection to Postgres.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};

use crate::{Error, require};

/// How long a caller waits for a connection before it hears that there is none.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection that was given back is taken to work. The pool tries each one when it is
/// given back; to try it again at once would double the round trips of a busy process.
const TRUSTED: Duration = Duration::from_secs(1);

/// The settings of the connection to Postgres.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "postgres-arguments")]
pub struct PostgresArguments {
    /// The data base, as postgres://user:password@host:port/name (required).
    #[arg(
        long,
        env = "ACTCORE_DB_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "Postgres"
    )]
    pub database_url: Option<String>,

    /// The most connections that this process holds.
    #[arg(
        long,
        env = "ACTCORE_DB_MAX_CONNECTIONS",
        default_value_t = 10,
        value_name = "N",
        help_heading = "Postgres"
    )]
    pub database_max_connections: u32,
}

impl PostgresArguments {
    /// A pool that connects when it is first used, so that a process comes up while Postgres is
    /// away. Fails only when the URL is missing or malformed.
    pub fn pool(&self, program: &str) -> Result<PgPool, Error> {
        Ok(PgPoolOptions::new()
            .max_connections(self.database_max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // An idle process keeps no connection that the server would have to carry.
            .min_connections(0)
            .idle_timeout(Duration::from_mins(5))
            .test_before_acquire(false)
            .before_acquire(|connection, state| {
                Box::pin(async move {
                    if state.idle_for > TRUSTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(self.connect_options(program)?))
    }

    /// Connects once and hangs up, to hear why it fails: a pool tries again and again, and only
    /// says in the end that it got none.
    pub async fn check(&self, program: &str) -> Result<(), Error> {
        let options = self.connect_options(program)?;
        let address = format!("{}:{}", options.get_host(), options.get_port());
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Connect {
            service: "Postgres",
            address: address.clone(),
            source,
        };
        let connected = tokio::time::timeout(ACQUIRE_TIMEOUT, options.connect()).await;
        let connection = connected
            .map_err(|error| failed(Box::new(error)))?
            .map_err(|error| failed(Box::new(error)))?;
        connection
            .close()
            .await
            .map_err(|error| failed(Box::new(error)))
    }

    fn connect_options(&self, program: &str) -> Result<PgConnectOptions, Error> {
        let url = require(
            self.database_url.as_deref(),
            "ACTCORE_DB_URL",
            "set it to postgres://user:password@host:port/name",
        )?;
        // The predecessor's URLs name a Python driver after the scheme.
        let url = url.replacen("postgresql+asyncpg://", "postgres://", 1);
        PgConnectOptions::from_str(&url)
            .map(|options| options.application_name(program))
            .map_err(|error| Error::InvalidSetting {
                variable: "ACTCORE_DB_URL",
                value: "(hidden)".to_owned(),
                problem: format!("{error}; write postgres://user:password@host:port/name"),
            })
    }
}
