//! A dead letter as it is read off its stream, and how it is shown.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use contracts::dead_letter::{Reason, headers};
use contracts::event::Received;
use contracts::workflow::format_time;
use domain::Event;
use serde::Serialize;
use serde_json::Value;

use crate::nats::Stored;

/// What begins the headers that the router adds.
const OURS: &str = "activity-core-";

/// What begins the headers that NATS acts on.
const OF_NATS: &str = "nats-";

/// A dead letter.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    /// Its sequence on the stream of dead letters.
    pub(super) sequence: u64,
    /// When it was put aside, to the second.
    pub(super) at: DateTime<Utc>,
    /// When its stream took it in, by the server's clock.
    pub(super) stored_at: DateTime<Utc>,
    /// Its reason by name.
    pub(super) reason: String,
    pub(super) error: String,
    pub(super) definitions: Vec<String>,
    pub(super) original: Original,
    /// Whether the event is to be found in its own stream only.
    pub(super) body_omitted: bool,
    /// The event, if it can be read.
    pub(super) event: Option<Event>,
    /// The headers that the event came with, without those that NATS acts on.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Where the event came from.
#[derive(Debug, Clone, Default)]
pub(super) struct Original {
    pub(super) subject: String,
    pub(super) stream: Option<String>,
    pub(super) sequence: Option<u64>,
    pub(super) message_id: Option<String>,
}

impl Letter {
    /// Reads a message of the stream of dead letters. What is missing in it is left empty: it must
    /// be possible to look at anything that lies there.
    pub(super) fn of(stored: Stored) -> Self {
        let all = stored.event_headers();
        let own: Vec<(String, String)> = stored
            .headers
            .iter()
            .filter(|(name, _)| {
                let name = name.to_ascii_lowercase();
                !name.starts_with(OURS) && !name.starts_with(OF_NATS)
            })
            .cloned()
            .collect();
        let text = |name: &str| all.get(name).map(str::to_owned);
        let body_omitted = all.get(headers::BODY_OMITTED) == Some("true");
        let own_headers = own.iter().map(|(name, value)| (name, value.as_str()));
        let event = contracts::event::read(&Received {
            body: &stored.body,
            headers: &own_headers.collect(),
            at: stored.at,
        });
        let definitions = text(headers::DEFINITIONS).unwrap_or_default();
        Self {
            sequence: stored.sequence,
            at: text(headers::DEAD_LETTERED_AT)
                .and_then(|at| at.parse().ok())
                .unwrap_or(stored.at),
            stored_at: stored.at,
            reason: text(headers::REASON).unwrap_or_default(),
            error: text(headers::ERROR).unwrap_or_default(),
            definitions: definitions
                .split(", ")
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            original: Original {
                subject: text(headers::ORIGINAL_SUBJECT).unwrap_or_default(),
                stream: text(headers::ORIGINAL_STREAM),
                sequence: text(headers::ORIGINAL_SEQUENCE).and_then(|text| text.parse().ok()),
                message_id: text(headers::ORIGINAL_MESSAGE_ID),
            },
            body_omitted,
            event: event.ok(),
            headers: own,
            body: stored.body,
        }
    }

    /// The letter in short.
    pub(super) fn view(&self) -> LetterView {
        let event = self.event.as_ref();
        LetterView {
            sequence: self.sequence,
            dead_lettered_at: format_time(self.at),
            reason: self.reason.clone(),
            error: self.error.clone(),
            definitions: self.definitions.clone(),
            event_id: event.map(|event| event.event_id.clone()),
            event_type: event.map(|event| event.event_type.clone()),
            source: event.map(|event| event.source.clone()),
            subject: event.and_then(|event| event.subject.clone()),
            original_subject: self.original.subject.clone(),
            original_stream: self.original.stream.clone(),
            original_sequence: self.original.sequence,
            original_message_id: self.original.message_id.clone(),
            body_omitted: self.body_omitted,
        }
    }

    /// The letter with everything that it holds.
    pub(super) fn whole(&self) -> WholeLetter {
        let body = match std::str::from_utf8(&self.body) {
            Err(_) => Body::Base64(STANDARD.encode(&self.body)),
            Ok(text) => match serde_json::from_str(text) {
                Ok(value) => Body::Json(value),
                Err(_) => Body::Text(text.to_owned()),
            },
        };
        WholeLetter {
            letter: self.view(),
            headers: self.headers.clone(),
            body,
        }
    }
}

/// Which dead letters are meant. An empty list leaves all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter<'words> {
    pub(super) reasons: &'words [Reason],
    pub(super) types: &'words [String],
    pub(super) since: Option<DateTime<Utc>>,
}

impl Filter<'_> {
    /// Whether the letter is one of those.
    pub(super) fn keeps(&self, letter: &Letter) -> bool {
        let has_reason = |reason: &Reason| reason.as_str() == letter.reason;
        let has_type = |wanted: &String| {
            let event = letter.event.as_ref();
            event.is_some_and(|event| event.event_type == *wanted)
        };
        (self.reasons.is_empty() || self.reasons.iter().any(has_reason))
            && (self.types.is_empty() || self.types.iter().any(has_type))
            && self.since.is_none_or(|since| letter.at >= since)
    }
}

