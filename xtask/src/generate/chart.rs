//! What the Helm chart takes from elsewhere: a copy of the CRD manifests, and in its README the
//! table of values, which its schema describes.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Map, Value};

use super::{Generated, MARKDOWN_HEADER, cell, repository};

/// The chart's folder.
const CHART: &str = "charts/activity-core";

const INTRODUCTION: &str = "\
# The chart activity-core

Installs the operator, the workers, the event routers and the REST API, with the migration of the
data base, rights, network policies, alerts and dashboards.

```sh
# A trial, with its own Temporal, NATS and Postgres
helm install activity-core charts/activity-core -n activity-core --create-namespace \\
  -f charts/activity-core/values-dev.yaml --wait

# Prove that a run can be proven
helm test activity-core -n activity-core
```

For production see [docs/install.md](../../docs/install.md), for new versions
[docs/upgrade.md](../../docs/upgrade.md), for the day after [docs/operate.md](../../docs/operate.md).

## Values

Every key that is not listed here is refused.
";

/// The generated files of the chart; `crds` are the manifests that are copied.
pub(super) fn files(crds: &[Generated]) -> anyhow::Result<Vec<Generated>> {
    let mut files: Vec<Generated> = crds
        .iter()
        .map(|manifest| Generated {
            path: PathBuf::from(CHART).join("files").join(&manifest.path),
            content: manifest.content.clone(),
        })
        .collect();
    files.push(Generated {
        path: PathBuf::from(CHART).join("README.md"),
        content: format!("{MARKDOWN_HEADER}\n{INTRODUCTION}\n{}", table()?),
    });
    Ok(files)
}

fn read(file: &str) -> anyhow::Result<String> {
    let path = repository().join(CHART).join(file);
    std::fs::read_to_string(&path).with_context(|| format!("unable to read {}", path.display()))
}

fn table() -> anyhow::Result<String> {
    let schema: Value = serde_json::from_str(&read("values.schema.json")?)
        .context("values.schema.json is no JSON")?;
    let values: Value =
        serde_norway::from_str(&read("values.yaml")?).context("values.yaml is no YAML")?;
    let mut rows = Vec::new();
    collect(&schema, &schema, &values, "", &mut rows);
    let mut text = "| key | type | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for row in rows {
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            row.key, row.kind, row.default, row.meaning
        );
    }
    Ok(text)
}

struct Row {
    key: String,
    kind: String,
    default: String,
    meaning: String,
}

/// Adds a row for each key below `schema` that has a default, and is no group of keys itself.
fn collect(root: &Value, schema: &Value, values: &Value, path: &str, rows: &mut Vec<Row>) {
    let nothing = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&nothing);
    for (name, described) in properties {
        let Some(default) = values.get(name) else {
            continue;
        };
        let key = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let resolved = resolve(root, described);
        let is_group = resolved["properties"].is_object() && default.as_object().is_some();
        let meaning = [described, resolved]
            .into_iter()
            .find_map(|schema| schema["description"].as_str())
            .unwrap_or_default();
        if is_group && default.as_object().is_some_and(|group| !group.is_empty()) {
            let first = rows.len();
            collect(root, resolved, default, &key, rows);
            // What the group is stands in front of its first key.
            if let Some(row) = rows.get_mut(first) {
                row.meaning = format!("*{}* {}", cell(meaning), row.meaning);
            }
        } else {
            rows.push(Row {
                key,
                kind: kind(resolved),
                default: format!("`{}`", cell(&default.to_string())),
                meaning: cell(meaning),
            });
        }
    }
}

fn resolve<'schema>(root: &'schema Value, schema: &'schema Value) -> &'schema Value {
    schema["$ref"]
        .as_str()
        .and_then(|reference| root.pointer(reference.trim_start_matches('#')))
        .unwrap_or(schema)
}

fn kind(schema: &Value) -> String {
    if let Some(choices) = schema["enum"].as_array() {
        let choices: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
        return choices.join(", ");
    }
    let name = match &schema["type"] {
        Value::Array(types) => types
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" or "),
        other => other.as_str().unwrap_or("any").to_owned(),
    };
    match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        (Some(least), Some(most)) => format!("{name}, {least}–{most}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reference_is_followed_and_a_group_introduces_its_first_key() {
        let schema = json!({
            "$defs": {"port": {"type": "integer", "minimum": 1, "maximum": 9, "description": "A port."}},
            "properties": {
                "server": {"description": "The server.", "properties": {
                    "port": {"$ref": "#/$defs/port"},
                    "name": {"type": "string", "enum": ["a", ""], "description": "Its | name."},
                    "old": {"description": "Moved.", "deprecated": true},
                }},
            },
        });
        let values = json!({"server": {"port": 4, "name": ""}});
        let mut rows = Vec::new();
        collect(&schema, &schema, &values, "", &mut rows);
        let printed: Vec<String> = rows
            .iter()
            .map(|row| format!("{} {} {} {}", row.key, row.kind, row.default, row.meaning))
            .collect();
        // In alphabetical order, as serde_json keeps objects.
        assert_eq!(
            printed,
            [
                "server.name `\"a\"`, `\"\"` `\"\"` *The server.* Its \\| name.",
                "server.port integer, 1–9 `4` A port.",
            ]
        );
    }
}
