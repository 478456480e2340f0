//! Progress notes: entries in State Hub that tell people something, and page nobody.

use contracts::state_hub::{IDEMPOTENCY_KEY, NewProgress, Progress};
use domain::RunId;
use domain::verification::Seen;
use runtime::describe;
use serde_json::Value;

use crate::StateHub;
use crate::state_hub::{read_bounded, refuse_failure};

/// The field of a note's detail that tells it apart from other notes on the same run.
const NOTE_ID: &str = "note_id";

/// A note that State Hub has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// It was entered by this call; its id, where State Hub says it.
    Now(Option<String>),
    /// It was there before; its id.
    Before(String),
}

impl Noted {
    /// State Hub's id of the note.
    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::Now(id) => id.as_deref(),
            Self::Before(id) => Some(id),
        }
    }
}

impl StateHub {
    /// Enters a note, unless it is there already. `note_id` is its identity: it goes into the
    /// note's detail, and with the call as its idempotency key. May be repeated.
    pub async fn leave_note(&self, mut note: NewProgress, note_id: &str) -> Seen<Noted> {
        let run = RunId::new(note.detail.activity_core_run_id);
        let entries = self.progress(&note.event_type, run).await?;
        let before = entries.into_iter().find(|entry| {
            entry.event_type == note.event_type
                && entry.detail.get(NOTE_ID).and_then(Value::as_str) == Some(note_id)
        });
        if let Some(entry) = before {
            return Ok(Noted::Before(entry.id));
        }
        note.detail.more.insert(NOTE_ID.to_owned(), note_id.into());
        let answer = self.post("progress/", &note, note_id).await?;
        refuse_failure(&answer, "POST /progress/")?;
        // The note is there, whatever the answer's body looks like.
        let body = read_bounded(answer).await.unwrap_or_default();
        let entry: Option<Progress> = serde_json::from_slice(&body).ok();
        Ok(Noted::Now(entry.map(|entry| entry.id)))
    }

    async fn post(
        &self,
        path: &str,
        body: &NewProgress,
        idempotency_key: &str,
    ) -> Seen<reqwest::Response> {
        let url = self.base.join(path).map_err(|error| describe(&error))?;
        self.client
            .post(url)
            .header(IDEMPOTENCY_KEY, idempotency_key)
            .json(body)
            .send()
            .await
            .map_err(|error| self.unreachable(error))
    }
}
