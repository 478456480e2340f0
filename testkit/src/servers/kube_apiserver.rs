//! kube-apiserver with TLS, RBAC and an administrator's kubeconfig.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::kubernetes_credentials::Credentials;
use super::{Etcd, Place, READY_TIMEOUT};
use crate::components::Component;
use crate::http::install_crypto;
use crate::ports::free_port;
use crate::process::{Command, Process, start_on_free_ports};

/// A running kube-apiserver.
#[derive(Debug)]
pub struct KubeApiserver {
    pub(super) process: Process,
    pub(super) credentials: Credentials,
    url: String,
    kubeconfig: PathBuf,
}

impl KubeApiserver {
    /// Starts it on `etcd`, with its certificates in `place`.
    pub(super) async fn start(place: Place<'_>, etcd: &Etcd) -> Result<Self> {
        let program = place.components.program(Component::KubeApiserver)?;
        let credentials = Credentials::in_folder(place.make_data()?)?;
        start_on_free_ports("kube-apiserver", || async {
            let port = free_port()?;
            let url = format!("https://127.0.0.1:{port}");
            let kubeconfig = credentials.write_kubeconfig(&url)?;
            let (certificate, key) = credentials.server_certificate();
            let (signing_key, public_key) = credentials.service_account_keys();
            let process = Command::new("kube-apiserver", &program, &place.log)
                .flag("etcd-servers", etcd.url())
                .flag("bind-address", "127.0.0.1")
                .flag("secure-port", port)
                // The Service `kubernetes` cannot point to loopback, and nobody here follows it.
                .flag("endpoint-reconciler-type", "none")
                .flag("service-cluster-ip-range", "10.0.0.0/24")
                .flag("tls-cert-file", certificate.display())
                .flag("tls-private-key-file", key.display())
                .flag("client-ca-file", credentials.ca().display())
                .flag("service-account-issuer", "https://kubernetes.default.svc")
                .flag("service-account-signing-key-file", signing_key.display())
                .flag("service-account-key-file", public_key.display())
                .flag("authorization-mode", "RBAC")
                .spawn()?;
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
