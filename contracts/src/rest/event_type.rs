//! Event types.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The body of `POST /event-types/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEventType {
    /// The type, which is also the custom resource's name: words of lower-case letters, digits and
    /// hyphens, separated by points.
    #[schema(
        example = "user.created",
        min_length = 1,
        max_length = 253,
        pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
    )]
    pub name: String,
    /// What the event means and who publishes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "A user signed up.", max_length = 4096)]
    pub description: Option<String>,
    /// The JSON Schema of the payload; any payload is accepted when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"type": "object", "required": ["tier"]}))]
    pub schema: Option<Map<String, Value>>,
    /// What becomes of an event that breaks the schema; `Warn` when left out.
    #[serde(default)]
    pub validation: PayloadValidation,
}

/// The body of `PUT /event-types/{name}`: what is left out stays as it is, what is null is taken
/// away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventTypeUpdate {
    /// What the event means and who publishes it.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>, max_length = 4096)]
    pub description: Option<Option<String>>,
    /// The JSON Schema of the payload.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<Object>)]
    pub schema: Option<Option<Map<String, Value>>>,
    /// What becomes of an event that breaks the schema.
    #[serde(
        default,
        deserialize_with = "super::present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = PayloadValidation, required = false)]
    pub validation: Option<PayloadValidation>,
}

/// Reads a value or null, both of which are not the same as nothing.
#[expect(
    clippy::option_option,
    reason = "left out, null and a value are three things"
)]
fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// What becomes of an event whose payload breaks the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub enum PayloadValidation {
    /// It is a dead letter.
    Enforce,
    /// It is logged, counted and let through.
    #[default]
    Warn,
}

/// A type of event, as every answer shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventType {
    /// The type, for example `user.created`.
    #[schema(example = "user.created")]
    pub name: String,
    /// The Kubernetes namespace of the custom resource.
    pub namespace: String,
    /// What the event means and who publishes it.
    pub description: Option<String>,
    /// The JSON Schema of the payload; null when any payload is accepted.
    #[schema(value_type = Option<Object>)]
    pub schema: Option<Value>,
    /// What becomes of an event that breaks the schema: Enforce or Warn.
    #[schema(example = "Warn")]
    pub validation: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn update(body: Value) -> EventTypeUpdate {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn null_takes_away_and_nothing_leaves_alone() {
        assert_eq!(update(json!({})), EventTypeUpdate::default());
        assert_eq!(update(json!({"schema": null})).schema, Some(None));
        let schema = update(json!({"schema": {"type": "object"}})).schema;
        assert!(matches!(schema, Some(Some(_))), "{schema:?}");
        assert!(serde_json::from_value::<EventTypeUpdate>(json!({"validation": null})).is_err());
    }
}
