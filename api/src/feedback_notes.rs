//! Sends feedback on runs to State Hub, as progress notes.
//!
//! The ledger holds what is to be sent, so nothing is lost when the process ends. Every replica
//! does this; which of them takes a note is settled in Postgres.

use std::sync::Arc;
use std::time::Duration;

use audit::{Noted, StateHub};
use contracts::names::FEEDBACK_EVENT_TYPE;
use contracts::state_hub::{NewProgress, ProgressDetail};
use domain::FeedbackKind;
use domain::verification::Seen;
use runtime::Shutdown;
use serde_json::{Map, Value, json};
use store::{Feedback, Store};
use tokio::sync::Notify;

use crate::metrics::NoteMetrics;

/// How many notes are taken at once.
const BATCH: u16 = 20;

/// How often is looked for notes when nobody says that there is one: those that failed, and those
/// of a replica that ended.
const INTERVAL: Duration = Duration::from_secs(15);

/// When a note is tried again; doubled with every try. Longer than one try may take.
const FIRST_DELAY: Duration = Duration::from_secs(30);

/// The longest time between two tries.
const LONGEST_DELAY: Duration = Duration::from_mins(10);

/// The longest beginning of a comment that stands in a note's summary, in characters.
const LONGEST_EXCERPT: usize = 120;

/// Tells the sender that there is something to send. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Notes {
    state_hub: Seen<StateHub>,
    waker: Arc<Notify>,
}

impl Notes {
    pub(crate) fn new(state_hub: Seen<StateHub>) -> Self {
        Self {
            state_hub,
            waker: Arc::default(),
        }
    }

    /// Whether there is a State Hub to send notes to.
    pub(crate) const fn are_sent(&self) -> bool {
        self.state_hub.is_ok()
    }

    /// There is something to send.
    pub(crate) fn wake(&self) {
        self.waker.notify_one();
    }

    /// Sends what is due until the process is to stop; returns at once where there is no State
    /// Hub.
    pub(crate) async fn send_all(self, store: Store, metrics: NoteMetrics, shutdown: Shutdown) {
        let Ok(state_hub) = &self.state_hub else {
            return;
        };
        loop {
            match send_due(&store, state_hub, &metrics).await {
                // There may be more.
                Ok(sent) if sent == usize::from(BATCH) && !shutdown.has_begun() => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(
                    error = runtime::describe(&error),
                    "unable to look for feedback that is to be sent"
                ),
            }
            tokio::select! {
                () = shutdown.begun() => return,
                () = self.waker.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }
}

/// Sends the notes that are due, a batch at most, and says how many were tried.
async fn send_due(
    store: &Store,
    state_hub: &StateHub,
    metrics: &NoteMetrics,
) -> Result<usize, store::Error> {
    let due = store
        .take_due_notes(BATCH, FIRST_DELAY, LONGEST_DELAY)
        .await?;
    for feedback in &due {
        let id = feedback.id.to_string();
        match state_hub.leave_note(note(feedback), &id).await {
            Ok(noted) => {
                store.note_sent(feedback.id, noted.reference()).await?;
                metrics.count(match noted {
                    Noted::Now(_) => "sent",
                    Noted::Before(_) => "exists",
                });
                tracing::info!(feedback = id, run = %feedback.run, "told State Hub of feedback");
            }
            Err(problem) => {
                store.note_failed(feedback.id, &problem).await?;
                metrics.count("failed");
                tracing::warn!(
                    feedback = id,
                    problem,
                    "unable to tell State Hub of feedback"
                );
            }
        }
    }
    Ok(due.len())
}

/// The note that feedback becomes.
fn note(feedback: &Feedback) -> NewProgress {
    let more = json!({
        "activity_name": feedback.activity_name,
        "kind": feedback.kind.as_str(),
        "comment": feedback.comment,
        "author": feedback.author,
        "given_at": feedback.created_at,
    });
    NewProgress {
        event_type: FEEDBACK_EVENT_TYPE.to_owned(),
        summary: summary(feedback),
        detail: ProgressDetail {
            activity_core_run_id: feedback.run.as_uuid(),
            activity_id: Some(feedback.activity.as_uuid()),
            report: None,
            more: match more {
                Value::Object(more) => more,
                _ => Map::new(),
            },
        },
    }
}

/// One line for people.
fn summary(feedback: &Feedback) -> String {
    let name = &feedback.activity_name;
    let comment = feedback.comment.as_deref().unwrap_or_default();
    let line = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut excerpt: String = line.chars().take(LONGEST_EXCERPT).collect();
    if excerpt.len() < line.len() {
        excerpt.push('…');
    }
    match (feedback.kind, excerpt.is_empty()) {
        (FeedbackKind::Other, _) => format!("{name}: {excerpt}"),
        (kind, true) => format!("{name}: the report was {}", kind.in_words()),
        (kind, false) => format!("{name}: the report was {}: {excerpt}", kind.in_words()),
    }
}

#[cfg(test)]
mod tests {
    use domain::{ActivityId, RunId};
    use uuid::Uuid;

    use super::*;

    fn feedback(kind: FeedbackKind, comment: Option<&str>) -> Feedback {
        Feedback {
            id: Uuid::from_u128(3),
            run: RunId::new(Uuid::from_u128(1)),
            activity: ActivityId::new(Uuid::from_u128(2)),
            activity_name: "daily-triage".into(),
            kind,
            comment: comment.map(str::to_owned),
            author: Some("ada".into()),
            created_at: "2026-11-24T09:30:00Z".parse().unwrap(),
            note_sent_at: None,
            note_error: None,
        }
    }

    #[test]
    fn a_note_says_which_run_it_is_about_and_what_is_wrong() {
        let note = serde_json::to_value(note(&feedback(FeedbackKind::TooLong, None))).unwrap();
        assert_eq!(note["event_type"], "calibration_feedback");
        assert_eq!(note["summary"], "daily-triage: the report was too long");
        let detail = &note["detail"];
        assert_eq!(
            detail["activity_core_run_id"],
            Uuid::from_u128(1).to_string()
        );
        assert_eq!(detail["kind"], "TooLong");
        assert_eq!(detail["author"], "ada");
    }

    #[test]
    fn a_summary_is_one_line_of_bounded_length() {
        let long = "very ".repeat(100) + "\nlong";
        let text = summary(&feedback(FeedbackKind::Other, Some(&long)));
        assert!(text.chars().count() < 150, "{text}");
        assert!(!text.contains('\n') && text.ends_with('…'), "{text}");
    }
}
