//! What a Kubernetes node consists of beside the programs of [`Components`]: from the cache or a
//! build where the version matters, from the machine's packages otherwise.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::cache::Cache;
use super::go_build::{self, Wanted};
use super::go_module::{COREDNS, RUNC};
use super::machine::Machine;
use super::platform::Platform;
use super::{Component, Components, Sources};
use crate::process::{Command, Inherit};
use crate::progress::Progress;

/// The version that its source in the Kubernetes module has.
const PAUSE_VERSION: &str = "3.10.1";
const PAUSE: &str = "pause";
const COMPILE_TIMEOUT: Duration = Duration::from_mins(2);

/// Programs of the machine, with the Debian package that has each.
const PACKAGED: [(&str, &str); 6] = [
    ("containerd", "containerd"),
    ("containerd-shim-runc-v2", "containerd"),
    ("ctr", "containerd"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
];

/// Folders of CNI plugins: Debian's, and everybody else's.
const CNI_FOLDERS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
const CNI_PLUGINS: [&str; 3] = ["bridge", "host-local", "loopback"];
const CNI_PACKAGE: &str = "containernetworking-plugins";

/// Where programs for root lie, which are not on everybody's `PATH`.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Where everything is that a node is started from.
#[derive(Debug, Clone)]
pub struct NodeComponents {
    /// The control plane and the node's programs of one version of Kubernetes, and etcd.
    pub components: Components,
    /// Starts containers.
    pub runc: PathBuf,
    /// Names of Services.
    pub coredns: PathBuf,
    /// Holds a pod's namespaces.
    pub pause: PathBuf,
    /// Keeps images and containers.
    pub containerd: PathBuf,
    /// Its command line.
    pub ctr: PathBuf,
    /// The folder of the network plugins.
    pub cni: PathBuf,
    /// The `PATH` of all programs of the node.
    pub path: String,
}

impl NodeComponents {
    /// Finds, fetches or builds each. Programs that the machine must bring are all looked for
    /// first, and named together with their packages if they are missing.
    pub async fn resolve(progress: &Progress) -> Result<Self> {
        let path = search_path();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let find = |program: &str| {
            let mut files = folders.iter().map(|folder| folder.join(program));
            files.find(|file| file.is_file())
        };
        let cni = CNI_FOLDERS.map(PathBuf::from).into_iter().find(|folder| {
            CNI_PLUGINS
                .iter()
                .all(|plugin| folder.join(plugin).is_file())
        });
        let mut missing: Vec<&str> = PACKAGED
            .iter()
            .filter(|(program, _)| find(program).is_none())
            .map(|(_, package)| *package)
            .collect();
        missing.extend(cni.is_none().then_some(CNI_PACKAGE));
        missing.dedup();
        anyhow::ensure!(
            missing.is_empty(),
            "a Kubernetes node needs programs that are not on this machine; install the Debian \
             packages {} (`make e2e` does so for root)",
            missing.join(" ")
        );
        let sources = Sources {
            platform: Platform::current()?,
            cache: Cache::from_environment()?,
            machine: Machine::from_environment(),
            progress: progress.clone(),
        };
        let mut resolved = vec![sources.resolve(Component::Etcd).await?];
        for component in Component::NODE {
            resolved.push(go_build::install(component, Wanted::NODE, &sources).await?);
        }
        Ok(Self {
            components: Components { resolved },
            runc: RUNC.resolve_one(&sources.cache, progress).await?,
            coredns: COREDNS.resolve_one(&sources.cache, progress).await?,
            pause: pause(&sources).await?,
            containerd: find("containerd").context("containerd is gone")?,
            ctr: find("ctr").context("ctr is gone")?,
            cni: cni.context("the network plugins are gone")?,
            path,
        })
    }
}

fn search_path() -> String {
    let mut path = std::env::var("PATH").unwrap_or_default();
    for folder in SYSTEM_FOLDERS {
        if !path.split(':').any(|there| there == folder) {
            path.push(':');
            path.push_str(folder);
        }
    }
    path
}

/// Compiles the pause program, whose source is a file of the Kubernetes module.
async fn pause(sources: &Sources) -> Result<PathBuf> {
    let cache = &sources.cache;
    let entry = cache.entry(PAUSE, PAUSE_VERSION, sources.platform);
    if let Some(found) = entry.find(PAUSE) {
        return Ok(found);
    }
    let _lock = cache.lock(PAUSE, &sources.progress).await?;
    if let Some(found) = entry.find(PAUSE) {
        return Ok(found);
    }
    let workbench = cache.workbench(PAUSE)?;
    let source = go_build::kubernetes_folder(&workbench)
        .await?
        .join("build/pause/linux/pause.c");
    let finished = workbench.join("finished");
    fs::create_dir_all(&finished).context("failed to make a folder for pause")?;
    compile(&source, &finished.join(PAUSE), &workbench)
        .await
        .context(
            "failed to compile the pause program, which takes a C compiler and the static C \
             library (Debian packages gcc, libc6-dev)",
        )?;
    let built = entry.take(&finished, PAUSE)?;
    fs::remove_dir_all(&workbench).context("failed to clear up after compiling")?;
    Ok(built)
}

async fn compile(source: &Path, output: &Path, workbench: &Path) -> Result<()> {
    let mut command = Command::new("cc", "cc", workbench.join("cc.log"))
        .arguments(["-Os", "-static", "-s"])
        .arguments([format!("-DVERSION={PAUSE_VERSION}"), "-o".to_owned()])
        .arguments([output.display().to_string(), source.display().to_string()]);
    command.inherit = Inherit::All;
    command.run(COMPILE_TIMEOUT).await
}
