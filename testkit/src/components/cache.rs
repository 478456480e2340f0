//! The cache of fetched and built programs: outside the checkout, one folder per component and
//! version, and a folder is there only when it is complete.
//!
//! It is filled under a lock, in a folder beside that is renamed at the end. So two processes do
//! not do the work twice, and what a killed process left half-finished is thrown away and done
//! again.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::platform::Platform;
use crate::file_lock::FileLock;
use crate::progress::Progress;

/// Longer than the slowest build by far: another process that holds the lock longer than this
/// hangs.
const LOCK_TIMEOUT: Duration = Duration::from_mins(90);
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// The folder that holds everything fetched or built.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$ACTCORE_CACHE`, else `$XDG_CACHE_HOME/activity-core`, else `~/.cache/activity-core`.
    pub fn from_environment() -> Result<Self> {
        let variable = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let root = variable("ACTCORE_CACHE")
            .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("activity-core")))
            .or_else(|| Some(variable("HOME")?.join(".cache").join("activity-core")))
            .context("there is no place for the cache: set ACTCORE_CACHE to a folder")?;
        Self::at(&root)
    }

    /// A cache in the given folder, which is made if it is not there.
    pub(super) fn at(root: &Path) -> Result<Self> {
        fs::create_dir_all(root)
            .with_context(|| format!("failed to make the cache {}", root.display()))?;
        // Programs are run from other folders: a relative path would lead nowhere.
        let root = fs::canonicalize(root)
            .with_context(|| format!("failed to look at the cache {}", root.display()))?;
        Ok(Self { root })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The place of one component in one version.
    pub(super) fn entry(&self, name: &str, version: &str, platform: Platform) -> Entry {
        let folder = self
            .root
            .join(name)
            .join(format!("{version}-{}", platform.name()));
        Entry { folder }
    }

    /// Where `purpose` works until its result is complete. It is empty, and ours alone as long as
    /// the lock of the same purpose is held.
    pub(super) fn workbench(&self, purpose: &str) -> Result<PathBuf> {
        let folder = self.root.join(format!(".partial-{purpose}"));
        remove(&folder)?;
        fs::create_dir_all(&folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
        Ok(folder)
    }

    /// Waits until no other process works on `purpose`, and keeps others out until the lock is
    /// dropped, however this process ends.
    pub(super) async fn lock(&self, purpose: &str, progress: &Progress) -> Result<FileLock> {
        let path = self.root.join(format!(".lock-{purpose}"));
        let started = Instant::now();
        let mut step = None;
        loop {
            if let Some(lock) = FileLock::try_take(&path)? {
                return Ok(lock);
            }
            anyhow::ensure!(
                started.elapsed() < LOCK_TIMEOUT,
                "another process holds {} for {LOCK_TIMEOUT:?}",
                path.display()
            );
            let message = "another process is fetching or building it; waiting";
            step.get_or_insert_with(|| progress.step(purpose, message))
                .update(message);
            tokio::time::sleep(LOCK_PAUSE).await;
        }
    }
}

/// One component in one version.
#[derive(Debug)]
pub(super) struct Entry {
    folder: PathBuf,
}

impl Entry {
    /// The file, if the entry is complete.
    pub(super) fn find(&self, file: &str) -> Option<PathBuf> {
        Some(self.folder.join(file)).filter(|path| path.is_file())
    }

    /// Makes `finished`, a folder on the same file system, the entry. What was there is replaced.
    pub(super) fn take(&self, finished: &Path, file: &str) -> Result<PathBuf> {
        anyhow::ensure!(
            finished.join(file).is_file(),
            "{file} is missing in what was fetched or built for {}",
            self.folder.display()
        );
        remove(&self.folder)?;
        let parent = self.folder.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent)
            .with_context(|| format!("failed to make {}", parent.display()))?;
        fs::rename(finished, &self.folder)
            .with_context(|| format!("failed to put {} into the cache", self.folder.display()))?;
        Ok(self.folder.join(file))
    }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(&folder.path().join("cache")).unwrap();
        (folder, cache)
    }

    #[test]
    fn half_finished_work_is_not_taken_and_is_thrown_away() {
        let (_folder, cache) = cache();
        let entry = cache.entry("nats-server", "2.0", Platform::X86_64);
        let killed = cache.workbench("nats-server").unwrap();
        fs::write(killed.join("nats-server"), "half of it").unwrap();
        assert_eq!(entry.find("nats-server"), None);

        let again = cache.workbench("nats-server").unwrap();
        assert_eq!(fs::read_dir(&again).unwrap().count(), 0);
        fs::write(again.join("nats-server"), "all of it").unwrap();
        let taken = entry.take(&again, "nats-server").unwrap();
        assert_eq!(fs::read_to_string(taken).unwrap(), "all of it");
        assert!(entry.find("nats-server").is_some());
    }

    #[test]
    fn an_entry_without_its_program_is_replaced() {
        let (_folder, cache) = cache();
        let entry = cache.entry("temporal", "1.0", Platform::X86_64);
        fs::create_dir_all(entry.folder.join("something else")).unwrap();
        assert_eq!(entry.find("temporal"), None);

        let finished = cache.workbench("temporal").unwrap();
        fs::write(finished.join("temporal"), "program").unwrap();
        entry.take(&finished, "temporal").unwrap();
        assert!(entry.find("temporal").is_some());
        assert!(!entry.folder.join("something else").exists());
    }

    #[test]
    fn work_without_its_program_is_refused() {
        let (_folder, cache) = cache();
        let finished = cache.workbench("etcd").unwrap();
        let error = cache
            .entry("etcd", "3.6", Platform::X86_64)
            .take(&finished, "etcd")
            .unwrap_err();
        assert!(error.to_string().contains("etcd is missing"), "{error}");
    }

    #[tokio::test]
    async fn only_one_at_a_time_holds_the_lock() {
        let (_folder, cache) = cache();
        let progress = Progress::on_stderr();
        let first = cache.lock("etcd", &progress).await.unwrap();
        let waiting = cache.lock("etcd", &progress);
        let waiting = tokio::time::timeout(Duration::from_millis(300), waiting).await;
        assert!(
            waiting.is_err(),
            "the second lock was given while the first was held"
        );
        drop(first);
        cache.lock("etcd", &progress).await.unwrap();
    }
}
