//! The connection to Temporal.

mod security;

use std::time::Duration;

use temporalio_client::{
    Client, ClientOptions, Connection, ConnectionOptions, GrpcCompression, Url,
};
use temporalio_common::telemetry::metrics::TemporalMeter;

use crate::{Backoff, Error, Shutdown, require};
pub use security::SecurityArguments;

/// How often a file with an API key is read again.
const KEY_REFRESH: Duration = Duration::from_secs(30);

/// The settings of the connection to Temporal.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(id = "temporal-arguments")]
pub struct TemporalArguments {
    /// Temporal's frontend, as host:port (required).
    #[arg(
        long,
        env = "TEMPORAL_HOST",
        value_name = "HOST:PORT",
        help_heading = "Temporal"
    )]
    pub temporal_host: Option<String>,

    /// The Temporal namespace that holds our Schedules and workflows.
    #[arg(
        long,
        env = "TEMPORAL_NAMESPACE",
        default_value = "default",
        value_name = "NAME",
        help_heading = "Temporal"
    )]
    pub temporal_namespace: String,

    /// TLS and the API key.
    #[command(flatten)]
    pub security: SecurityArguments,
}

/// A connection that failed for a reason about which something can be done.
#[derive(Debug, thiserror::Error)]
#[error("{advice}")]
struct Advised {
    advice: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl TemporalArguments {
    /// Connects, trying again until it succeeds or the process is to stop. Fails at once only
    /// when a setting is missing or of no use.
    pub async fn connect(
        &self,
        identity: &str,
        meter: Option<TemporalMeter>,
        shutdown: &Shutdown,
    ) -> Result<Client, Error> {
        let options = self.connection_options(identity, meter)?;
        let mut backoff = Backoff::up_to(Duration::from_secs(15));
        loop {
            let error = match shutdown.or(self.connect_by(options.clone())).await {
                None => {
                    return Err(Error::Stopped {
                        waiting_for: "Temporal",
                    });
                }
                Some(Ok(client)) => {
                    self.follow_key(&client, shutdown);
                    return Ok(client);
                }
                Some(Err(error)) => error,
            };
            let delay = backoff.next_delay();
            tracing::warn!(
                error = crate::describe(&error),
                retry_in_seconds = delay.as_secs(),
                "unable to connect to Temporal"
            );
            if !shutdown.sleep(delay).await {
                return Err(Error::Stopped {
                    waiting_for: "Temporal",
                });
            }
        }
    }

    /// Connects, or fails: for whoever wants an answer now and not a connection some day.
    pub async fn connect_once(&self, identity: &str) -> Result<Client, Error> {
        let options = self.connection_options(identity, None)?;
        self.connect_by(options).await
    }

    async fn connect_by(&self, options: ConnectionOptions) -> Result<Client, Error> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
            let advice = security::advice(&crate::describe(source.as_ref()));
            Error::Connect {
                service: "Temporal",
                address: self.temporal_host.clone().unwrap_or_default(),
                source: match advice {
                    Some(advice) => Box::new(Advised { advice, source }),
                    None => source,
                },
            }
        };
        let connection = Connection::connect(options)
            .await
            .map_err(|error| failed(Box::new(error)))?;
        let options = ClientOptions::new(self.temporal_namespace.clone()).build();
        Client::new(connection, options).map_err(|error| failed(Box::new(error)))
    }

    /// Keeps the client's API key as the file says, for as long as the process runs.
    fn follow_key(&self, client: &Client, shutdown: &Shutdown) {
        let security = self.security.clone();
        if security.temporal_api_key_file.is_none() {
            return;
        }
        let (connection, shutdown) = (client.connection().clone(), shutdown.clone());
        // The task lives exactly as long as there is something to stop.
        tokio::spawn(async move {
            while shutdown.sleep(KEY_REFRESH).await {
                match security.api_key() {
                    Ok(Some(key)) => connection.set_api_key(Some(key.expose().to_owned())),
                    Ok(None) => {}
                    Err(error) => tracing::warn!(
                        error = crate::describe(&error),
                        "going on with the API key that was read before"
                    ),
                }
            }
        });
    }

    fn connection_options(
        &self,
        identity: &str,
        meter: Option<TemporalMeter>,
    ) -> Result<ConnectionOptions, Error> {
        let host = require(
            self.temporal_host.as_deref(),
            "TEMPORAL_HOST",
            "set it to the address of Temporal's frontend, host:7233",
        )?;
        let security = self.security.read(host.starts_with("https://"))?;
        let url = match (host.contains("://"), &security.tls) {
            (true, None) => host.to_owned(),
            (true, Some(_)) => host.replacen("http://", "https://", 1),
            (false, None) => format!("http://{host}"),
            (false, Some(_)) => format!("https://{host}"),
        };
        let url = url.parse::<Url>().map_err(|error| Error::InvalidSetting {
            variable: "TEMPORAL_HOST",
            value: host.to_owned(),
            problem: format!("{error}; write host:port"),
        })?;
        Ok(ConnectionOptions::new(url)
            .identity(identity.to_owned())
            .maybe_metrics_meter(meter)
            .maybe_tls_options(security.tls)
            .maybe_api_key(security.api_key.map(|key| key.expose().to_owned()))
            .connect_timeout(Duration::from_secs(5))
            // Gzip, the default, halves the throughput on a near server and saves little: our
            // payloads are small.
            .grpc_compression(GrpcCompression::None)
            .build())
    }
}

/// An identity that tells replicas apart in Temporal: the program and its host and process.
pub fn identity(program: &str) -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "localhost".to_owned());
    format!("{program}@{host}:{}", std::process::id())
}
