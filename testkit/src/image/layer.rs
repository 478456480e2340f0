//! The one layer of an image: a tar archive whose bytes depend on the files alone.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, Write};

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::files::{Content, FileTree};

/// What others say about a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    /// `sha256:…`
    pub(super) digest: String,
    /// In bytes.
    pub(super) size: u64,
}

/// Writes the layer into `output` and goes back to its start.
pub(super) fn write(files: &FileTree, output: &mut File) -> Result<Summary> {
    let hashing = Hashing::new(BufWriter::new(&mut *output));
    let mut builder = Builder::new(hashing);
    let mut folders = BTreeSet::new();
    for (path, file) in files.iter() {
        let inside = path.trim_start_matches('/');
        add_folders_above(&mut builder, inside, &mut folders)?;
        if file.content == Content::Folder && !folders.insert(inside.to_owned()) {
            continue;
        }
        append(&mut builder, inside, file).with_context(|| format!("failed to add {path}"))?;
    }
    let mut hashing = builder.into_inner().context("failed to end the layer")?;
    hashing.flush().context("failed to end the layer")?;
    let summary = hashing.summary();
    drop(hashing);
    output.rewind().context("failed to read the layer again")?;
    Ok(summary)
}

fn append(builder: &mut Builder<impl Write>, path: &str, file: &super::files::File) -> Result<()> {
    match &file.content {
        Content::Copy(source) => {
            let reader = File::open(source)
                .with_context(|| format!("failed to open {}", source.display()))?;
            let size = reader
                .metadata()
                .with_context(|| format!("failed to look at {}", source.display()))?
                .len();
            let mut header = header(EntryType::Regular, file.mode);
            header.set_size(size);
            builder.append_data(&mut header, path, reader.take(size))?;
        }
        Content::Bytes(bytes) => {
            let mut header = header(EntryType::Regular, file.mode);
            header.set_size(bytes.len().try_into().context("too large")?);
            builder.append_data(&mut header, path, bytes.as_slice())?;
        }
        Content::Folder => append_folder(builder, path, file.mode)?,
        Content::Link(target) => {
            let mut header = header(EntryType::Symlink, file.mode);
            builder.append_link(&mut header, path, target)?;
        }
    }
    Ok(())
}

fn add_folders_above(
    builder: &mut Builder<impl Write>,
    path: &str,
    there: &mut BTreeSet<String>,
) -> Result<()> {
    for (end, _) in path.match_indices('/') {
        let folder = &path[..end];
        if there.insert(folder.to_owned()) {
            append_folder(builder, folder, 0o755)
                .with_context(|| format!("failed to add the folder {folder}"))?;
        }
    }
    Ok(())
}

fn append_folder(builder: &mut Builder<impl Write>, path: &str, mode: u32) -> Result<()> {
    let mut header = header(EntryType::Directory, mode);
    builder.append_data(&mut header, format!("{path}/"), io::empty())?;
    Ok(())
}

/// Everything belongs to root and is as old as can be, whoever puts it together and when.
fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// Passes on what is written, and keeps its hash and length.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            size: 0,
        }
    }

    fn summary(&self) -> Summary {
        Summary {
            digest: digest_of(self.hash.clone()),
            size: self.size,
        }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A finished hash as OCI writes it.
pub(super) fn digest_of(hash: Sha256) -> String {
    format!("sha256:{}", hex::encode(hash.finalize()))
}
