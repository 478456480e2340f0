//! `EventType`: what the payload of one type of event looks like.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Describes one type of event. The object's name is the type, for example user.created.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "activity-core.io",
    version = "v1alpha1",
    kind = "EventType",
    plural = "eventtypes",
    shortname = "evtype",
    category = "activity-core",
    namespaced,
    status = "EventTypeStatus",
    derive = "PartialEq",
    doc = "EventType describes one type of event and what its payload looks like; the object's name is the type.",
    printcolumn(name = "Validation", type_ = "string", json_path = ".spec.validation"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Description",
        type_ = "string",
        json_path = ".spec.description",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct EventTypeSpec {
    /// What the event means and who publishes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub description: Option<String>,

    /// The JSON Schema of the payload. Without one any payload is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::any_object")]
    pub schema: Option<Value>,

    /// What becomes of an event whose payload breaks the schema: Enforce makes it a dead letter,
    /// Warn logs and counts it and lets it through.
    #[serde(default)]
    pub validation: ValidationMode,
}

/// What becomes of an event whose payload breaks the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ValidationMode {
    /// It is a dead letter.
    Enforce,
    /// It is logged, counted and let through.
    #[default]
    Warn,
}

/// What the operator observed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventTypeStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Whether the type is in force in every router.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
}
