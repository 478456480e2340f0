//! issue-core's issues, as far as we write and read them.
//!
//! `GET /issues/?external_id=…` looks, `POST /issues/` creates, `POST /issues/?dry_run=true`
//! checks the body without creating anything.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The body of `POST /issues/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewIssue {
    /// Our name for the task, `<run id>/<its number>`; the same one twice is one issue.
    pub external_id: String,
    /// One line for people.
    pub title: String,
    /// What is to be done.
    #[serde(default)]
    pub description: String,
    /// How urgent it is, in issue-core's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Where the task comes from.
    pub metadata: IssueMetadata,
}

/// The `metadata` of an issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueMetadata {
    /// The run that found the task.
    pub activity_core_run_id: Uuid,
    /// The activity's id.
    pub activity_id: Uuid,
}

/// An issue in the answer to `GET /issues/` and `POST /issues/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Issue {
    /// issue-core's id: a number or a text.
    pub id: Value,
    /// Our name for it.
    #[serde(default)]
    pub external_id: Option<String>,
}

impl Issue {
    /// The id as text.
    pub fn id_text(&self) -> String {
        self.id
            .as_str()
            .map_or_else(|| self.id.to_string(), str::to_owned)
    }
}
