//! State Hub's progress entries, as far as we write and read them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The header that makes a repeated POST harmless.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The body of `POST /progress/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewProgress {
    /// What kind of entry it is, for example `daily_triage`.
    pub event_type: String,
    /// One line for people.
    pub summary: String,
    /// Which run it is about, and what came out.
    pub detail: ProgressDetail,
}

/// The `detail` of a progress entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgressDetail {
    /// The run that the entry proves.
    pub activity_core_run_id: Uuid,
    /// The activity's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity_id: Option<Uuid>,
    /// The report, if the activity has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// Anything else.
    #[serde(flatten)]
    pub more: serde_json::Map<String, Value>,
}

/// An entry of the answer to `GET /progress/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// State Hub's id of the entry.
    pub id: String,
    /// What kind of entry it is.
    pub event_type: String,
    /// One line for people.
    #[serde(default)]
    pub summary: Option<String>,
    /// Whatever was put in; entries of others have other details.
    #[serde(default)]
    pub detail: Value,
}

impl Progress {
    /// The run that the entry is about, if it is about one of ours.
    pub fn run_id(&self) -> Option<Uuid> {
        self.detail
            .get("activity_core_run_id")?
            .as_str()?
            .parse()
            .ok()
    }
}
