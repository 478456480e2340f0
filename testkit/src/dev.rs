//! The development stack: all servers, the stand-ins and our programs, started once and left
//! running in the background until told to stop.
//!
//! [`up`] fetches what is missing, starts a supervisor in a session of its own and shows how far
//! it is. The supervisor ([`supervise`]) owns all processes; if it is killed they all end with it.
//! What is up is written to `stack.json` and `env` in the stack's folder.

mod down;
mod endpoints;
mod identity;
mod ports;
mod programs;
mod progress_file;
mod stack_file;
mod start;
mod status;
mod supervise;
mod table;
mod up;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use down::{Volumes, down};
pub use endpoints::Endpoints;
pub use identity::ProcessIdentity;
pub use stack_file::{StackFile, StackProcess};
pub use status::{Status, status};
pub use supervise::supervise;
pub use table::table;
pub use up::up;

/// The folder of a development stack, by default `.dev` in the checkout.
#[derive(Debug, Clone)]
pub struct DevFolder {
    path: PathBuf,
}

impl DevFolder {
    /// The folder; it is made when something is put into it.
    pub fn new(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path)
            .with_context(|| format!("{} is no folder", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The logs of the supervisor, the servers and the programs.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Lines for a shell: `. .dev/env`.
    pub fn env(&self) -> PathBuf {
        self.path.join("env")
    }

    fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    fn working_memory(&self) -> PathBuf {
        self.path.join("working-memory")
    }

    fn stack_file(&self) -> PathBuf {
        self.path.join("stack.json")
    }

    fn supervisor_log(&self) -> PathBuf {
        self.logs().join("supervisor.log")
    }

    fn progress_file(&self) -> PathBuf {
        self.logs().join("start.jsonl")
    }

    fn make(&self) -> Result<()> {
        for folder in [self.logs(), self.data(), self.working_memory()] {
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("failed to make {}", folder.display()))?;
        }
        Ok(())
    }
}

/// Writes a file so that a reader sees either the old or the new content.
fn write_atomically(path: &Path, content: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, content)
        .and_then(|()| std::fs::rename(&partial, path))
        .with_context(|| format!("failed to write {}", path.display()))
}

/// Removes a file, which may be gone already.
fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
