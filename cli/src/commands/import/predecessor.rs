//! Judges one row of the predecessor's table: which columns it has does not matter, what is in them
//! does. Nothing is contacted here.

use contracts::rest::{NewActivityDefinition, TriggerConfig};
use domain::object_name;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::commands::create::spec_of;

/// Columns that are taken over, or that mean nothing here.
const KNOWN_COLUMNS: [&str; 6] = [
    "id",
    "name",
    "enabled",
    "trigger_type",
    "trigger_config",
    "created_at",
];

/// Also known, and of no interest: Kubernetes keeps its own.
const UPDATED_AT: &str = "updated_at";

/// A row that can be taken over.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Definition {
    /// The id, which stays.
    pub(super) id: Uuid,
    /// The name that people know.
    pub(super) name: String,
    /// The custom resource.
    pub(super) manifest: Value,
    /// What could not be taken over, one sentence each.
    pub(super) left_behind: Vec<String>,
}

/// Takes a row over, or says which column is wrong.
pub(super) fn take_over(
    row: &Map<String, Value>,
    namespace: Option<&str>,
) -> Result<Definition, String> {
    if row.contains_key("spec") && row.contains_key("generation") {
        return Err("this is activity-core's own mirror, not the predecessor's table".to_owned());
    }
    let id = text(row, "id")?
        .parse::<Uuid>()
        .map_err(|error| format!("id: {error}"))?;
    let name = text(row, "name")?.to_owned();
    let body = NewActivityDefinition {
        name: name.clone(),
        enabled: enabled(row)?,
        trigger_config: trigger(row)?,
    };
    let object = object_name::of_name(&name);
    let mut spec = spec_of(&body);
    spec["activityId"] = json!(id);
    if object != name {
        spec["displayName"] = json!(name);
    }
    let mut manifest = json!({
        "apiVersion": format!("{}/v1alpha1", crds::GROUP),
        "kind": "ActivityDefinition",
        "metadata": {"name": object},
        "spec": spec,
    });
    if let Some(namespace) = namespace {
        manifest["metadata"]["namespace"] = json!(namespace);
    }
    Ok(Definition {
        id,
        name,
        manifest,
        left_behind: left_behind(row),
    })
}

fn text<'row>(row: &'row Map<String, Value>, column: &str) -> Result<&'row str, String> {
    match row.get(column) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text),
        Some(Value::Null | Value::String(_)) => Err(format!("{column} is empty")),
        Some(other) => Err(format!("{column} is {other}; a text is expected")),
        None => Err(format!("there is no column {column}")),
    }
}

/// A column of a boolean, as JSON has it or as CSV writes it; true without the column.
fn enabled(row: &Map<String, Value>) -> Result<bool, String> {
    let Some(value) = row.get("enabled") else {
        return Ok(true);
    };
    let word = match value {
        Value::Bool(enabled) => return Ok(*enabled),
        Value::String(word) => word.to_ascii_lowercase(),
        Value::Number(number) => number.to_string(),
        other => other.to_string(),
    };
    match word.as_str() {
        "true" | "t" | "1" => Ok(true),
        "false" | "f" | "0" => Ok(false),
        _ => Err(format!("enabled is {value}; true or false is expected")),
    }
}

/// The body of the REST API in `trigger_config`, whose `trigger_type` may stand in a column of its
/// own instead.
fn trigger(row: &Map<String, Value>) -> Result<TriggerConfig, String> {
    let mut config = match row.get("trigger_config") {
        Some(Value::Object(config)) => config.clone(),
        // A JSON column of text type, and every column of a CSV file.
        Some(Value::String(text)) => serde_json::from_str(text)
            .map_err(|error| format!("trigger_config is no JSON object: {error}"))?,
        Some(Value::Null) | None => Map::new(),
        Some(other) => return Err(format!("trigger_config is {other}; an object is expected")),
    };
    // What Python wrote for "not set".
    config.retain(|_, value| !value.is_null());
    if let Some(column) = trigger_type(row)? {
        match config.get("trigger_type") {
            None => {
                config.insert("trigger_type".to_owned(), json!(column));
            }
            Some(inside) if *inside == json!(column) => {}
            Some(inside) => {
                return Err(format!(
                    "trigger_type is {column}, but trigger_config says {inside}"
                ));
            }
        }
    }
    if config.is_empty() {
        return Err("trigger_config is empty".to_owned());
    }
    serde_json::from_value(Value::Object(config))
        .map_err(|error| format!("trigger_config: {error}"))
}

