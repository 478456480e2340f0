//! Dead letters: what the event router writes on the stream of dead letters, and what reads it.
//!
//! A dead letter's body is the event as it came. Why it is one, and where it came from, stands in
//! headers, so that it can be sent on its way again without being changed.

use std::fmt;
use std::str::FromStr;

/// The headers of a dead letter. Beside them it has the event's own headers, except those that
/// NATS itself acts on (`Nats-…`).
pub mod headers {
    /// Why it is a dead letter: a [`super::Reason`] by name.
    pub const REASON: &str = "Activity-Core-Reason";
    /// What exactly went wrong, in one line.
    pub const ERROR: &str = "Activity-Core-Error";
    /// The definitions that the event was not decided for, as `namespace/name`, separated by
    /// commas; absent when none was reached.
    pub const DEFINITIONS: &str = "Activity-Core-Definitions";
    /// The subject that the event came on.
    pub const ORIGINAL_SUBJECT: &str = "Activity-Core-Original-Subject";
    /// The event's sequence in its stream.
    pub const ORIGINAL_SEQUENCE: &str = "Activity-Core-Original-Sequence";
    /// The stream that the event came from.
    pub const ORIGINAL_STREAM: &str = "Activity-Core-Original-Stream";
    /// The publisher's `Nats-Msg-Id`, if the event had one.
    pub const ORIGINAL_MESSAGE_ID: &str = "Activity-Core-Original-Message-Id";
    /// When it became a dead letter (RFC 3339).
    pub const DEAD_LETTERED_AT: &str = "Activity-Core-Dead-Lettered-At";
    /// `true` when body and headers together were larger than the server takes: then the body is
    /// empty, and the event is still to be found at its original sequence.
    pub const BODY_OMITTED: &str = "Activity-Core-Body-Omitted";
}

/// The subject on which an event of `original` subject is a dead letter.
pub fn subject(original: &str) -> String {
    format!("activity-dlq.{original}")
}

/// Why an event is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The event can't be read.
    InvalidEnvelope,
    /// Its payload breaks the schema of an EventType that is enforced.
    SchemaViolation,
    /// A definition's filters or condition could not be evaluated.
    ConditionError,
    /// The router can't read a definition or EventType that the event concerns.
    UnreadableDefinition,
    /// Temporal refuses the start, and would refuse it again.
    StartRefused,
    /// Temporal failed to start the run as often as is tried.
    TriesExhausted,
}

/// A text that is no [`Reason`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no reason of a dead letter")]
pub struct UnknownReason(String);

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::InvalidEnvelope,
        Self::SchemaViolation,
        Self::ConditionError,
        Self::UnreadableDefinition,
        Self::StartRefused,
        Self::TriesExhausted,
    ];

    /// The name in the header and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidEnvelope => "InvalidEnvelope",
            Self::SchemaViolation => "SchemaViolation",
            Self::ConditionError => "ConditionError",
            Self::UnreadableDefinition => "UnreadableDefinition",
            Self::StartRefused => "StartRefused",
            Self::TriesExhausted => "TriesExhausted",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;

    #[test]
    fn every_reason_is_found_by_its_name() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
        assert!("Whatever".parse::<Reason>().is_err());
    }

    #[test]
    fn dead_letters_land_on_the_stream_of_dead_letters() {
        let prefix = names::DEAD_LETTER_SUBJECTS.trim_end_matches('>');
        assert!(subject("activity.user.created").starts_with(prefix));
    }
}
