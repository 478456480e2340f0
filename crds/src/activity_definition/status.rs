//! The status of an `ActivityDefinition`, which the operator writes.

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What the operator observed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivityDefinitionStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The activity's id, settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity_id: Option<Uuid>,

    /// The id of the Temporal Schedule, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_id: Option<String>,

    /// The next expected run, computed from the spec and not from Temporal. Where a run does not
    /// begin, its time stays here for one to two minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run_time: Option<DateTime<Utc>>,

    /// The last run that the ledger knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<LastRun>,

    /// Expected runs that are missing, as far back as the ledger reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_runs: Option<i64>,

    /// Expected runs that were left out by a policy, a pause or a maintenance window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_runs: Option<i64>,

    /// The request id of the annotation activity-core.io/trigger that was carried out last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_trigger: Option<String>,

    /// The answer to the annotation activity-core.io/reconcile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile: Option<HandledReconcile>,

    /// Where the definition stands; see each condition's message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// What came of a reconcile that was asked for by the annotation activity-core.io/reconcile. What
/// no definition declares was swept before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HandledReconcile {
    /// The annotation's value.
    pub token: String,

    /// What was done to the Temporal Schedule: Created, CreatedPaused, Updated, Paused, Resumed,
    /// Deleted, Unchanged, Refused (the definition is not carried out) or Failed (Temporal refuses
    /// it). There is no answer while Temporal or Postgres is away.
    pub schedule: String,

    /// What was done to the Postgres mirror: Created, Updated, Unchanged or Refused.
    pub mirror: String,
}

/// The last run that the ledger knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    /// The run's id (activity_core_run_id).
    pub run_id: Uuid,

    /// Its nominal time, if the clock started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_for: Option<DateTime<Utc>>,

    /// When it really began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired_at: Option<DateTime<Utc>>,

    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<DateTime<Utc>>,

    /// How it stands: Running, Succeeded, Failed, SkippedOverlap, SkippedMaintenance,
    /// SkippedDisabled or Missed.
    pub result: String,
}
