//! Feedback on runs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The body of `POST /activity-definitions/{id}/runs/{run_id}/feedback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFeedback {
    /// What is wrong with the report.
    pub kind: FeedbackKind,
    /// The same in your words; needed with `Other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        example = "Three of the five recommendations were parked on purpose.",
        min_length = 1,
        max_length = 4000
    )]
    pub comment: Option<String>,
}

/// What is wrong with a report that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum FeedbackKind {
    /// It recommends what nobody needs to do.
    Noisy,
    /// It says too much.
    TooLong,
    /// It leaves out what should have been told.
    UnderSensitive,
    /// Something else; the comment says what.
    Other,
}

impl From<FeedbackKind> for domain::FeedbackKind {
    fn from(kind: FeedbackKind) -> Self {
        match kind {
            FeedbackKind::Noisy => Self::Noisy,
            FeedbackKind::TooLong => Self::TooLong,
            FeedbackKind::UnderSensitive => Self::UnderSensitive,
            FeedbackKind::Other => Self::Other,
        }
    }
}

impl From<domain::FeedbackKind> for FeedbackKind {
    fn from(kind: domain::FeedbackKind) -> Self {
        match kind {
            domain::FeedbackKind::Noisy => Self::Noisy,
            domain::FeedbackKind::TooLong => Self::TooLong,
            domain::FeedbackKind::UnderSensitive => Self::UnderSensitive,
            domain::FeedbackKind::Other => Self::Other,
        }
    }
}

/// Feedback on a run, as every answer shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Feedback {
    /// Its id.
    pub id: Uuid,
    /// The run that it is about (`activity_core_run_id`).
    pub run_id: Uuid,
    /// What is wrong with the report.
    pub kind: FeedbackKind,
    /// The same in the author's words.
    pub comment: Option<String>,
    /// Who says so, as Kubernetes knows them; null where nobody asks who calls.
    pub author: Option<String>,
    /// When it was given.
    pub created_at: DateTime<Utc>,
    /// How the progress note in State Hub stands.
    pub note: Note,
    /// When State Hub had the note.
    pub note_sent_at: Option<DateTime<Utc>>,
    /// Why the last try to send the note failed.
    pub note_error: Option<String>,
}

/// How the progress note stands that feedback becomes in State Hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Note {
    /// State Hub has it.
    Sent,
    /// It is on its way, and is tried until State Hub has it.
    Pending,
    /// There is no State Hub (STATE_HUB_URL is not set): the feedback is kept here only, and the
    /// note is sent once there is one.
    NotConfigured,
}

/// The answer to `GET /activity-definitions/{id}/runs/{run_id}/feedback`, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeedbackList {
    /// The feedback; at most 1,000.
    pub items: Vec<Feedback>,
}
