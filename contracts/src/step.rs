//! The payloads between a run's workflow and its activities.
//!
//! They are recorded in Temporal's histories, so fields are only ever added, with a default. None
//! of them holds a report: reports go through Postgres, because histories are limited in size.

use chrono::{DateTime, Utc};
use domain::TriggerKey;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::workflow::{NoNominalTime, RunRequest};

/// A run, as the workflow knows it from the first moment on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStart {
    /// What was asked for.
    pub request: RunRequest,
    /// The workflow's id.
    pub workflow_id: String,
    /// The workflow's run id in Temporal.
    pub workflow_run_id: String,
    /// When the workflow started.
    pub fired_at: DateTime<Utc>,
}

impl RunStart {
    /// The key of the trigger.
    pub fn trigger_key(&self) -> Result<TriggerKey, NoNominalTime> {
        self.request.trigger_key(&self.workflow_id)
    }
}

/// What a run is going to do, as the definition said when it began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunPlan {
    /// How the run ended when another workflow carried it out, which Temporal has forgotten since;
    /// there is nothing left to do. `None` when it is this workflow's run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_before: Option<String>,
    /// Why the run can't do anything; `None` when it can.
    #[serde(default)]
    pub refusal: Option<String>,
    /// The definition's tier by name; `None` when there is no definition.
    #[serde(default)]
    pub tier: Option<String>,
    /// How long one try of the instruction may take, in seconds; `None` without an instruction.
    #[serde(default)]
    pub instruction_seconds: Option<u64>,
    /// The report sinks.
    #[serde(default)]
    pub reports: Vec<ReportStep>,
    /// How long one try of filing the tasks may take, in seconds; `None` when none are filed.
    #[serde(default)]
    pub tasks_seconds: Option<u64>,
}

/// One report sink in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportStep {
    /// The sink's name in the definition.
    pub name: String,
    /// What kind of sink it is: stateHub, workingMemory or webhook.
    pub kind: String,
    /// How long one try may take, in seconds.
    pub timeout_seconds: u64,
}

/// The answer of the instruction step: what it took, and not what came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstructionReceipt {
    /// The size of the stored report in bytes.
    pub report_bytes: u64,
    /// Whether an earlier try had stored the report already, so that nobody was asked.
    pub from_earlier_try: bool,
}

/// The input of the step that hands the report to one sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliverReport {
    /// The run.
    pub run_id: Uuid,
    /// The activity.
    pub activity_id: Uuid,
    /// The sink's name in the definition.
    pub sink: String,
    /// What kind of sink it is.
    pub kind: String,
    /// The trace that the run belongs to.
    #[serde(default)]
    pub trace_id: Option<String>,
}

/// The input of the step that files the tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmitTasks {
    /// The run.
    pub run_id: Uuid,
    /// The activity.
    pub activity_id: Uuid,
    /// The trace that the run belongs to.
    #[serde(default)]
    pub trace_id: Option<String>,
}

/// The answer of a step that delivers something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryReceipt {
    /// A [`domain::DeliveryResult`] by name.
    pub result: String,
    /// The sink's own name for what was delivered.
    #[serde(default)]
    pub external_reference: Option<String>,
}

/// The input of the step that enters a run's outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndRun {
    /// The run.
    pub start: RunStart,
    /// The definition's tier by name, if it was seen.
    #[serde(default)]
    pub tier: Option<String>,
    /// Why the run failed; `None` when it succeeded.
    #[serde(default)]
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_shapes_in_recorded_histories_stay_readable() {
        let plan = json!({
            "refusal": null, "tier": "Critical", "instructionSeconds": 300,
            "reports": [{"name": "hub", "kind": "stateHub", "timeoutSeconds": 30}],
            "tasksSeconds": 60,
        });
        let read: RunPlan = serde_json::from_value(plan.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), plan);

        let receipt = json!({"result": "Delivered", "externalReference": "p1"});
        let read: DeliveryReceipt = serde_json::from_value(receipt.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), receipt);

        let deliver = json!({
            "runId": "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f",
            "activityId": "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e70",
            "sink": "hub", "kind": "stateHub", "traceId": null,
        });
        let read: DeliverReport = serde_json::from_value(deliver.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), deliver);
    }
}
