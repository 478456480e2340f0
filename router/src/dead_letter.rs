//! Writes dead letters: what can't be routed is put aside with its reason, and is never dropped.
//!
//! An event is acknowledged only after its dead letter is stored. Between the two a router can be
//! killed, and then the event comes again; so a dead letter carries an id made of the event's
//! place in its stream, by which the server stores it once.

use std::collections::BTreeSet;
use std::str::FromStr as _;
use std::time::Duration;

use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use async_nats::jetstream;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use chrono::{DateTime, Utc};
use contracts::dead_letter::{self, Reason, headers};
use contracts::names;
use contracts::workflow::format_time;
use routing::Problem;
use runtime::describe;

use crate::gate::{Attempt, Gate};
use crate::origin::Origin;
use crate::streams::{self, StreamKind};

/// How long one try of storing a dead letter may take.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// The most characters of an error that a header holds.
const LONGEST_ERROR: usize = 4096;

/// Headers that NATS acts on. Copied, they would be obeyed once more: an expected stream would
/// have the dead letter refused for ever, a time to live would let it vanish, a rollup would take
/// every other dead letter with it.
const RESERVED_PREFIX: &str = "nats-";

/// The publisher's id of a message, by which a stream dedupes.
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// An event that is put aside.
#[derive(Debug)]
pub(crate) struct DeadLetter<'event> {
    /// Where the event came from.
    pub(crate) origin: &'event Origin,
    /// The event as it came.
    pub(crate) message: &'event async_nats::Message,
    /// Why it is put aside; at least one problem.
    pub(crate) problems: &'event [Problem],
    /// When.
    pub(crate) at: DateTime<Utc>,
}

impl DeadLetter<'_> {
    /// The first problem's kind; the error names them all.
    pub(crate) fn reason(&self) -> Reason {
        self.problems
            .first()
            .map_or(Reason::InvalidEnvelope, |problem| problem.reason)
    }

    /// Everything that is wrong, in one line.
    pub(crate) fn error(&self) -> String {
        let problems: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        problems.join("; ")
    }

    /// The same for every delivery of the same event and reason, and for nothing else.
    fn id(&self) -> String {
        let Origin { stream, place, .. } = self.origin;
        format!(
            "{stream}/{}/{}/{}",
            place.sequence,
            place.published_nanoseconds,
            self.reason()
        )
    }

    fn own_headers(&self) -> HeaderMap {
        let definitions: BTreeSet<String> = self
            .problems
            .iter()
            .filter_map(|problem| problem.about.object())
            .map(ToString::to_string)
            .collect();
        let definitions: Vec<String> = definitions.into_iter().collect();
        let publishers_id = self.message.headers.as_ref();
        let publishers_id = publishers_id.and_then(|headers| headers.get(MESSAGE_ID));
        let mut map = HeaderMap::new();
        for (name, value) in [
            (MESSAGE_ID, self.id()),
            (headers::REASON, self.reason().to_string()),
            (headers::ERROR, self.error()),
            (headers::DEFINITIONS, definitions.join(", ")),
            (headers::ORIGINAL_SUBJECT, self.origin.subject.clone()),
            (
                headers::ORIGINAL_SEQUENCE,
                self.origin.place.sequence.to_string(),
            ),
            (headers::ORIGINAL_STREAM, self.origin.stream.clone()),
            (
                headers::ORIGINAL_MESSAGE_ID,
                publishers_id.map(ToString::to_string).unwrap_or_default(),
            ),
            (headers::DEAD_LETTERED_AT, format_time(self.at)),
        ] {
            if !value.is_empty() {
                map.insert(name, one_line(&value));
            }
        }
        map
    }

    /// The event's own headers, overlaid with ours.
    fn headers(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, values) in self.message.headers.iter().flat_map(HeaderMap::iter) {
            if is_reserved(name) {
                continue;
            }
            for value in values {
                map.append(name.clone(), value.clone());
            }
        }
        for (name, values) in self.own_headers().iter() {
            for value in values {
                map.insert(name.clone(), value.clone());
            }
        }
        map
    }

    /// The dead letter as it is written.
    fn whole(&self) -> PublishMessage {
        PublishMessage::build()
            .payload(self.message.payload.clone())
            .headers(self.headers())
            .expected_stream(names::DEAD_LETTER_STREAM)
    }

    /// The dead letter of an event that fills a message to the brim, so that no header fits in
    /// any more. The event itself stays where it is.
    fn without_body(&self) -> PublishMessage {
        PublishMessage::build()
            .headers(self.own_headers())
            .header(headers::BODY_OMITTED, "true")
            .expected_stream(names::DEAD_LETTER_STREAM)
    }
}

fn is_reserved(name: &HeaderName) -> bool {
    name.to_string().to_lowercase().starts_with(RESERVED_PREFIX)
}

/// A text as a header's value, which has no line breaks, cut to a length that any message has
/// room for.
fn one_line(text: &str) -> HeaderValue {
    let line: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(LONGEST_ERROR)
        .collect();
    // Without control characters no text is refused.
    HeaderValue::from_str(&line).unwrap_or_default()
}

/// Stores dead letters.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    jetstream: jetstream::Context,
    stream_replicas: usize,
    gate: Gate,
}

impl DeadLetters {
    /// Stores dead letters by `jetstream`; if their stream is gone, it is made anew with so many
    /// replicas.
    pub(crate) fn new(jetstream: jetstream::Context, stream_replicas: usize) -> Self {
        Self {
            jetstream,
            stream_replicas,
            gate: Gate::new("the stream of dead letters"),
        }
    }

