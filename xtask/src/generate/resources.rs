//! docs/crds.md: every field of the custom resources, from their schemas.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::cell;

const INTRODUCTION: &str = "\
# Custom resources

Group `activity-core.io`, version `v1alpha1`. The same texts answer `kubectl explain`. A field that
is required is marked with *; `[]` is a list's item, `{}` any key's value.
";

/// What a schema may say about a value, and how it is told.
const LIMITS: [(&str, &str); 9] = [
    ("format", "format"),
    ("pattern", "pattern"),
    ("minimum", "at least"),
    ("maximum", "at most"),
    ("minLength", "characters at least"),
    ("maxLength", "characters at most"),
    ("minItems", "items at least"),
    ("maxItems", "items at most"),
    ("maxProperties", "keys at most"),
];

/// The reference.
pub(super) fn reference() -> anyhow::Result<String> {
    let mut text = INTRODUCTION.to_owned();
    for crd in crds::all() {
        let name = crd.metadata.name.clone().unwrap_or_default();
        let names = &crd.spec.names;
        // Writing into a text can't fail.
        let _ = write!(text, "\n## {}\n\n", names.kind);
        let short = names.short_names.clone().unwrap_or_default().join("`, `");
        let _ = writeln!(
            text,
            "`kubectl get {}`, short `{short}`, {}.",
            names.plural,
            crd.spec.scope.to_lowercase()
        );
        let version = crd.spec.versions.first();
        let schema = version.and_then(|version| version.schema.as_ref());
        let schema = schema.and_then(|schema| schema.open_api_v3_schema.as_ref());
        let schema = serde_json::to_value(schema.with_context(|| format!("{name} has no schema"))?)
            .with_context(|| format!("unable to read the schema of {name}"))?;
        for part in ["spec", "status"] {
            let part_schema = &schema["properties"][part];
            if part_schema.is_null() {
                continue;
            }
            let _ = write!(text, "\n### {part} of {}\n\n", names.kind);
            text.push_str("| Field | Type | Default | Meaning |\n|---|---|---|---|\n");
            fields(&mut text, "", part_schema);
            rules(&mut text, part, part_schema);
        }
    }
    Ok(text)
}

fn fields(text: &mut String, prefix: &str, schema: &Value) {
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, field) in properties {
        let path = format!("{prefix}{name}");
        let mark = if required.contains(&name.as_str()) {
            "*"
        } else {
            ""
        };
        let default = &field["default"];
        let default = if default.is_null() {
            String::new()
        } else {
            format!("`{default}`")
        };
        let _ = writeln!(
            text,
            "| `{path}`{mark} | {} | {} | {} {} |",
            kind(field),
            cell(&default),
            cell(field["description"].as_str().unwrap_or_default()),
            cell(&limits(field)),
        );
        // Conditions are the same for every kind of Kubernetes.
        if name != "conditions" {
            descend(text, &path, field);
        }
    }
}

fn descend(text: &mut String, path: &str, field: &Value) {
    if field["properties"].is_object() {
        fields(text, &format!("{path}."), field);
    }
    if field["items"]["properties"].is_object() {
        fields(text, &format!("{path}[]."), &field["items"]);
    }
    if field["additionalProperties"]["properties"].is_object() {
        fields(
            text,
            &format!("{path}{{}}."),
            &field["additionalProperties"],
        );
    }
}

fn kind(field: &Value) -> String {
    if field["x-kubernetes-int-or-string"] == true {
        return "integer or string".to_owned();
    }
    match field["type"].as_str() {
        Some("array") => format!("list of {}", kind(&field["items"])),
        Some("object") if field["additionalProperties"].is_object() => {
            format!("map to {}", kind(&field["additionalProperties"]))
        }
        Some(kind) => kind.to_owned(),
        None => "any".to_owned(),
    }
}

/// What the schema allows, in words.
fn limits(field: &Value) -> String {
    let mut told = Vec::new();
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<String> = values
            .iter()
            .filter(|value| !value.is_null())
            .map(|value| format!("`{}`", value.as_str().unwrap_or_default()))
            .collect();
        told.push(format!("one of {}", values.join(", ")));
    }
    for (keyword, words) in LIMITS {
        match &field[keyword] {
            Value::Null => {}
            Value::String(value) => told.push(format!("{words} `{value}`")),
            value => told.push(format!("{words} {}", whole(value))),
        }
    }
    if told.is_empty() {
        String::new()
    } else {
        format!(" ({})", told.join("; "))
    }
}

/// Limits are floating-point numbers in a schema; whole ones are shown as such.
fn whole(value: &Value) -> String {
    let text = value.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// The rules (CEL) that the API server checks on every write.
fn rules(text: &mut String, path: &str, schema: &Value) {
    let mut found = Vec::new();
    collect_rules(path, schema, &mut found);
    if found.is_empty() {
        return;
    }
    text.push_str("\nThe API server also refuses, on every write:\n\n");
    for (path, message) in found {
        let _ = writeln!(text, "- at `{path}`: {message}");
    }
}

fn collect_rules(path: &str, schema: &Value, found: &mut Vec<(String, String)>) {
    let validations = schema["x-kubernetes-validations"].as_array();
    for validation in validations.into_iter().flatten() {
        let message = validation["message"].as_str();
        let rule = message.or_else(|| validation["rule"].as_str());
        found.push((path.to_owned(), rule.unwrap_or_default().to_owned()));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        collect_rules(&format!("{path}.{name}"), field, found);
    }
    if schema["items"].is_object() {
        collect_rules(&format!("{path}[]"), &schema["items"], found);
    }
}