/// A dead letter, in the shape that `-o json` promises.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LetterView {
    sequence: u64,
    dead_lettered_at: String,
    reason: String,
    error: String,
    definitions: Vec<String>,
    /// `null`, like the three after it, when the event can't be read.
    event_id: Option<String>,
    event_type: Option<String>,
    source: Option<String>,
    subject: Option<String>,
    original_subject: String,
    original_stream: Option<String>,
    original_sequence: Option<u64>,
    original_message_id: Option<String>,
    body_omitted: bool,
}

/// A dead letter with everything, in the shape that `-o json` promises.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WholeLetter {
    #[serde(flatten)]
    letter: LetterView,
    headers: Vec<(String, String)>,
    #[serde(flatten)]
    body: Body,
}

/// The event as it came.
#[derive(Debug, Clone, Serialize)]
enum Body {
    #[serde(rename = "body")]
    Json(Value),
    #[serde(rename = "bodyText")]
    Text(String),
    #[serde(rename = "bodyBase64")]
    Base64(String),
}

impl fmt::Display for WholeLetter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = &self.letter;
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let original_sequence = letter
            .original_sequence
            .map(|sequence| sequence.to_string());
        for (name, value) in [
            ("Dead letter", letter.sequence.to_string()),
            ("Since", letter.dead_lettered_at.clone()),
            ("Reason", letter.reason.clone()),
            ("Error", letter.error.clone()),
            ("Definitions", letter.definitions.join(", ")),
            ("Event", known(&letter.event_id)),
            ("Type", known(&letter.event_type)),
            ("Source", known(&letter.source)),
            ("Subject", known(&letter.subject)),
            ("Came on", letter.original_subject.clone()),
            (
                "As",
                format!(
                    "{} {}",
                    known(&letter.original_stream),
                    known(&original_sequence)
                ),
            ),
        ] {
            writeln!(formatter, "{:<16} {value}", format!("{name}:"))?;
        }
        for (name, value) in &self.headers {
            writeln!(formatter, "{:<16} {name}: {value}", "Header:")?;
        }
        writeln!(formatter)?;
        match &self.body {
            _ if letter.body_omitted => writeln!(
                formatter,
                "The event is too large to lie here; it is at its place in its own stream."
            ),
            Body::Json(value) => writeln!(formatter, "{value:#}"),
            Body::Text(text) => writeln!(formatter, "{text}"),
            Body::Base64(text) => writeln!(formatter, "(Base64) {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(reason: &str, body: &[u8]) -> Letter {
        let headers = [
            ("Activity-Core-Reason", reason),
            ("Activity-Core-Error", "team/a: condition: no such key"),
            ("Activity-Core-Definitions", "team/a, team/b"),
            ("Activity-Core-Original-Subject", "activity.user.created"),
            ("Activity-Core-Original-Sequence", "42"),
            ("Activity-Core-Dead-Lettered-At", "2026-11-24T09:00:00Z"),
            ("Nats-Msg-Id", "ACTIVITY_EVENTS/42/7/ConditionError"),
            ("traceparent", "00-abc"),
        ];
        Letter::of(Stored {
            sequence: 7,
            at: DateTime::UNIX_EPOCH,
            subject: "activity-dlq.activity.user.created".to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            body: body.to_vec(),
        })
    }

    const EVENT: &[u8] = br#"{"event_id": "1", "type": "user.created", "source": "users",
        "occurred_at": "2026-11-24T09:00:00Z", "payload": {}}"#;

    #[test]
    fn a_letter_is_the_event_and_what_the_router_says_about_it() {
        let letter = letter("ConditionError", EVENT);
        assert_eq!(letter.original.sequence, Some(42));
        assert_eq!(letter.definitions, ["team/a", "team/b"]);
        assert_eq!(
            letter.headers,
            [("traceparent".to_owned(), "00-abc".to_owned())]
        );
        let json = serde_json::to_value(letter.whole()).unwrap();
        assert_eq!(json["eventType"], "user.created");
        assert_eq!(json["deadLetteredAt"], "2026-11-24T09:00:00Z");
        assert_eq!(json["body"]["source"], "users");
    }

    #[test]
    fn an_event_that_cannot_be_read_is_shown_as_it_came() {
        let text = letter("InvalidEnvelope", b"{").whole();
        assert_eq!(serde_json::to_value(text).unwrap()["bodyText"], "{");
        let bytes = letter("InvalidEnvelope", &[0xff]).whole();
        assert_eq!(serde_json::to_value(bytes).unwrap()["bodyBase64"], "/w==");
    }

    #[test]
    fn a_filter_leaves_what_satisfies_all_of_it() {
        let readable = letter("ConditionError", EVENT);
        let unreadable = letter("InvalidEnvelope", b"{");
        let keeps = |reasons: &[Reason], types: &[&str], since: Option<&str>| {
            let types: Vec<String> = types.iter().map(|&name| name.to_owned()).collect();
            let filter = Filter {
                reasons,
                types: &types,
                since: since.map(|since| since.parse().unwrap()),
            };
            (filter.keeps(&readable), filter.keeps(&unreadable))
        };
        assert_eq!(keeps(&[], &[], None), (true, true));
        assert_eq!(keeps(&[Reason::ConditionError], &[], None), (true, false));
        assert_eq!(keeps(&[], &["user.created"], None), (true, false));
        assert_eq!(keeps(&[], &["user.deleted"], None), (false, false));
        let after = Some("2026-11-24T09:00:01Z");
        assert_eq!(keeps(&[], &[], after), (false, false));
    }
}
