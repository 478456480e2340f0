//! The custom resources of `activity-core.io/v1alpha1`.
//!
//! A Rust type here and its manifest in `crds/*.yaml` are one look apart: the manifests are made
//! from the types by `make generate`. Whatever the schema and its CEL rules can refuse is refused
//! at `kubectl apply`; [`ActivityDefinition::validate`] refuses the rest.

#![expect(
    clippy::duplicated_attributes,
    reason = "printer columns share attributes such as their type"
)]

mod activity_definition;
pub mod condition;
mod conversion;
mod event_type;
mod maintenance_window;
mod schema;

pub use activity_definition::{
    ActivityDefinition, ActivityDefinitionSpec, ActivityDefinitionStatus, ContextSourceSpec,
    CronTriggerSpec, EventOrderingSpec, EventTriggerSpec, ExternalPausePolicySpec,
    HandledReconcile, HttpContextSpec, HttpHeaderSpec, InstructionSpec, LastRun, MisfirePolicySpec,
    OverlapPolicySpec, PreviousReportSpec, ReportSpec, SecretRefSpec, StateHubContextSpec,
    StateHubReportSpec, TaskSinkType, TasksSpec, TierSpec, TriggerSpec, VerificationSpec,
    WebhookReportSpec, WorkingMemoryReportSpec,
};
pub use event_type::{EventType, EventTypeSpec, EventTypeStatus, ValidationMode};
pub use maintenance_window::{
    MaintenanceWindow, MaintenanceWindowSpec, MaintenanceWindowStatus, RecurrenceSpec,
};

use kube::CustomResourceExt;

/// The API group.
pub const GROUP: &str = "activity-core.io";

/// Every CRD of the group, in the order in which they are to be applied.
pub fn all()
-> Vec<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition>
{
    vec![
        ActivityDefinition::crd(),
        EventType::crd(),
        MaintenanceWindow::crd(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kubectl explain` has nothing to say about a field without a description.
    #[test]
    fn every_field_is_described() {
        for crd in all() {
            let json = serde_json::to_value(&crd).unwrap();
            for version in json["spec"]["versions"].as_array().unwrap() {
                let schema = &version["schema"]["openAPIV3Schema"];
                for part in ["spec", "status"] {
                    let kind = &json["spec"]["names"]["kind"];
                    assert_described(&schema["properties"][part], &format!("{kind}.{part}"));
                }
            }
        }
    }

    fn assert_described(schema: &serde_json::Value, path: &str) {
        let properties = schema["properties"].as_object().into_iter().flatten();
        for (name, property) in properties {
            let path = format!("{path}.{name}");
            assert!(
                property["description"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{path} has no description"
            );
            assert_described(property, &path);
            assert_described(&property["items"], &format!("{path}[]"));
        }
    }
}
