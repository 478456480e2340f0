//! A folder on a disk that is small enough to be filled. It takes the right to mount.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use testkit::process::Command;

/// The room beside what is there already, in MiB: Postgres takes 16 at a time.
const ROOM: u64 = 64;

const MEBIBYTE: u64 = 1024 * 1024;

/// What takes the room.
const FILLER: &str = "filler";

/// A folder that lies on a small disk until this is dropped. Nobody may use it when it comes there
/// and when it leaves.
#[derive(Debug)]
pub(super) struct SmallDisk {
    folder: PathBuf,
    log: PathBuf,
}

impl SmallDisk {
    /// Puts a folder on a small disk, with what is in it.
    pub(super) async fn mount(folder: PathBuf, log: PathBuf) -> Result<Self> {
        let disk = Self { folder, log };
        let original = disk.original();
        fs::rename(&disk.folder, &original)
            .and_then(|()| fs::create_dir(&disk.folder))
            .with_context(|| format!("failed to move {}", disk.folder.display()))?;
        let size = size(&original)?.div_ceil(MEBIBYTE) + ROOM;
        let size = format!("size={size}m");
        let folder = disk.folder.display().to_string();
        disk.run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &folder])
            .await?;
        disk.copy(&original, &disk.folder).await?;
        Ok(disk)
    }

    /// Takes all the room that is left.
    pub(super) fn fill(&self) -> Result<()> {
        let path = self.folder.join(FILLER);
        let mut filler = File::create(&path).context("failed to make a filler")?;
        let block = vec![0; 64 * 1024];
        loop {
            match filler.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("failed to fill the disk"),
            }
        }
    }

    /// Gives the room back.
    pub(super) fn free(&self) -> Result<()> {
        fs::remove_file(self.folder.join(FILLER)).context("failed to remove the filler")
    }

    /// Puts the folder back to where it was, with what is in it by now.
    pub(super) async fn unmount(self) -> Result<()> {
        let original = self.original();
        fs::remove_dir_all(&original).context("failed to remove what was there before")?;
        let folder = self.folder.display().to_string();
        self.copy(&self.folder, &original).await?;
        self.run("umount", &[&folder]).await?;
        fs::remove_dir(&self.folder)
            .and_then(|()| fs::rename(&original, &self.folder))
            .with_context(|| format!("failed to move {folder} back"))
    }

    fn original(&self) -> PathBuf {
        self.folder.with_extension("original")
    }

    /// With owners and rights, those of the folder itself too.
    async fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (from.join("."), to.display().to_string());
        self.run("cp", &["-a", &from.display().to_string(), &to])
            .await
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let command = Command::new(program, program, &self.log);
        let command = command.arguments(arguments.iter().copied());
        command.run(super::RETURN).await
    }
}

/// The size of all files of a folder in bytes, and of what they take beside.
fn size(folder: &Path) -> Result<u64> {
    const BLOCK: u64 = 4096;
    let mut total = BLOCK;
    let entries =
        fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += if metadata.is_dir() {
            size(&entry.path())?
        } else {
            metadata.len().next_multiple_of(BLOCK)
        };
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_folder_is_that_of_all_that_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/file"), [0; 5000]).unwrap();
        assert_eq!(size(folder.path()).unwrap(), 2 * 4096 + 8192);
    }
}
