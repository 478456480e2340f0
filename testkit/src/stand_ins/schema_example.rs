//! A value that satisfies a simple JSON Schema: what a model with structured output would give.
//!
//! Understood are types, properties, items, enum, const, local references, the first of `anyOf`,
//! `oneOf` and `allOf`, and the usual bounds; a `pattern` is not.

use serde_json::{Map, Value, json};

/// A schema that refers to itself is followed this deep.
const DEEPEST: usize = 12;

/// The value; strings that are free say `text`.
pub(super) fn example(schema: &Value, text: &str) -> Value {
    Walk { root: schema, text }.value(schema, 0)
}

struct Walk<'a> {
    root: &'a Value,
    text: &'a str,
}

impl Walk<'_> {
    fn value(&self, schema: &Value, depth: usize) -> Value {
        if depth > DEEPEST {
            return Value::Null;
        }
        let chosen = ["const", "default"]
            .into_iter()
            .find_map(|key| schema.get(key));
        let first = |key| {
            schema
                .get(key)
                .and_then(Value::as_array)
                .and_then(|all| all.first())
        };
        if let Some(value) = chosen.or_else(|| first("enum")) {
            return value.clone();
        }
        if let Some(target) = schema
            .get("$ref")
            .and_then(|reference| self.resolve(reference))
        {
            return self.value(target, depth + 1);
        }
        if let Some(one) = ["anyOf", "oneOf", "allOf"].into_iter().find_map(first) {
            return self.value(one, depth + 1);
        }
        match type_of(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
            "boolean" => Value::Bool(true),
            "null" => Value::Null,
            _ => Value::String(self.string(schema)),
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let properties = schema.get("properties").and_then(Value::as_object);
        let values = properties
            .into_iter()
            .flatten()
            .map(|(name, property)| (name.clone(), self.value(property, depth + 1)));
        Value::Object(values.collect::<Map<_, _>>())
    }

    fn array(&self, schema: &Value, depth: usize) -> Value {
        let count = count(schema, "minItems").unwrap_or(1);
        let item = schema
            .get("items")
            .map_or(Value::Null, |items| self.value(items, depth + 1));
        Value::Array(vec![item; count])
    }

    fn string(&self, schema: &Value) -> String {
        let text = match schema.get("format").and_then(Value::as_str) {
            Some("date-time") => "2026-01-01T00:00:00Z",
            Some("date") => "2026-01-01",
            Some("time") => "00:00:00Z",
            Some("uuid") => "00000000-0000-4000-8000-000000000000",
            Some("uri") => "https://example.com/",
            Some("email") => "someone@example.com",
            _ => self.text,
        };
        let shortest = count(schema, "minLength").unwrap_or(0);
        let longest = count(schema, "maxLength").unwrap_or(usize::MAX);
        let padding = std::iter::repeat_n('.', shortest.saturating_sub(text.chars().count()));
        text.chars().chain(padding).take(longest).collect()
    }

    fn resolve(&self, reference: &Value) -> Option<&Value> {
        self.root.pointer(reference.as_str()?.strip_prefix('#')?)
    }
}

/// The first type that is not null; a schema with properties and no type is an object.
fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null")
            .unwrap_or("null"),
        _ if schema.get("properties").is_some() => "object",
        _ => "string",
    }
}

fn count(schema: &Value, name: &str) -> Option<usize> {
    usize::try_from(schema.get(name)?.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_of_an_object_gets_a_value_of_its_type() {
        let schema = json!({
            "type": "object",
            "required": ["title", "items"],
            "properties": {
                "title": { "type": "string", "minLength": 3, "maxLength": 5 },
                "items": {
                    "type": "array",
                    "minItems": 2,
                    "items": { "$ref": "#/$defs/item" },
                },
                "done": { "type": ["null", "boolean"] },
            },
            "$defs": {
                "item": {
                    "properties": {
                        "rank": { "type": "integer", "minimum": 3 },
                        "kind": { "enum": ["now", "later"] },
                        "at": { "type": "string", "format": "date" },
                    },
                },
            },
        });
        let item = json!({ "rank": 3, "kind": "now", "at": "2026-01-01" });
        let expected = json!({ "title": "hello", "items": [item, item], "done": true });
        assert_eq!(example(&schema, "hello world"), expected);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({ "properties": { "child": { "$ref": "#" } } });
        assert!(example(&schema, "").is_object());
    }
}