    /// Stores a dead letter. Returns when the server has it, however long that takes: the caller
    /// bounds it.
    pub(crate) async fn store(&self, letter: &DeadLetter<'_>) {
        self.gate.until_answered(|| self.attempt(letter)).await;
    }

    async fn attempt(&self, letter: &DeadLetter<'_>) -> Attempt<()> {
        let subject = dead_letter::subject(&letter.origin.subject);
        let kind = match self.publish(&subject, letter.whole()).await {
            Ok(()) => return Attempt::Answered(()),
            Err(PublishFailure {
                kind: Some(PublishErrorKind::MaxPayloadExceeded),
                ..
            }) => match self.publish(&subject, letter.without_body()).await {
                Ok(()) => return Attempt::Answered(()),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        if kind.kind == Some(PublishErrorKind::StreamNotFound) {
            let wanted = StreamKind::DeadLetters.wanted(self.stream_replicas);
            if let Err(error) = streams::ensure_stream(&self.jetstream, &wanted).await {
                return Attempt::Away(describe(&error));
            }
        }
        Attempt::Away(kind.text)
    }

    async fn publish(&self, subject: &str, message: PublishMessage) -> Result<(), PublishFailure> {
        let publishing = async {
            let receipt = self
                .jetstream
                .send_publish(subject.to_owned(), message)
                .await?;
            receipt.await
        };
        match tokio::time::timeout(PUBLISH_TIMEOUT, publishing).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(PublishFailure {
                kind: Some(error.kind()),
                text: describe(&error),
            }),
            Err(_) => Err(PublishFailure {
                kind: None,
                text: format!("no answer within {} s", PUBLISH_TIMEOUT.as_secs()),
            }),
        }
    }
}

/// Why a dead letter was not stored.
struct PublishFailure {
    kind: Option<PublishErrorKind>,
    text: String,
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;
    use routing::{About, ObjectName};

    use super::*;
    use crate::origin::Place;

    fn event(headers: &[(&str, &str)]) -> async_nats::Message {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        async_nats::Message {
            subject: "activity.user.created".into(),
            reply: None,
            payload: "{".into(),
            headers: Some(map),
            status: None,
            description: None,
            length: 1,
        }
    }

    fn headers_of(message: &async_nats::Message, problems: &[Problem]) -> Vec<String> {
        let origin = Origin {
            subject: "activity.user.created".to_owned(),
            stream: "ACTIVITY_EVENTS".to_owned(),
            place: Place {
                sequence: 42,
                published_nanoseconds: 7,
            },
            published_at: DateTime::UNIX_EPOCH,
            delivered: 1,
        };
        let letter = DeadLetter {
            origin: &origin,
            message,
            problems,
            at: Utc.with_ymd_and_hms(2026, 11, 24, 9, 0, 0).unwrap(),
        };
        let headers = letter.headers();
        let mut lines: Vec<String> = headers
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |value| format!("{name}: {value}")))
            .collect();
        lines.sort();
        lines
    }

    fn problem(name: &str, error: &str) -> Problem {
        Problem {
            reason: Reason::ConditionError,
            about: About::Definition(ObjectName {
                namespace: "team".to_owned(),
                name: name.to_owned(),
            }),
            error: error.to_owned(),
        }
    }

    #[test]
    fn a_dead_letter_says_where_it_came_from_and_why_it_is_one() {
        let problems = [problem("b", "condition: no such key"), problem("a", "x")];
        assert_eq!(
            headers_of(&event(&[("traceparent", "00-abc-def-01")]), &problems),
            [
                "Activity-Core-Dead-Lettered-At: 2026-11-24T09:00:00Z",
                "Activity-Core-Definitions: team/a, team/b",
                "Activity-Core-Error: team/b: condition: no such key; team/a: x",
                "Activity-Core-Original-Sequence: 42",
                "Activity-Core-Original-Stream: ACTIVITY_EVENTS",
                "Activity-Core-Original-Subject: activity.user.created",
                "Activity-Core-Reason: ConditionError",
                "Nats-Msg-Id: ACTIVITY_EVENTS/42/7/ConditionError",
                "traceparent: 00-abc-def-01",
            ]
        );
    }

    #[test]
    fn a_header_that_nats_acts_on_is_not_obeyed_twice() {
        let message = event(&[
            ("Nats-Msg-Id", "publishers"),
            ("Nats-Expected-Stream", "ACTIVITY_EVENTS"),
            ("Nats-TTL", "1s"),
            ("Nats-Rollup", "all"),
        ]);
        let headers = headers_of(&message, &[problem("a", "x")]);
        let reserved: Vec<&String> = headers
            .iter()
            .filter(|header| header.to_lowercase().starts_with(RESERVED_PREFIX))
            .collect();
        assert_eq!(
            reserved,
            ["Nats-Msg-Id: ACTIVITY_EVENTS/42/7/ConditionError"]
        );
        assert!(
            headers.contains(&"Activity-Core-Original-Message-Id: publishers".to_owned()),
            "{headers:?}"
        );
    }

    #[test]
    fn an_error_of_several_lines_fits_into_a_header() {
        let headers = headers_of(&event(&[]), &[problem("a", &"long\r\nline ".repeat(1000))]);
        let error = headers
            .iter()
            .find(|header| header.starts_with(headers::ERROR))
            .unwrap();
        assert!(error.len() <= headers::ERROR.len() + 2 + LONGEST_ERROR);
        assert!(!error.contains(['\r', '\n']), "{error}");
    }
}