/// The column `trigger_type`; an enumeration may be written as Python prints it.
fn trigger_type(row: &Map<String, Value>) -> Result<Option<String>, String> {
    match row.get("trigger_type") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            let name = text.rsplit('.').next().unwrap_or(text);
            Ok(Some(name.to_ascii_lowercase()))
        }
        Some(other) => Err(format!("trigger_type is {other}; a text is expected")),
    }
}

fn left_behind(row: &Map<String, Value>) -> Vec<String> {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    row.iter()
        .filter(|(column, _)| !KNOWN_COLUMNS.contains(&column.as_str()))
        .filter(|(column, value)| *column != UPDATED_AT && !is_empty(value))
        .map(|(column, _)| {
            format!("column {column} has no counterpart; write what it says into the manifest")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f";

    fn row(fields: Value) -> Map<String, Value> {
        let mut row = json!({
            "id": ID, "name": "daily-report", "enabled": true, "created_at": "2026-01-01",
            "trigger_config": {"trigger_type": "cron", "cron_expression": "0 9 * * 1-5",
                               "timezone": "Europe/Berlin", "misfire_policy": "skip"},
        });
        for (column, value) in fields.as_object().unwrap() {
            row[column] = value.clone();
        }
        row.as_object().unwrap().clone()
    }

    fn taken(fields: Value) -> Definition {
        take_over(&row(fields), None).unwrap()
    }

    fn refusal(fields: Value) -> String {
        take_over(&row(fields), None).unwrap_err()
    }

    #[test]
    fn a_definition_keeps_its_id_and_its_name() {
        let plain = taken(json!({}));
        assert_eq!(plain.manifest["spec"]["activityId"], ID);
        assert_eq!(plain.manifest["metadata"]["name"], "daily-report");
        assert!(plain.manifest["spec"].get("displayName").is_none());
        assert!(plain.left_behind.is_empty());

        let spoken = taken(json!({"name": "Daily report (Berlin)"}));
        assert_eq!(
            spoken.manifest["spec"]["displayName"],
            "Daily report (Berlin)"
        );
        let object = spoken.manifest["metadata"]["name"].as_str().unwrap();
        assert!(object.starts_with("daily-report-berlin-"), "{object}");
    }

    #[test]
    fn columns_may_be_as_python_json_or_csv_writes_them() {
        let event = r#"{"event_type": "user.created", "filters": {"tier": "pro"},
                        "cron_expression": null}"#;
        let from_csv = taken(json!({
            "enabled": "f", "trigger_type": "TriggerType.EVENT", "trigger_config": event,
        }));
        assert_eq!(from_csv.manifest["spec"]["enabled"], false);
        assert_eq!(
            from_csv.manifest["spec"]["trigger"],
            json!({"event": {"eventType": "user.created", "filters": {"tier": "pro"}}})
        );
    }

    #[test]
    fn content_that_is_wrong_is_refused_with_its_column() {
        let cases = [
            (json!({"id": "42"}), "id: "),
            (json!({"name": " "}), "name is empty"),
            (json!({"enabled": "maybe"}), "enabled is \"maybe\""),
            (json!({"enabled": null}), "enabled is null"),
            (json!({"trigger_config": null}), "trigger_config is empty"),
            (json!({"trigger_config": "{"}), "no JSON object"),
            (
                json!({"trigger_type": "event"}),
                "trigger_config says \"cron\"",
            ),
            (
                json!({"trigger_config": {"trigger_type": "cron"}}),
                "missing field `cron_expression`",
            ),
            (
                json!({"trigger_config": {"trigger_type": "interval", "seconds": 5}}),
                "trigger_config: ",
            ),
        ];
        for (fields, expected) in cases {
            let problem = refusal(fields.clone());
            assert!(problem.contains(expected), "{fields}: {problem}");
        }
    }

    #[test]
    fn what_has_no_counterpart_is_named() {
        let left = taken(json!({"instruction": {"model": "x"}, "tags": []})).left_behind;
        assert_eq!(left.len(), 1);
        assert!(left[0].starts_with("column instruction "), "{left:?}");
    }
}
