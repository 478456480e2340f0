//! kube-scheduler, which gives each pod its node.

use anyhow::Result;

use super::kube_apiserver::{KubeApiserver, client, is_ready};
use super::{Place, READY_TIMEOUT};
use crate::components::Component;
use crate::ports::free_port;
use crate::process::{Command, Process, start_on_free_ports};

/// A running kube-scheduler.
#[derive(Debug)]
pub(crate) struct KubeScheduler {
    pub(crate) process: Process,
}

impl KubeScheduler {
    /// Starts it for the given API server.
    pub(crate) async fn start(place: Place<'_>, apiserver: &KubeApiserver) -> Result<Self> {
        let program = place.components.program(Component::KubeScheduler)?;
        let kubeconfig = apiserver.kubeconfig().display().to_string();
        let (certificate, key) = apiserver.credentials.server_certificate();
        start_on_free_ports("kube-scheduler", || async {
            let port = free_port()?;
            let process = Command::new("kube-scheduler", &program, &place.log)
                .flag("kubeconfig", &kubeconfig)
                .flag("authentication-kubeconfig", &kubeconfig)
                .flag("authorization-kubeconfig", &kubeconfig)
                .flag("bind-address", "127.0.0.1")
                .flag("secure-port", port)
                .flag("tls-cert-file", certificate.display())
                .flag("tls-private-key-file", key.display())
                .flag("leader-elect", false)
                .spawn()?;
            let mut config = apiserver.config().await?;
            config.cluster_url = format!("https://127.0.0.1:{port}").parse()?;
            let client = client(config)?;
            process
                .ready(READY_TIMEOUT, || is_ready(&client, "/healthz"))
                .await?;
            Ok(Self { process })
        })
        .await
    }
}
