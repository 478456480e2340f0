//! The fields of a spec, read from the CRD's schema: a new field is tried as soon as it exists.

use serde_json::Value;

/// A field of the spec, such as `reports[].timeoutSeconds`.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Where it is.
    pub(super) path: String,
    /// What the CRD says of it.
    pub(super) schema: Value,
    /// Whether what it is in can't be without it.
    pub(super) is_required: bool,
}

impl Field {
    /// Its own name, the last of its path.
    pub(super) fn name(&self) -> &str {
        let last = self.path.rsplit('.').next().unwrap_or_default();
        last.trim_end_matches("[]")
    }
}

/// `reports[].name` as `/reports/0/name`.
pub(super) fn pointer(path: &str) -> String {
    format!("/{}", path.replace("[]", "/0").replace('.', "/"))
}

/// Every field below a schema of an object, parents before their children.
pub(super) fn fields(schema: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    walk(schema, "", &mut found);
    found
}

fn walk(schema: &Value, path: &str, found: &mut Vec<Field>) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let is_required = required.iter().any(|required| required == name.as_str());
        found.push(Field {
            path: path.clone(),
            schema: schema.clone(),
            is_required,
        });
        match schema["items"].as_object() {
            Some(_) => walk(&schema["items"], &format!("{path}[]"), found),
            None => walk(schema, &path, found),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_of_a_list_is_found_in_its_first_element() {
        let schema = json!({"properties": {"reports": {"type": "array", "items": {
            "required": ["name"],
            "properties": {"name": {"type": "string"}, "hub": {"type": "object"}}}}}});
        let fields = fields(&schema);
        let paths: Vec<&str> = fields.iter().map(|field| field.path.as_str()).collect();
        assert_eq!(paths, ["reports", "reports[].hub", "reports[].name"]);
        assert_eq!(pointer(&fields[2].path), "/reports/0/name");
        assert_eq!(fields[2].name(), "name");
        assert!(fields[2].is_required && !fields[1].is_required);
    }
}
