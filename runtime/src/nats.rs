//! The connection to NATS.

use std::time::Duration;

use crate::{Error, require};

/// The settings of the connection to NATS.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "nats-arguments")]
pub struct NatsArguments {
    /// The NATS servers, as nats://host:port, several separated by commas (required).
    #[arg(
        long,
        env = "NATS_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "NATS"
    )]
    pub nats_url: Option<String>,

    /// A file with NATS credentials (JWT and seed).
    #[arg(
        long,
        env = "NATS_CREDENTIALS_FILE",
        value_name = "FILE",
        help_heading = "NATS"
    )]
    pub nats_credentials_file: Option<std::path::PathBuf>,
}

impl NatsArguments {
    /// A connection that is kept up for as long as the process lives. It returns at once, even
    /// while the servers are away.
    pub async fn connect(&self, program: &str) -> Result<async_nats::Client, Error> {
        let url = require(
            self.nats_url.as_deref(),
            "NATS_URL",
            "set it to nats://host:4222",
        )?;
        let mut options = async_nats::ConnectOptions::new()
            .name(program)
            .retry_on_initial_connect()
            .connection_timeout(Duration::from_secs(5))
            .reconnect_delay_callback(|attempts| {
                // Fast at first, then every five seconds.
                Duration::from_millis(u64::try_from(attempts).unwrap_or(50).min(50) * 100)
            });
        if let Some(file) = &self.nats_credentials_file {
            options =
                options
                    .credentials_file(file)
                    .await
                    .map_err(|error| Error::InvalidSetting {
                        variable: "NATS_CREDENTIALS_FILE",
                        value: file.display().to_string(),
                        problem: error.to_string(),
                    })?;
        }
        let servers: Vec<&str> = url.split(',').map(str::trim).collect();
        async_nats::connect_with_options(servers, options)
            .await
            .map_err(|error| Error::Connect {
                service: "NATS",
                address: url.to_owned(),
                source: Box::new(error),
            })
    }
}

/// A message's headers as pairs of texts, in the order of the names, which the wire does not keep.
pub fn header_pairs(headers: &async_nats::HeaderMap) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = headers
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    // Stable, so that several values of a name stay in their order.
    pairs.sort_by(|one, other| one.0.cmp(&other.0));
    pairs
}
