//! The files of an image, before they are written.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What it holds.
    pub content: Content,
    /// Its permissions, such as `0o755`.
    pub mode: u32,
}

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The bytes of a file on this machine.
    Copy(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing: it is a folder.
    Folder,
    /// It points there.
    Link(String),
}

/// All files of an image by their absolute path. Folders above a file need not be named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileTree {
    files: BTreeMap<String, File>,
}

impl FileTree {
    /// Puts a program of this machine at `path`.
    pub fn program(&mut self, path: &str, source: &Path) {
        self.put(path, Content::Copy(source.to_owned()), 0o755);
    }

    /// Puts a script at `path`.
    pub fn program_text(&mut self, path: &str, text: &str) {
        self.put(path, Content::Bytes(text.as_bytes().to_vec()), 0o755);
    }

    /// Puts a text at `path`.
    pub fn text(&mut self, path: &str, text: &str) {
        self.put(path, Content::Bytes(text.as_bytes().to_vec()), 0o644);
    }

    /// Puts a copy of a file of this machine, which others may read but not run, at `path`.
    pub fn copy(&mut self, path: &str, source: &Path) {
        self.put(path, Content::Copy(source.to_owned()), 0o644);
    }

    /// Makes a folder.
    pub fn folder(&mut self, path: &str, mode: u32) {
        self.put(path, Content::Folder, mode);
    }

    /// Makes `path` point to `target`.
    pub fn link(&mut self, path: &str, target: &str) {
        self.put(path, Content::Link(target.to_owned()), 0o777);
    }

    /// Puts everything in the folder `source` of this machine under `path`.
    pub fn copy_folder(&mut self, path: &str, source: &Path) -> Result<()> {
        let entries = std::fs::read_dir(source)
            .with_context(|| format!("failed to read {}", source.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("failed to read {}", source.display()))?;
            let name = entry.file_name();
            let name = name
                .to_str()
                .with_context(|| format!("{} has no readable name", entry.path().display()))?;
            let (path, source) = (format!("{path}/{name}"), entry.path());
            let kind = std::fs::symlink_metadata(&source)
                .with_context(|| format!("failed to look at {}", source.display()))?;
            if kind.is_dir() {
                self.copy_folder(&path, &source)?;
            } else if kind.is_symlink() {
                let target = std::fs::read_link(&source)
                    .with_context(|| format!("failed to read {}", source.display()))?;
                self.link(&path, &target.display().to_string());
            } else {
                let executable = kind.permissions().mode() & 0o111 != 0;
                let mode = if executable { 0o755 } else { 0o644 };
                self.put(&path, Content::Copy(source), mode);
            }
        }
        Ok(())
    }

    /// Each entry with its path, in the order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    fn put(&mut self, path: &str, content: Content, mode: u32) {
        let file = File { content, mode };
        self.files.insert(path.to_owned(), file);
    }
}
