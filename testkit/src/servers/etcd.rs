//! etcd, for nobody but the kube-apiserver.

use anyhow::Result;

use super::{Place, READY_TIMEOUT};
use crate::components::Component;
use crate::http;
use crate::ports::free_port;
use crate::process::{Command, Process, start_on_free_ports};

/// A running etcd.
#[derive(Debug)]
pub struct Etcd {
    pub(crate) process: Process,
    url: String,
}

impl Etcd {
    /// Starts it with its data in `place`. It does not sync to the disk: what is kept survives a
    /// stop, not a power cut.
    pub(crate) async fn start(place: Place<'_>) -> Result<Self> {
        let program = place.components.program(Component::Etcd)?;
        let data = place.make_data()?;
        start_on_free_ports("etcd", || async {
            let url = format!("http://127.0.0.1:{}", free_port()?);
            let peers = format!("http://127.0.0.1:{}", free_port()?);
            let process = Command::new("etcd", &program, &place.log)
                .flag("data-dir", data.display())
                .flag("listen-client-urls", &url)
                .flag("advertise-client-urls", &url)
                .flag("listen-peer-urls", &peers)
                .flag("initial-advertise-peer-urls", &peers)
                .flag("initial-cluster", format_args!("default={peers}"))
                .flag("unsafe-no-fsync", true)
                .flag("log-level", "warn")
                .spawn()?;
            let health = format!("{url}/health");
            process
                .ready(READY_TIMEOUT, || http::is_ok(&health))
                .await?;
            Ok(Self { process, url })
        })
        .await
    }

    /// Where clients connect.
    pub fn url(&self) -> &str {
        &self.url
    }
}
