//! kube-controller-manager. Without nodes it has the controllers that make an API server behave
//! like a cluster: namespaces end, owned objects go with their owner, service accounts appear.

use anyhow::Result;

use super::kube_apiserver::{Cluster, KubeApiserver, client, is_ready};
use super::{Place, READY_TIMEOUT};
use crate::components::Component;
use crate::ports::free_port;
use crate::process::{Command, Process, start_on_free_ports};

/// Those that matter where no pod ever runs.
const WITHOUT_NODES: [&str; 6] = [
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
];

/// A running kube-controller-manager.
#[derive(Debug)]
pub struct KubeControllerManager {
    pub(crate) process: Process,
}

impl KubeControllerManager {
    /// Starts it for the given API server.
    pub(crate) async fn start(
        place: Place<'_>,
        apiserver: &KubeApiserver,
        cluster: Cluster<'_>,
    ) -> Result<Self> {
        let program = place.components.program(Component::KubeControllerManager)?;
        let (certificate, key) = apiserver.credentials.server_certificate();
        let (signing_key, _) = apiserver.credentials.service_account_keys();
        let controllers = match cluster {
            Cluster::WithoutNodes => WITHOUT_NODES.join(","),
            Cluster::WithNode(_) => "*".to_owned(),
        };
        start_on_free_ports("kube-controller-manager", || async {
            let port = free_port()?;
            let process = Command::new("kube-controller-manager", &program, &place.log)
                .flag("kubeconfig", apiserver.kubeconfig().display())
                .flag("bind-address", "127.0.0.1")
                .flag("secure-port", port)
                .flag("tls-cert-file", certificate.display())
                .flag("tls-private-key-file", key.display())
                .flag("controllers", &controllers)
                .flag("leader-elect", false)
                .flag("service-account-private-key-file", signing_key.display())
                .flag("root-ca-file", apiserver.credentials.ca().display())
                // The default of 20 requests a second makes a hundred namespaces end slowly.
                .flag("kube-api-qps", 200)
                .flag("kube-api-burst", 400)
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
