//! An event as routing sees it, whichever envelope it came in.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::TriggerKey;

/// One event, taken out of its envelope.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The publisher's id; unique together with `source`.
    pub event_id: String,
    /// What happened, for example `user.created`. Definitions subscribe to it.
    pub event_type: String,
    /// Who published it.
    pub source: String,
    /// When it happened, by the publisher's clock.
    pub occurred_at: DateTime<Utc>,
    /// What it happened to, for example `user/42`.
    pub subject: Option<String>,
    /// The trace it belongs to.
    pub trace_id: Option<String>,
    /// What the publisher says about it. Filters and conditions look in here.
    pub payload: Value,
}

impl Event {
    /// The trigger that this event is, for whichever definition it matches.
    pub fn trigger_key(&self) -> TriggerKey {
        TriggerKey::Event {
            source: self.source.clone(),
            event_id: self.event_id.clone(),
        }
    }
}
