//! The cluster of the journey: one that is given, kind where Docker runs, or a node of testkit's.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::image::Archive;
use testkit::node::Node;
use testkit::progress::Progress;

use crate::shell::repository;

/// A command that takes an image archive, given as its last argument, into the cluster of
/// `KUBECONFIG`.
const LOAD_IMAGE: &str = "ACTCORE_E2E_LOAD_IMAGE";
/// Where the API server of the given cluster writes its audit log, if that is within reach.
const AUDIT_LOG: &str = "ACTCORE_E2E_AUDIT_LOG";
const KIND_CLUSTER: &str = "actcore-e2e";

/// Pulling the image of a node may take as long.
const KIND_TIMEOUT: Duration = Duration::from_mins(15);
const LOAD_TIMEOUT: Duration = Duration::from_mins(10);
const QUESTION_TIMEOUT: Duration = Duration::from_secs(20);

/// A running cluster.
#[derive(Debug)]
pub(crate) enum Cluster {
    /// Somebody else's, with the command that loads an image.
    Given(String),
    /// kind's, with the file of its kubeconfig.
    Kind(PathBuf),
    /// Ours.
    Node(Box<Node>),
}

impl Cluster {
    /// Takes or makes the cluster; `folder` is for its kubeconfig.
    pub(crate) async fn start(folder: &Path, progress: &Progress) -> Result<Self> {
        if let Ok(command) = std::env::var(LOAD_IMAGE) {
            anyhow::ensure!(
                std::env::var_os("KUBECONFIG").is_some(),
                "{LOAD_IMAGE} is set, and KUBECONFIG does not say for which cluster"
            );
            return Ok(Self::Given(command));
        }
        let docker = run("docker", &["info"], QUESTION_TIMEOUT).await;
        let kind = run("kind", &["version"], QUESTION_TIMEOUT).await;
        if docker.is_ok() && kind.is_ok() {
            return Self::start_kind(folder.join("kubeconfig")).await;
        }
        let node = Node::start(progress).await?;
        Ok(Self::Node(Box::new(node)))
    }

    async fn start_kind(kubeconfig: PathBuf) -> Result<Self> {
        let configuration = repository().join("kind-config.yaml");
        let (configuration, file) = (configuration.display(), kubeconfig.display());
        let arguments = format!(
            "create cluster --name {KIND_CLUSTER} --config {configuration} --kubeconfig {file} \
             --wait 5m"
        );
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        run("kind", &arguments, KIND_TIMEOUT).await?;
        Ok(Self::Kind(kubeconfig))
    }

    /// One sentence about what it is.
    pub(crate) fn description(&self) -> &'static str {
        match self {
            Self::Given(_) => "The cluster was given by KUBECONFIG.",
            Self::Kind(_) => "The cluster was made by kind.",
            Self::Node(_) => {
                "The cluster was a single node made by testkit: kubelet, kube-proxy, containerd, \
                 runc and CoreDNS on this machine, without a container engine. Its bridge network \
                 does not enforce NetworkPolicies."
            }
        }
    }

    /// Where its kubeconfig is, unless the environment says so already.
    pub(crate) fn kubeconfig(&self) -> Option<PathBuf> {
        match self {
            Self::Given(_) => None,
            Self::Kind(file) => Some(file.clone()),
            Self::Node(node) => Some(node.kubeconfig()),
        }
    }

    /// The API server's log of requests, if we can see it.
    pub(crate) fn audit_log(&self) -> Option<PathBuf> {
        match self {
            Self::Given(_) => std::env::var_os(AUDIT_LOG).map(PathBuf::from),
            Self::Kind(_) => None,
            Self::Node(node) => Some(node.audit_log()),
        }
    }

    /// Takes an image in.
    pub(crate) async fn load(&self, archive: &Archive) -> Result<()> {
        let path = archive.path.display().to_string();
        match self {
            Self::Given(command) => {
                let command = format!("{command} {path}");
                run("sh", &["-c", &command], LOAD_TIMEOUT).await
            }
            Self::Kind(_) => {
                let arguments = ["load", "image-archive", "--name", KIND_CLUSTER, &path];
                run("kind", &arguments, LOAD_TIMEOUT).await
            }
            Self::Node(node) => node.load(archive).await,
        }
    }

    /// Ends it, unless it was given.
    pub(crate) async fn stop(self) -> Result<()> {
        match self {
            Self::Given(_) => Ok(()),
            Self::Kind(_) => {
                let arguments = ["delete", "cluster", "--name", KIND_CLUSTER];
                run("kind", &arguments, KIND_TIMEOUT).await
            }
            Self::Node(node) => node.stop().await,
        }
    }
}

async fn run(program: &str, arguments: &[&str], timeout: Duration) -> Result<()> {
    let running = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(timeout, running)
        .await
        .with_context(|| format!("{program} {arguments:?} did not end within {timeout:?}"))?
        .with_context(|| format!("failed to run {program}"))?;
    anyhow::ensure!(
        output.status.success(),
        "{program} {arguments:?} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
