//! The Temporal development server.

use std::path::Path;

use anyhow::Result;

use super::{Place, READY_TIMEOUT};
use crate::components::Component;
use crate::http;
use crate::ports::PortChoice;
use crate::process::{Command, Process, start_on_free_ports};

/// How Temporal is started.
#[derive(Debug, Clone, Default)]
pub struct TemporalOptions {
    /// Namespaces that are there from the start, beside `default`. One registered later is seen
    /// by the server's caches only after some seconds.
    pub namespaces: Vec<String>,
    /// Keep the state in the data folder instead of in memory.
    pub persistent: bool,
    /// The port of the gRPC interface.
    pub port: PortChoice,
    /// The port of the web UI; without it there is no UI.
    pub ui_port: Option<PortChoice>,
}

/// A running Temporal development server.
#[derive(Debug)]
pub struct Temporal {
    pub(super) process: Process,
    host: String,
    http_url: String,
    ui_url: Option<String>,
}

impl Temporal {
    /// Starts it with its data in `place`.
    pub(crate) async fn start(place: Place<'_>, options: &TemporalOptions) -> Result<Self> {
        let program = place.components.program(Component::Temporal)?;
        let data = place.make_data()?.to_owned();
        start_on_free_ports("temporal", || {
            Self::try_start(&program, &place, &data, options)
        })
        .await
    }

    async fn try_start(
        program: &Path,
        place: &Place<'_>,
        data: &Path,
        options: &TemporalOptions,
    ) -> Result<Self> {
        let port = options.port.pick()?;
        let http_port = PortChoice::Free.pick()?;
        let mut command = Command::new("temporal", program, &place.log)
            .arguments(["server", "start-dev", "--log-level", "warn"])
            .flag("ip", "127.0.0.1")
            .flag("port", port)
            .flag("http-port", http_port);
        // Its own configuration file lies in the home folder and must not change what we start.
        command
            .environment
            .push(("HOME".to_owned(), data.display().to_string()));
        if options.persistent {
            command = command.flag("db-filename", data.join("temporal.db").display());
        }
        let ui_port = options.ui_port.map(PortChoice::pick).transpose()?;
        command = match ui_port {
            Some(port) => command
                .flag("ui-port", port)
                .flag("ui-disable-news-fetch", true),
            None => command.flag("headless", true),
        };
        for namespace in &options.namespaces {
            command = command.flag("namespace", namespace);
        }
        let process = command.spawn()?;
        let http_url = format!("http://127.0.0.1:{http_port}");
        // Namespaces are registered in order: the last one is there when all are.
        let last = options.namespaces.last().map_or("default", String::as_str);
        let namespace = format!("{http_url}/api/v1/namespaces/{last}");
        process
            .ready(READY_TIMEOUT, || http::is_ok(&namespace))
            .await?;
        Ok(Self {
            process,
            host: format!("127.0.0.1:{port}"),
            http_url,
            ui_url: ui_port.map(|port| format!("http://127.0.0.1:{port}")),
        })
    }

    /// The process, to be stopped or killed.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Host and port of the gRPC interface, as `TEMPORAL_HOST` wants it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The HTTP form of the same interface.
    pub fn http_url(&self) -> &str {
        &self.http_url
    }

    /// The web UI, if there is one.
    pub fn ui_url(&self) -> Option<&str> {
        self.ui_url.as_deref()
    }
}
