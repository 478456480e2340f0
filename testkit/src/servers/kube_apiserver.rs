//! kube-apiserver with TLS, RBAC and an administrator's kubeconfig.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::kubernetes_credentials::{Credentials, NodeIdentity, SERVICES, SERVICES_WITHOUT_NODES};
use super::{Etcd, Place, READY_TIMEOUT};
use crate::components::Component;
use crate::http::install_crypto;
use crate::ports::free_port;
use crate::process::{Command, Process, start_on_free_ports};

/// A running kube-apiserver.
#[derive(Debug)]
pub struct KubeApiserver {
    pub(crate) process: Process,
    pub(super) credentials: Credentials,
    url: String,
    kubeconfig: PathBuf,
}

/// Whom an API server serves beside its clients.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Cluster<'a> {
    /// Nobody: there are no nodes, and it listens on loopback only.
    #[default]
    WithoutNodes,
    /// This one node, on which it runs itself.
    WithNode(&'a NodeIdentity),
}

/// Beside the log of a node's API server.
pub(crate) const AUDIT_LOG: &str = "audit.jsonl";

/// The usual port of the Kubernetes API, where a node has all ports for itself.
const NODE_PORT: u16 = 6443;

/// What the API server writes down of each request: who did what to which object.
const AUDIT_POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "omitStages": ["RequestReceived", "ResponseStarted"],
  "rules": [{"level": "Metadata"}]
}"#;

impl KubeApiserver {
    /// Starts it on `etcd`, with its certificates in `place`.
    pub(crate) async fn start(place: Place<'_>, etcd: &Etcd, cluster: Cluster<'_>) -> Result<Self> {
        let program = place.components.program(Component::KubeApiserver)?;
        let node = match cluster {
            Cluster::WithoutNodes => None,
            Cluster::WithNode(node) => Some(node),
        };
        let credentials = Credentials::in_folder(place.make_data()?, node)?;
        start_on_free_ports("kube-apiserver", || async {
            let (host, port) = match node {
                None => (Ipv4Addr::LOCALHOST, free_port()?),
                Some(node) => (node.address, NODE_PORT),
            };
            let url = format!("https://{host}:{port}");
            let kubeconfig = credentials.write_kubeconfig(&url)?;
            let (certificate, key) = credentials.server_certificate();
            let (signing_key, public_key) = credentials.service_account_keys();
            let command = Command::new("kube-apiserver", &program, &place.log)
                .flag("etcd-servers", etcd.url())
                .flag("secure-port", port)
                .flag("tls-cert-file", certificate.display())
                .flag("tls-private-key-file", key.display())
                .flag("client-ca-file", credentials.ca().display())
                .flag("service-account-issuer", "https://kubernetes.default.svc")
                .flag("service-account-signing-key-file", signing_key.display())
                .flag("service-account-key-file", public_key.display());
            let process = with_cluster(command, &place, &credentials, node)?.spawn()?;
            let client = client(config_at(&kubeconfig).await?)?;
            process
                .ready(READY_TIMEOUT, || is_ready(&client, "/readyz"))
                .await?;
            Ok(Self {
                process,
                credentials: credentials.clone(),
                url,
                kubeconfig,
            })
        })
        .await
    }

    /// The server's process: to end it and to start it again.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where the API is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The configuration of an administrator's client.
    pub async fn config(&self) -> Result<kube::Config> {
        config_at(&self.kubeconfig).await
    }

    /// An administrator's client. It belongs to the runtime that it was made on.
    pub async fn client(&self) -> Result<kube::Client> {
        client(self.config().await?)
    }
}

/// Adds the flags that depend on whether there is a node.
fn with_cluster(
    command: Command,
    place: &Place<'_>,
    credentials: &Credentials,
    node: Option<&NodeIdentity>,
) -> Result<Command> {
    let Some(node) = node else {
        return Ok(command
            .flag("bind-address", "127.0.0.1")
            // The Service `kubernetes` cannot point to loopback, and nobody here follows it.
            .flag("endpoint-reconciler-type", "none")
            .flag("service-cluster-ip-range", SERVICES_WITHOUT_NODES)
            .flag("authorization-mode", "RBAC"));
    };
    let policy = place.data.join("audit-policy.json");
    std::fs::write(&policy, AUDIT_POLICY).context("failed to write the audit policy")?;
    let (certificate, key) = credentials.admin_certificate();
    Ok(command
        .flag("bind-address", "0.0.0.0")
        .flag("advertise-address", node.address)
        .flag("service-cluster-ip-range", SERVICES)
        .flag("authorization-mode", "Node,RBAC")
        .flag("enable-admission-plugins", "NodeRestriction")
        .flag("allow-privileged", true)
        .flag("kubelet-preferred-address-types", "InternalIP")
        .flag("kubelet-certificate-authority", credentials.ca().display())
        .flag("kubelet-client-certificate", certificate.display())
        .flag("kubelet-client-key", key.display())
        .flag("audit-policy-file", policy.display())
        .flag(
            "audit-log-path",
            place.log.with_file_name(AUDIT_LOG).display(),
        ))
}

async fn config_at(kubeconfig: &Path) -> Result<kube::Config> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("failed to read {}", kubeconfig.display()))?;
    kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .context("failed to understand the kubeconfig")
}

pub(super) fn client(config: kube::Config) -> Result<kube::Client> {
    install_crypto();
    kube::Client::try_from(config).context("failed to make a Kubernetes client")
}

/// What a Kubernetes program says of itself; an error until it says yes.
pub(super) async fn is_ready(client: &kube::Client, path: &str) -> Result<bool> {
    let request = axum::http::Request::get(path)
        .body(Vec::new())
        .context("no valid request")?;
    Ok(client.request_text(request).await?.contains("ok"))
}
