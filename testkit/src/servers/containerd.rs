//! containerd, which keeps images and runs containers for a kubelet.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::READY_TIMEOUT;
use crate::components::NodeComponents;
use crate::image::Archive;
use crate::process::{Command, Process};

/// The image that holds a pod's namespaces.
pub(crate) const SANDBOX_IMAGE: &str = "localhost/pause:3.10";

/// The namespace of containerd in which a kubelet's images are.
const NAMESPACE: &str = "k8s.io";
const IMPORT_TIMEOUT: Duration = Duration::from_mins(5);

/// Where containerd works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ContainerdPlace<'a> {
    /// The programs.
    pub(crate) programs: &'a NodeComponents,
    /// Its data folder, on a file system that can be the upper one of an overlay.
    pub(crate) data: &'a Path,
    /// Its log.
    pub(crate) log: &'a Path,
    /// Where pods have their addresses.
    pub(crate) pods: &'a str,
}

/// A running containerd.
#[derive(Debug)]
pub(crate) struct Containerd {
    pub(crate) process: Process,
    socket: PathBuf,
    ctr: PathBuf,
    log: PathBuf,
}

impl Containerd {
    /// Starts it.
    pub(crate) async fn start(place: ContainerdPlace<'_>) -> Result<Self> {
        let network = place.data.join("network");
        std::fs::create_dir_all(&network).context("failed to make the folder of the network")?;
        write(
            &network.join("10-bridge.conflist"),
            &network_list(place.pods)?,
        )?;
        let socket = place.data.join("containerd.sock");
        let configuration = place.data.join("configuration.toml");
        write(&configuration, &configuration_of(place, &network, &socket))?;
        let mut command = Command::new("containerd", &place.programs.containerd, place.log)
            .flag("config", configuration.display());
        // It finds its shims, and they find `ip` and `iptables`, on the PATH.
        command
            .environment
            .push(("PATH".to_owned(), place.programs.path.clone()));
        let process = command.spawn()?;
        let containerd = Self {
            process,
            socket,
            ctr: place.programs.ctr.clone(),
            log: place.log.with_file_name("ctr.log"),
        };
        containerd
            .process
            .ready(READY_TIMEOUT, || containerd.answers())
            .await?;
        Ok(containerd)
    }

    /// The socket that a kubelet and `ctr` connect to.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Takes an image in, under its own name.
    pub(crate) async fn import(&self, archive: &Archive) -> Result<()> {
        import(&self.ctr, &self.socket, &self.log, archive).await
    }

    async fn answers(&self) -> Result<bool> {
        ctr(&self.ctr, &self.socket, &self.log)
            .arguments(["version"])
            .run(Duration::from_secs(10))
            .await?;
        Ok(true)
    }
}

/// Takes an image into the containerd behind `socket`.
pub(crate) async fn import(
    program: &Path,
    socket: &Path,
    log: &Path,
    archive: &Archive,
) -> Result<()> {
    ctr(program, socket, log)
        .arguments(["images", "import"])
        .arguments([archive.path.display().to_string()])
        .run(IMPORT_TIMEOUT)
        .await
        .with_context(|| format!("failed to import {}", archive.name))
}

fn ctr(program: &Path, socket: &Path, log: &Path) -> Command {
    Command::new("ctr", program, log)
        .flag("address", socket.display())
        .flag("namespace", NAMESPACE)
}

fn network_list(pods: &str) -> Result<String> {
    let list = json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "ipMasq": true,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{ "subnet": pods }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    });
    serde_json::to_string_pretty(&list).context("failed to print the network's configuration")
}

fn configuration_of(place: ContainerdPlace<'_>, network: &Path, socket: &Path) -> String {
    let (data, programs) = (place.data.display(), place.programs);
    let (socket, network) = (socket.display(), network.display());
    let (cni, runc) = (programs.cni.display(), programs.runc.display());
    format!(
        r#"version = 2
root = "{data}/root"
state = "/run/containerd"

[grpc]
  address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{data}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{SANDBOX_IMAGE}"
  # Root in a container or a small machine may not make itself harder to kill.
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{network}"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{runc}"
"#
    )
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))
}
