//! kube-proxy, which makes the addresses of Services lead to pods.

use anyhow::{Context, Result};
use serde_json::json;

use super::kube_apiserver::KubeApiserver;
use super::{NodeIdentity, Place, READY_TIMEOUT};
use crate::components::Component;
use crate::http;
use crate::process::{Command, Process};

/// A running kube-proxy.
#[derive(Debug)]
pub(crate) struct KubeProxy {
    pub(crate) process: Process,
}

impl KubeProxy {
    /// Starts it on `node`, whose pods have their addresses in `pods`.
    pub(crate) async fn start(
        place: Place<'_>,
        apiserver: &KubeApiserver,
        node: &NodeIdentity,
        pods: &str,
    ) -> Result<Self> {
        let program = place.components.program(Component::KubeProxy)?;
        let configuration = json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clientConnection": { "kubeconfig": apiserver.kubeconfig() },
            "clusterCIDR": pods,
            "hostnameOverride": node.name,
            // What belongs to the whole machine stays as it is.
            "conntrack": {
                "maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
            },
            "oomScoreAdj": 0,
        });
        let file = place.make_data()?.join("configuration.json");
        let text = serde_json::to_vec_pretty(&configuration).context("failed to print it")?;
        std::fs::write(&file, text)
            .with_context(|| format!("failed to write {}", file.display()))?;
        let process = Command::new("kube-proxy", &program, &place.log)
            .flag("config", file.display())
            .spawn()?;
        process
            .ready(READY_TIMEOUT, || {
                http::is_ok("http://127.0.0.1:10256/healthz")
            })
            .await?;
        Ok(Self { process })
    }
}
