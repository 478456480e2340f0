//! The machines that testkit runs on.

use anyhow::{Result, bail};

/// A kind of machine for which prebuilt programs are pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    X86_64,
    Aarch64,
}

impl Platform {
    /// The one we run on.
    pub(super) fn current() -> Result<Self> {
        match (std::env::consts::OS, std::env::consts::ARCH) {
            ("linux", "x86_64") => Ok(Self::X86_64),
            ("linux", "aarch64") => Ok(Self::Aarch64),
            (system, architecture) => bail!(
                "the servers are started on Linux x86_64 or aarch64 only, and this is {system} \
                 {architecture}; use a Linux machine, virtual machine or container"
            ),
        }
    }

    /// Its part of a folder's name in the cache.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}
