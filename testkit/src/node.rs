//! A real Kubernetes node on this machine, without a container engine: a control plane, a kubelet
//! with containerd, kube-proxy and a name server.
//!
//! All of it runs in namespaces of its own for the network, the mounts and the processes, so that
//! neither bridges nor rules nor mounts nor containers can be left behind: the kernel ends them
//! with the first process of the namespaces, which ends with its owner. What remains then (the
//! control group, the link to the node, the folder) a janitor removes, also after a killed owner.
//!
//! It takes root, and pods reach nothing outside but this machine's end of the link
//! ([`Node::host_address`]). Network policies are kept by the API, and enforced by nobody.

mod clear_up;
mod control_group;
mod link;
mod mounts;
mod name_server;
mod plan;
mod supervise;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustix::process::{Signal, geteuid};

use crate::components::NodeComponents;
use crate::http::install_crypto;
use crate::image::{Archive, contents};
use crate::process::{Command, Process};
use crate::program::binary;
use crate::progress::Progress;
use crate::servers::{AUDIT_LOG, SANDBOX_IMAGE, import};
use clear_up::NodeFolder;
use control_group::ControlGroup;
use link::Link;
use name_server::NAME_SERVER_IMAGE;
use plan::Plan;
pub use supervise::supervise;

/// The program that is the first one in the namespaces, by way of its hidden subcommand.
const SUPERVISOR: &str = "actcore-dev";

/// Waits for the supervisor and for all orphans of the namespace, as its first process must.
const FIRST_PROCESS: &str = r#""$@" & wait "$!""#;

/// A node is up after half a minute on an idle machine with two cores.
const UP_TIMEOUT: Duration = Duration::from_mins(8);
/// The namespaces are there as soon as the process has begun.
const NAMESPACE_TIMEOUT: Duration = Duration::from_secs(20);

/// A running node with a cluster around it. Dropping it ends everything.
#[derive(Debug)]
pub struct Node {
    /// Before the folder and the link: what is declared first is dropped first.
    process: Process,
    plan: Plan,
    programs: NodeComponents,
    /// Last: it clears up after the others.
    folder: NodeFolder,
}

impl Node {
    /// Starts one and waits until its name server answers. The first time the programs are built,
    /// which takes a quarter of an hour.
    pub async fn start(progress: &Progress) -> Result<Self> {
        install_crypto();
        anyhow::ensure!(
            geteuid().is_root(),
            "a Kubernetes node on this machine takes root: run it as root, or use a cluster that \
             is there already"
        );
        let programs = NodeComponents::resolve(progress).await?;
        let supervisor = binary(SUPERVISOR)?;
        let step = progress.step("node", "putting its images together");
        let link = Link::claim()?;
        let plan = Plan::new(link.number());
        let group = ControlGroup::create(&plan.control_group)?;
        let folder = NodeFolder::create(link, group)?;
        let plan = plan.with_images(images(&programs, &folder).await?);
        plan.write(folder.path())?;

        let process = start_namespaces(&supervisor, &programs, &folder)?;
        process
            .ready(NAMESPACE_TIMEOUT, async || {
                folder.link().hand_over(process.pid())
            })
            .await?;
        let ready = process.ready(UP_TIMEOUT, async || folder.is_up());
        step.follow(ready, || folder.last_progress()).await?;
        step.finish(&format!("Ready at {}", plan.address));
        Ok(Self {
            process,
            plan,
            programs,
            folder,
        })
    }

    /// The administrator's kubeconfig, for use on this machine.
    pub fn kubeconfig(&self) -> PathBuf {
        plan::kubeconfig(self.folder.path())
    }

    /// An administrator's client. It belongs to the runtime that it was made on.
    pub async fn client(&self) -> Result<kube::Client> {
        install_crypto();
        let kubeconfig = self.kubeconfig();
        let kubeconfig = Kubeconfig::read_from(&kubeconfig)
            .with_context(|| format!("failed to read {}", kubeconfig.display()))?;
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .context("failed to understand the kubeconfig")?;
        kube::Client::try_from(config).context("failed to make a Kubernetes client")
    }

    /// Takes an image in, under its own name, as if it had been pulled.
    pub async fn load(&self, archive: &Archive) -> Result<()> {
        let socket = plan::containerd_socket(self.folder.path());
        let log = self.logs().join("load.log");
        import(&self.programs.ctr, &socket, &log, archive).await
    }

    /// Where pods reach servers of this machine that listen on this address.
    pub fn host_address(&self) -> Ipv4Addr {
        self.plan.host_address
    }

    /// A line of JSON for each request to the API server that has been answered.
    pub fn audit_log(&self) -> PathBuf {
        self.logs().join(AUDIT_LOG)
    }

    /// The folder with a log for each of its programs.
    pub fn logs(&self) -> PathBuf {
        self.folder.logs()
    }

    /// The folder with everything of this node.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for its end, which is a failure of one of its programs, for as long as that takes.
    pub async fn ended(&self) -> Result<()> {
        let status = self.process.wait_for_end().await?;
        anyhow::bail!("the node has ended ({status})\n{}", self.process.log_tail())
    }

    /// Ends everything and waits until nothing is left.
    pub async fn stop(self) -> Result<()> {
        let Self {
            process, folder, ..
        } = self;
        process.stop().await?;
        tokio::task::spawn_blocking(move || folder.clear_up())
            .await
            .context("clearing up has panicked")?
    }
}

async fn images(programs: &NodeComponents, folder: &NodeFolder) -> Result<Vec<Archive>> {
    let sources = [
        (SANDBOX_IMAGE, programs.pause.clone(), "pause.tar"),
        (NAME_SERVER_IMAGE, programs.coredns.clone(), "coredns.tar"),
    ];
    let target = folder.path().join("images");
    tokio::task::spawn_blocking(move || {
        sources
            .into_iter()
            .map(|(name, program, file)| {
                contents::single_program(name, &program)?.write(&target.join(file))
            })
            .collect()
    })
    .await
    .context("putting images together has panicked")?
}

/// Starts the supervisor as the child of the first process of new namespaces. There is nothing in
/// them that would have to end in an orderly way.
fn start_namespaces(
    supervisor: &Path,
    programs: &NodeComponents,
    folder: &NodeFolder,
) -> Result<Process> {
    let log = folder.logs().join("supervisor.log");
    let mut command = Command::new("node", "unshare", log)
        .arguments(["--net", "--mount", "--pid", "--fork", "--kill-child"])
        .arguments(["--mount-proc", "sh", "-c", FIRST_PROCESS, "sh"])
        .arguments([
            supervisor.display().to_string(),
            "supervise-node".to_owned(),
        ])
        .arguments(["--dir".to_owned(), folder.path().display().to_string()]);
    for name in ["ACTCORE_CACHE", "XDG_CACHE_HOME", "RUST_BACKTRACE"] {
        if let Ok(value) = std::env::var(name) {
            command.environment.push((name.to_owned(), value));
        }
    }
    command
        .environment
        .push(("PATH".to_owned(), programs.path.clone()));
    command.stop_signal = Signal::KILL;
    command.spawn()
}
