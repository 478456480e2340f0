//! The kubelet, which runs the pods of a node.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use super::kube_apiserver::KubeApiserver;
use super::{Containerd, NodeIdentity, Place, READY_TIMEOUT};
use crate::components::Component;
use crate::http;
use crate::process::{Command, Process};

/// The name server's address, from the addresses of Services.
pub(crate) const NAME_SERVER: &str = "10.96.0.10";

/// Where a kubelet works, beside its [`Place`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct KubeletPlace<'a> {
    /// The node that it is.
    pub(crate) node: &'a NodeIdentity,
    /// The control group that holds those of all pods, as a path below the root.
    pub(crate) control_group: &'a str,
    /// What runs its containers.
    pub(crate) containerd: &'a Containerd,
}

/// A running kubelet.
#[derive(Debug)]
pub(crate) struct Kubelet {
    pub(crate) process: Process,
}

impl Kubelet {
    /// Starts it, with its pods' volumes and logs in `place`.
    pub(crate) async fn start(
        place: Place<'_>,
        apiserver: &KubeApiserver,
        more: KubeletPlace<'_>,
    ) -> Result<Self> {
        let program = place.components.program(Component::Kubelet)?;
        let data = place.make_data()?;
        let kubeconfig = apiserver
            .credentials
            .write_node_kubeconfig(apiserver.url())?;
        let configuration = configuration(data, apiserver, more)?;
        let process = Command::new("kubelet", &program, &place.log)
            .flag("config", configuration.display())
            .flag("kubeconfig", kubeconfig.display())
            .flag("hostname-override", &more.node.name)
            .flag("node-ip", more.node.address)
            .flag("root-dir", data.join("root").display())
            .spawn()?;
        process
            .ready(READY_TIMEOUT, || {
                http::is_ok("http://127.0.0.1:10248/healthz")
            })
            .await?;
        Ok(Self { process })
    }
}

fn configuration(
    data: &Path,
    apiserver: &KubeApiserver,
    more: KubeletPlace<'_>,
) -> Result<std::path::PathBuf> {
    // Pods ask the cluster's name server only; nothing of the machine's own reaches them.
    let names = data.join("resolv.conf");
    std::fs::write(&names, "").context("failed to write an empty resolv.conf")?;
    let (certificate, key) = apiserver.credentials.kubelet_certificate();
    let configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": apiserver.credentials.ca() },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": certificate,
        "tlsPrivateKeyFile": key,
        "containerRuntimeEndpoint": format!("unix://{}", more.containerd.socket().display()),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": more.control_group,
        // Kernels with the old form of control groups will do for tests.
        "failCgroupV1": false,
        "failSwapOn": false,
        "clusterDNS": [NAME_SERVER],
        "clusterDomain": "cluster.local",
        "resolvConf": names,
        "podLogsDir": data.join("logs"),
        "oomScoreAdj": 0,
        // A disk that others have filled is no reason to end pods or to remove their images.
        "evictionHard": { "memory.available": "200Mi" },
        "imageGCHighThresholdPercent": 100,
    });
    let file = data.join("configuration.json");
    let text = serde_json::to_vec_pretty(&configuration).context("failed to print it")?;
    std::fs::write(&file, text).with_context(|| format!("failed to write {}", file.display()))?;
    Ok(file)
}
