//! What a node is made of, decided before it starts and handed to its supervisor in a file.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::image::Archive;
use crate::servers::NodeIdentity;

/// Where pods have their addresses. They are the node's own, so all nodes can have the same.
pub(super) const PODS: &str = "10.244.0.0/24";

/// A node before it starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The node's name in Kubernetes.
    pub(super) name: String,
    /// The name of the node's end of the link, until it has moved.
    pub(super) link: String,
    /// The node's address on the link.
    pub(super) address: Ipv4Addr,
    /// This machine's address on the link.
    pub(super) host_address: Ipv4Addr,
    /// The control group of all pods.
    pub(super) control_group: String,
    /// Name and file of each image that the node needs itself.
    images: Vec<(String, PathBuf)>,
}

impl Plan {
    /// The plan of the node with that number, which no other one on this machine has.
    pub(super) fn new(number: u8) -> Self {
        // From the block for tests of networks, which is in use nowhere (RFC 2544).
        let address = |last| Ipv4Addr::new(198, 18, number, last);
        Self {
            name: "node".to_owned(),
            link: super::link::inner_name(number),
            address: address(2),
            host_address: address(1),
            control_group: format!("actcore-node-{number}"),
            images: Vec::new(),
        }
    }

    /// Adds the images that the node needs itself.
    pub(super) fn with_images(mut self, archives: Vec<Archive>) -> Self {
        let images = archives.into_iter();
        self.images = images.map(|image| (image.name, image.path)).collect();
        self
    }

    /// The images that the node needs itself.
    pub(super) fn images(&self) -> Vec<Archive> {
        let images = self.images.iter().cloned();
        images
            .map(|(name, path)| Archive {
                name,
                path,
                digest: String::new(),
                size: 0,
            })
            .collect()
    }

    /// The node as Kubernetes knows it.
    pub(super) fn identity(&self) -> NodeIdentity {
        NodeIdentity {
            name: self.name.clone(),
            address: self.address,
        }
    }

    /// Writes it into the node's folder.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).context("failed to print the plan")?;
        std::fs::write(file(folder), text).context("failed to write the node's plan")
    }

    /// Reads it from the node's folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let file = file(folder);
        let text = std::fs::read(&file)
            .with_context(|| format!("there is no node to start: {}", file.display()))?;
        serde_json::from_slice(&text).context("the node's plan is not readable")
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("plan.json")
}

/// Where the supervisor has the data of all programs.
pub(super) fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Where each program has its log.
pub(super) fn logs(folder: &Path) -> PathBuf {
    folder.join("logs")
}

/// What the supervisor says about how far it is, a line each.
pub(super) fn progress(folder: &Path) -> PathBuf {
    logs(folder).join("progress.log")
}

/// There as soon as everything is up.
pub(super) fn up(folder: &Path) -> PathBuf {
    folder.join("up")
}

/// The administrator's kubeconfig.
pub(super) fn kubeconfig(folder: &Path) -> PathBuf {
    data(folder).join("kube-apiserver").join("kubeconfig")
}

/// The folder of containerd.
pub(super) fn containerd(folder: &Path) -> PathBuf {
    data(folder).join("containerd")
}

/// Where containerd is reached, from outside of the namespaces too.
pub(super) fn containerd_socket(folder: &Path) -> PathBuf {
    containerd(folder).join("containerd.sock")
}
