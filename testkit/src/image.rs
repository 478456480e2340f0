//! Container images put together without a container engine: files in, an OCI archive out, which
//! `ctr images import`, `docker load`, `podman load` and `skopeo` read.
//!
//! The same input gives the same bytes: entries are sorted, and times and owners are fixed. What
//! goes into which image is in [`contents`]; getting it to where it runs is left to others.

pub mod contents;
mod files;
mod layer;
mod libraries;
mod oci;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use files::{Content, File, FileTree};

/// The user and group of the distroless images' `nonroot`.
pub const NONROOT: u32 = 65532;

/// What becomes an image: its files, and how it is started.
#[derive(Debug, Clone)]
pub struct Image {
    /// The full name with its tag, `docker.io/library/activity-core:0.1.0`.
    pub name: String,
    /// Everything in it.
    pub files: FileTree,
    /// How a container of it is started, unless told otherwise.
    pub start: Start,
}

/// The part of an image that is no file.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// What is run.
    pub entrypoint: Vec<String>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// The user and the group that it runs as; root if it is zero.
    pub user: u32,
    /// Labels, for example `org.opencontainers.image.version`.
    pub labels: BTreeMap<String, String>,
}

/// An image in a file.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The name by which it is used once it was loaded.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The digest of its manifest, `sha256:…`.
    pub digest: String,
    /// How large its files are together, in bytes.
    pub size: u64,
}

impl fmt::Display for Archive {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a size for a person to read needs no more than its first digits"
        )]
        let megabytes = self.size as f64 / 1e6;
        write!(
            formatter,
            "{} {} ({megabytes:.1} MB)",
            self.name, self.digest
        )
    }
}

impl Image {
    /// Writes the image into `file`. Large content never is in memory as a whole.
    pub fn write(&self, file: &Path) -> Result<Archive> {
        let folder = file.parent().context("an archive needs a folder")?;
        std::fs::create_dir_all(folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
        let mut layer = tempfile::tempfile_in(folder).context("failed to make a scratch file")?;
        let summary = layer::write(&self.files, &mut layer)
            .with_context(|| format!("failed to put the files of {} together", self.name))?;
        let digest = oci::write(self, (&summary, &mut layer), file)
            .with_context(|| format!("failed to write {}", file.display()))?;
        Ok(Archive {
            name: self.name.clone(),
            path: file.to_owned(),
            digest,
            size: summary.size,
        })
    }
}

#[cfg(test)]
mod tests;
