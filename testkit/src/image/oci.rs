//! The documents around a layer, and the archive that holds them all: the OCI image layout in a
//! tar file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::Image;
use super::layer::{Summary, digest_of};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A fixed time, so that the same files are the same image.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Writes the archive and gives the digest of its manifest.
pub(super) fn write(image: &Image, layer: (&Summary, &mut File), file: &Path) -> Result<String> {
    let (summary, layer) = layer;
    let config = Document::of(&config(image, summary))?;
    let manifest = Document::of(&manifest(&config, summary))?;
    let index = Document::of(&index(image, &manifest))?;

    let output = File::create(file).context("failed to make the file")?;
    let mut archive = Builder::new(BufWriter::new(output));
    add(
        &mut archive,
        "oci-layout",
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    add(&mut archive, "index.json", &index.bytes)?;
    add(&mut archive, &blob(&config.digest), &config.bytes)?;
    add(&mut archive, &blob(&manifest.digest), &manifest.bytes)?;
    let mut header = header(summary.size);
    archive.append_data(&mut header, blob(&summary.digest), layer)?;
    archive.into_inner()?.flush()?;
    Ok(manifest.digest)
}

fn config(image: &Image, layer: &Summary) -> Value {
    let start = &image.start;
    let environment: Vec<String> = start
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    json!({
        "architecture": architecture(),
        "os": "linux",
        "created": CREATED,
        "config": {
            "User": format!("{0}:{0}", start.user),
            "Entrypoint": start.entrypoint,
            "Env": environment,
            "WorkingDir": "/",
            "Labels": start.labels,
        },
        "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
        "history": [{ "created": CREATED, "created_by": "activity-core" }],
    })
}

fn manifest(config: &Document, layer: &Summary) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": CONFIG, "digest": config.digest, "size": config.bytes.len(),
        },
        "layers": [{ "mediaType": LAYER, "digest": layer.digest, "size": layer.size }],
    })
}

fn index(image: &Image, manifest: &Document) -> Value {
    let tag = image.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": MANIFEST,
            "digest": manifest.digest,
            "size": manifest.bytes.len(),
            "platform": { "architecture": architecture(), "os": "linux" },
            // The first is read by containerd, the second by everybody else.
            "annotations": {
                "io.containerd.image.name": image.name,
                "org.opencontainers.image.ref.name": tag,
            },
        }],
    })
}

/// What Go, and with it OCI, calls the processor.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

struct Document {
    bytes: Vec<u8>,
    digest: String,
}

impl Document {
    fn of(value: &Value) -> Result<Self> {
        let bytes = serde_json::to_vec(value).context("failed to print a document")?;
        let digest = digest_of(Sha256::new_with_prefix(&bytes));
        Ok(Self { bytes, digest })
    }
}

fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn add(archive: &mut Builder<impl Write>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = header(bytes.len().try_into().context("too large")?);
    archive
        .append_data(&mut header, path, bytes)
        .with_context(|| format!("failed to add {path}"))
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(size);
    header
}
