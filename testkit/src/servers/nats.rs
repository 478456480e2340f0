//! NATS with JetStream and its monitoring pages.

use anyhow::Result;

use super::{Place, READY_TIMEOUT};
use crate::components::Component;
use crate::http;
use crate::ports::PortChoice;
use crate::process::{Command, Process, start_on_free_ports};

/// How NATS is started.
#[derive(Debug, Clone, Default)]
pub struct NatsOptions {
    /// The port for clients.
    pub port: PortChoice,
    /// The port of the monitoring pages (`/jsz`, `/healthz`).
    pub monitoring_port: PortChoice,
}

/// A running nats-server.
#[derive(Debug)]
pub struct Nats {
    pub(crate) process: Process,
    url: String,
    monitoring_url: String,
}

impl Nats {
    /// Starts it with its streams in `place`.
    pub(crate) async fn start(place: Place<'_>, options: &NatsOptions) -> Result<Self> {
        let program = place.components.program(Component::NatsServer)?;
        let data = place.make_data()?;
        start_on_free_ports("nats", || async {
            let (port, monitoring_port) = (options.port.pick()?, options.monitoring_port.pick()?);
            let process = Command::new("nats", &program, &place.log)
                .flag("addr", "127.0.0.1")
                .flag("port", port)
                .flag("http_port", monitoring_port)
                .flag("jetstream", true)
                .flag("store_dir", data.display())
                .spawn()?;
            let monitoring_url = format!("http://127.0.0.1:{monitoring_port}");
            let health = format!("{monitoring_url}/healthz");
            process
                .ready(READY_TIMEOUT, || http::is_ok(&health))
                .await?;
            Ok(Self {
                process,
                url: format!("nats://127.0.0.1:{port}"),
                monitoring_url,
            })
        })
        .await
    }

    /// Where clients connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The monitoring pages.
    pub fn monitoring_url(&self) -> &str {
        &self.monitoring_url
    }

    /// The server's process: to stop it and to see what happens.
    pub fn process(&self) -> &Process {
        &self.process
    }
}
