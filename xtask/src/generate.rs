//! Files that are made from code. They are committed, so that people can read and apply them
//! without building anything, and a test fails when they are stale.

mod chart;
mod commands;
mod metrics;
mod resources;
mod settings;

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

/// One generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Its path in the repository.
    pub path: PathBuf,
    /// What it should hold.
    pub content: String,
}

/// The first line of every generated file that may have comments.
const HEADER: &str = "# Generated from Rust by `make generate`. Do not edit.\n";

/// The same for Markdown.
const MARKDOWN_HEADER: &str = "<!-- Generated from Rust by `make generate`. Do not edit. -->\n";

/// The root of the repository.
pub fn repository() -> &'static Path {
    // The manifest's folder always has a parent: the workspace.
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("."))
}

/// Every generated file, as it should be.
pub fn all() -> anyhow::Result<Vec<Generated>> {
    let mut files = Vec::new();
    for crd in crds::all() {
        let name = crd.metadata.name.as_deref().unwrap_or_default();
        let plural = &crd.spec.names.plural;
        let mut manifest = serde_json::to_value(&crd)
            .with_context(|| format!("unable to write {name} as JSON"))?;
        unwrap_descriptions(&mut manifest);
        let manifest = serde_norway::to_string(&manifest)
            .with_context(|| format!("unable to write {name} as YAML"))?;
        files.push(Generated {
            path: PathBuf::from(format!("crds/{plural}.yaml")),
            content: format!("{HEADER}{manifest}"),
        });
    }
    let chart = chart::files(&files)?;
    let documents = [
        ("docs/cli.md", commands::reference()),
        ("docs/crds.md", resources::reference()?),
        ("docs/metrics.md", metrics::reference()?),
        ("docs/settings.md", settings::reference()),
    ];
    files.extend(documents.map(|(path, content)| Generated {
        path: PathBuf::from(path),
        content: format!("{MARKDOWN_HEADER}\n{content}"),
    }));
    files.extend(chart);
    let description = serde_json::to_string_pretty(&api::openapi())
        .context("unable to write the API's description as JSON")?;
    files.push(Generated {
        path: PathBuf::from("docs/api/openapi.json"),
        content: format!("{description}\n"),
    });
    Ok(files)
}

/// A text as a cell of a Markdown table: on one line, and without what ends a cell.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

/// Descriptions come from doc comments, which are wrapped for a text editor; `kubectl explain`
/// wraps them for the terminal.
fn unwrap_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "description" => {
                        *text = text.replace('\n', " ");
                    }
                    other => unwrap_descriptions(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unwrap_descriptions),
        _ => {}
    }
}

/// Writes every generated file.
pub fn write_all() -> anyhow::Result<()> {
    for file in all()? {
        let path = repository().join(&file.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("unable to make {}", folder.display()))?;
        }
        std::fs::write(&path, &file.content)
            .with_context(|| format!("unable to write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_up_to_date() {
        for file in all().unwrap() {
            let path = repository().join(&file.path);
            let present = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                present == file.content,
                "{} is stale; run `make generate` and commit the result",
                file.path.display()
            );
        }
    }
}
