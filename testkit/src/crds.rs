//! Applies the CustomResourceDefinitions of a folder and waits until the API serves them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use serde::Deserialize as _;
use serde_json::Value;

use crate::servers::KubeApiserver;
use crate::wait::{self, Seen};

const FIELD_MANAGER: &str = "testkit";
const ESTABLISHED_TIMEOUT: Duration = Duration::from_secs(30);

/// The folder of this checkout's CRDs.
pub fn of_checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join("crds")
}

/// Applies every `.yaml` of `folder`, server-side, and waits until each is established.
pub async fn apply(apiserver: &KubeApiserver, folder: &Path) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(apiserver.client().await?);
    let mut names = Vec::new();
    for definition in read(folder)? {
        let name = definition
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .context("a CRD has no metadata.name")?
            .to_owned();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&name, &params, &Patch::Apply(&definition))
            .await
            .with_context(|| format!("failed to apply the CRD {name}"))?;
        names.push(name);
    }
    for name in names {
        let what = format!("the CRD {name} to be established");
        wait::until(what, ESTABLISHED_TIMEOUT, async || {
            api.get(&name).await.map(is_established)
        })
        .await?;
    }
    Ok(())
}

fn is_established(definition: CustomResourceDefinition) -> Seen<()> {
    let conditions = definition
        .status
        .and_then(|status| status.conditions)
        .unwrap_or_default();
    match conditions
        .iter()
        .find(|condition| condition.type_ == "Established")
    {
        Some(condition) if condition.status == "True" => Seen::Done(()),
        _ => Seen::NotYet(format!("{conditions:?}")),
    }
}

/// As they are in the files: a typed form could drop a field that it does not know.
fn read(folder: &Path) -> Result<Vec<Value>> {
    let mut files: Vec<PathBuf> = match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            return Err(error).with_context(|| format!("failed to list {}", folder.display()));
        }
    };
    files.retain(|file| file.extension().is_some_and(|name| name == "yaml"));
    files.sort();
    let mut definitions = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("failed to read {}", file.display()))?;
        for document in serde_norway::Deserializer::from_str(&text) {
            let definition = Value::deserialize(document)
                .with_context(|| format!("{} is no YAML", file.display()))?;
            // A file that begins with a comment has an empty document before the first `---`.
            if !definition.is_null() {
                definitions.push(definition);
            }
        }
    }
    Ok(definitions)
}
