//! Equality filters on an event's payload.
//!
//! A filter names a place in the payload and the value that must stand there. Places are keys, or
//! dotted paths into nested objects (`customer.tier`); a key that itself contains the dot is
//! looked for first. Values are equal as JSON values are: `1` equals `1.0`, but never `"1"` or
//! `true`; a missing key equals nothing, not even `null`.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// A filter that can never be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// A key without a name.
    #[error("filters: a key is empty; name a key of the payload, such as \"tier\"")]
    EmptyKey,
    /// A dotted path with an empty step.
    #[error("filters: the path \"{0}\" has an empty step; write it like \"customer.tier\"")]
    EmptyStep(String),
}

/// Why a payload does not pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// The key or path that was looked at.
    pub path: String,
    /// What the definition asks for.
    pub expected: Value,
    /// What stands in the payload; `None` when the key is missing.
    pub found: Option<Value>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(
                formatter,
                "payload.{} is {found}, the filter asks for {}",
                self.path, self.expected
            ),
            None => write!(
                formatter,
                "payload.{} is missing, the filter asks for {}",
                self.path, self.expected
            ),
        }
    }
}

/// Filters that every matching payload satisfies, all of them. No filter matches everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filters(BTreeMap<String, Value>);

impl Filters {
    /// Takes the filters as a user wrote them.
    pub fn parse(filters: BTreeMap<String, Value>) -> Result<Self, InvalidFilter> {
        for path in filters.keys() {
            if path.is_empty() {
                return Err(InvalidFilter::EmptyKey);
            }
            if path.split('.').any(str::is_empty) {
                return Err(InvalidFilter::EmptyStep(path.clone()));
            }
        }
        Ok(Self(filters))
    }

    /// Checks a payload; the first filter that it fails is the error.
    pub fn check(&self, payload: &Value) -> Result<(), Mismatch> {
        for (path, expected) in &self.0 {
            let found = find(payload, path);
            if !found.is_some_and(|value| json_equal(value, expected)) {
                return Err(Mismatch {
                    path: path.clone(),
                    expected: expected.clone(),
                    found: found.cloned(),
                });
            }
        }
        Ok(())
    }
}

/// The value at a key, or at a dotted path when there is no such key.
fn find<'payload>(payload: &'payload Value, path: &str) -> Option<&'payload Value> {
    payload.get(path).or_else(|| {
        path.split('.')
            .try_fold(payload, |value, step| value.get(step))
    })
}

/// Equality of JSON values, in which numbers are equal when they are the same number.
fn json_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        // Only a float against an integer is compared as floats: two integers that a float can
        // not tell apart are still two numbers.
        (Value::Number(left), Value::Number(right)) if left.is_f64() != right.is_f64() => {
            left.as_f64() == right.as_f64()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| json_equal(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| {
                    right.get(key).is_some_and(|other| json_equal(value, other))
                })
        }
        (left, right) => left == right,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn passes(filters: &Value, payload: &Value) -> bool {
        let filters = filters.as_object().unwrap().clone().into_iter().collect();
        Filters::parse(filters).unwrap().check(payload).is_ok()
    }

    #[test]
    fn every_filter_must_hold() {
        let payload = json!({"tier": "pro", "region": "eu"});
        assert!(passes(&json!({}), &payload));
        assert!(passes(&json!({"tier": "pro"}), &payload));
        assert!(passes(&json!({"tier": "pro", "region": "eu"}), &payload));
        assert!(!passes(&json!({"tier": "pro", "region": "us"}), &payload));
    }

    #[test]
    fn what_equals_what_is_the_table_of_the_documents() {
        let cases = [
            // Numbers are equal when they are the same number, however they are written.
            ("1", "1", true),
            ("1", "1.0", true),
            ("1.0", "1", true),
            ("1", "1e0", true),
            ("100", "1e2", true),
            ("0", "-0.0", true),
            ("1", "1.5", false),
            ("-1", "1", false),
            ("0.1", "0.10", true),
            // Never across types.
            ("1", "\"1\"", false),
            ("\"1\"", "1", false),
            ("1", "true", false),
            ("true", "1", false),
            ("true", "\"true\"", false),
            ("true", "true", true),
            ("false", "false", true),
            ("false", "null", false),
            ("0", "null", false),
            ("\"\"", "null", false),
            ("null", "null", true),
            // Texts by their characters.
            ("\"pro\"", "\"pro\"", true),
            ("\"pro\"", "\"Pro\"", false),
            ("\"pro\"", "\"pro \"", false),
            ("\"\\u00e9\"", "\"é\"", true),
            // Lists in order, objects in any, both as a whole.
            ("[1, 2]", "[1.0, 2]", true),
            ("[1, 2]", "[2, 1]", false),
            ("[1]", "[1, 2]", false),
            ("1", "[1]", false),
            (r#"{"a": 1, "b": 2}"#, r#"{"b": 2.0, "a": 1}"#, true),
            (r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#, false),
        ];
        for (filter, found, is_equal) in cases {
            let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(
                passes(&json!({"n": parse(filter)}), &json!({"n": parse(found)})),
                is_equal,
                "the filter {filter} on {found}"
            );
        }
    }

    #[test]
    fn integers_beyond_the_precision_of_a_float_stay_distinct() {
        let big = 9_007_199_254_740_993_u64;
        assert!(!passes(&json!({"n": big}), &json!({"n": big - 1})));
    }

    #[test]
    fn a_missing_key_is_not_null() {
        assert!(!passes(&json!({"n": null}), &json!({})));
        assert!(passes(&json!({"n": null}), &json!({"n": null})));
    }

    #[test]
    fn a_dotted_path_reaches_into_objects_and_a_literal_key_wins() {
        assert!(passes(&json!({"a.b": 1}), &json!({"a": {"b": 1}})));
        assert!(passes(
            &json!({"a.b": 1}),
            &json!({"a.b": 1, "a": {"b": 2}})
        ));
        assert!(!passes(&json!({"a.b": 1}), &json!({"a": 1})));
        assert!(!passes(&json!({"a": 1}), &json!("a text")));
        assert!(passes(
            &json!({"a.b.c": null}),
            &json!({"a": {"b": {"c": null}}})
        ));
        assert!(!passes(&json!({"a.b.c": null}), &json!({"a": {"b": {}}})));
        // A list has no keys: what is in it is for a condition to look at.
        assert!(!passes(&json!({"a.0": 1}), &json!({"a": [1]})));
    }

    #[test]
    fn a_mismatch_says_what_was_found() {
        let filters = Filters::parse([("tier".to_owned(), json!("pro"))].into()).unwrap();
        let mismatch = filters.check(&json!({"tier": "free"})).unwrap_err();
        assert_eq!(
            mismatch.to_string(),
            "payload.tier is \"free\", the filter asks for \"pro\""
        );
    }

    #[test]
    fn refuses_paths_that_lead_nowhere() {
        for (path, error) in [
            ("", InvalidFilter::EmptyKey),
            ("a..b", InvalidFilter::EmptyStep("a..b".into())),
        ] {
            let filters = [(path.to_owned(), json!(1))].into();
            assert_eq!(Filters::parse(filters), Err(error));
        }
    }
}
