//! `MaintenanceWindow`: a time in which schedules pause on purpose and nobody is paged.

use chrono::{DateTime, Duration, Utc};
use domain::{CronExpression, CronSchedule, InvalidDefinition, TimeZone, Window};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares a time in which the selected activities pause: once, from `startTime` to `endTime`,
/// or again and again by `recurrence`.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "activity-core.io",
    version = "v1alpha1",
    kind = "MaintenanceWindow",
    plural = "maintenancewindows",
    shortname = "maintwin",
    category = "activity-core",
    namespaced,
    status = "MaintenanceWindowStatus",
    derive = "PartialEq",
    doc = "MaintenanceWindow declares a time in which the selected activities pause and nobody is paged for them.",
    printcolumn(name = "Active", type_ = "boolean", json_path = ".status.active"),
    printcolumn(name = "Start", type_ = "string", json_path = ".spec.startTime"),
    printcolumn(name = "End", type_ = "string", json_path = ".spec.endTime"),
    printcolumn(
        name = "Recurrence",
        type_ = "string",
        json_path = ".spec.recurrence.cron"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".spec.reason",
        priority = 1
    ),
    printcolumn(name = "Approved By", type_ = "string", json_path = ".spec.approvedBy"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.recurrence) != (has(self.startTime) && has(self.endTime))",
        "message": "set either startTime and endTime, or recurrence",
    },
    {
        "rule": "!has(self.startTime) || !has(self.endTime) || self.startTime < self.endTime",
        "message": "spec.endTime must be after spec.startTime",
    },
]))]
pub struct MaintenanceWindowSpec {
    /// When the window opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<DateTime<Utc>>,

    /// When the window closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<DateTime<Utc>>,

    /// A window that opens again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<RecurrenceSpec>,

    /// Which definitions of this namespace pause, by their labels. An empty selector selects all.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::any_object")]
    pub selector: LabelSelector,

    /// Why, for whoever reads the pause note in Temporal or the skipped runs.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,

    /// Who approved it.
    #[schemars(length(min = 1, max = 253))]
    pub approved_by: String,
}

/// A window that opens again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecurrenceSpec {
    /// When it opens, as a cron expression.
    #[schemars(length(min = 1, max = 256))]
    pub cron: String,

    /// The IANA time zone of the expression.
    #[serde(default = "utc")]
    #[schemars(default = "utc", length(min = 1, max = 64))]
    pub timezone: String,

    /// How long it stays open, in seconds.
    #[schemars(range(min = 1, max = 2_592_000))]
    pub duration_seconds: i64,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What the operator observed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindowStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Whether the window is open now.
    #[serde(default)]
    pub active: bool,

    /// Where the window stands; see each condition's message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
}

impl MaintenanceWindowSpec {
    /// The validated window.
    pub fn validate(&self) -> Result<Window, InvalidDefinition> {
        let refused = |field: &str, problem: &str| InvalidDefinition::Field {
            field: field.to_owned(),
            problem: problem.to_owned(),
        };
        match (&self.recurrence, self.start_time, self.end_time) {
            (None, Some(start), Some(end)) if start < end => Ok(Window::Once { start, end }),
            (None, Some(_), Some(_)) => Err(refused("endTime", "must be after startTime")),
            (Some(recurrence), None, None) => Ok(Window::Recurring {
                opens: CronSchedule {
                    expression: CronExpression::parse(&recurrence.cron)?,
                    time_zone: TimeZone::parse(&recurrence.timezone)?,
                    start: None,
                    end: None,
                },
                duration: Duration::try_seconds(recurrence.duration_seconds)
                    .filter(|duration| *duration > Duration::zero())
                    .ok_or_else(|| refused("recurrence.durationSeconds", "must be positive"))?,
            }),
            _ => Err(refused(
                "startTime",
                "set either startTime and endTime, or recurrence",
            )),
        }
    }
}
