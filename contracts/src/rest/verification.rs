//! "Did the run of this day happen?", answered.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The answer to `GET /activity-definitions/{id}/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// The activity's id.
    pub activity_id: Uuid,
    /// The name that people use.
    pub name: String,
    /// The Kubernetes namespace of the custom resource.
    pub namespace: String,
    /// The day, in `time_zone`.
    pub date: NaiveDate,
    /// The IANA name of the definition's time zone; UTC where it has none.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
    /// All checks in one word.
    pub result: VerificationResult,
    /// What was expected on that day, in a sentence.
    #[schema(example = "1 run was expected, at 2026-11-24 09:00:00 CET")]
    pub expectation: String,
    /// The six checks, in the order in which they are looked at.
    #[schema(min_items = 6, max_items = 6)]
    pub checks: Vec<VerificationCheck>,
}

/// All checks in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum VerificationResult {
    /// Every check is ok or n/a.
    Verified,
    /// No run was due on that day, or not yet, and nothing else is wrong.
    NotDue,
    /// At least one check failed.
    Failed,
    /// No check failed, but a system could not be looked at. Unknown is never ok.
    Unknown,
}

/// One condition and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerificationCheck {
    /// Which condition: schedule, workflow, ledger, progress, workingMemory or timeBudget.
    #[schema(example = "ledger")]
    pub condition: String,
    /// The answer.
    pub verdict: VerificationVerdict,
    /// What was seen, for people. The words may change.
    pub detail: String,
}

/// The answer to one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum VerificationVerdict {
    /// The condition holds.
    #[serde(rename = "ok")]
    Ok,
    /// The definition asks for nothing that this condition could be about.
    #[serde(rename = "n/a")]
    NotApplicable,
    /// The condition does not hold.
    #[serde(rename = "FAILED")]
    Failed,
    /// It could not be looked at.
    #[serde(rename = "unknown")]
    Unknown,
}

impl From<domain::verification::Verdict> for VerificationVerdict {
    fn from(verdict: domain::verification::Verdict) -> Self {
        use domain::verification::Verdict;
        match verdict {
            Verdict::Ok => Self::Ok,
            Verdict::NotApplicable => Self::NotApplicable,
            Verdict::Failed => Self::Failed,
            Verdict::Unknown => Self::Unknown,
        }
    }
}
