//! Edits of a JSON body.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Claim;

/// Leaves a field out.
pub(super) fn omit(body: &Bytes, pointer: &str) -> Bytes {
    edit(body, |value| {
        let Some((parent, last)) = pointer.rsplit_once('/') else {
            return;
        };
        if let Some(Value::Object(parent)) = value.pointer_mut(parent) {
            parent.remove(last);
        }
    })
}

/// Puts something else into a field that is there.
pub(super) fn claim(body: &Bytes, pointer: &str, claim: Claim) -> Bytes {
    edit(body, |value| {
        let Some(field) = value.pointer_mut(pointer) else {
            return;
        };
        match claim {
            Claim::Text(text) => *field = json!(text),
            Claim::Number(number) => *field = json!(number),
            Claim::AllIsWell => all_is_well(field),
        }
    })
}

fn all_is_well(conditions: &mut Value) {
    for condition in conditions.as_array_mut().into_iter().flatten() {
        let is_bad_news = matches!(condition["type"].as_str(), Some("Stalled" | "Reconciling"));
        condition["status"] = json!(if is_bad_news { "False" } else { "True" });
    }
}

fn edit(body: &Bytes, edit: impl FnOnce(&mut Value)) -> Bytes {
    let Ok(mut value) = serde_json::from_slice(body) else {
        return body.clone();
    };
    edit(&mut value);
    Bytes::from(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_field_changes() {
        let body = Bytes::from_static(br#"{"a":{"b":1,"c":2}}"#);
        assert_eq!(omit(&body, "/a/b"), r#"{"a":{"c":2}}"#);
        let claimed = claim(&body, "/a/c", Claim::Text("x"));
        assert_eq!(claimed, r#"{"a":{"b":1,"c":"x"}}"#);
        assert_eq!(claim(&body, "/a/d", Claim::Number(1)), body);
    }
}
