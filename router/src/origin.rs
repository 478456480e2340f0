//! Where an event came from: its place in the stream, by which everything about it is deduped.

use async_nats::jetstream;
use chrono::{DateTime, Utc};

/// An event's place in its stream. The time is part of it because a stream that is deleted and
/// made anew counts from one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The sequence in the stream.
    pub(crate) sequence: u64,
    /// When the stream took it in, in nanoseconds of Unix time.
    pub(crate) published_nanoseconds: i64,
}

/// Where an event came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The subject that it was published on.
    pub(crate) subject: String,
    /// The stream.
    pub(crate) stream: String,
    /// Its place there.
    pub(crate) place: Place,
    /// When the stream took it in.
    pub(crate) published_at: DateTime<Utc>,
    /// How often it has been delivered, this time included.
    pub(crate) delivered: i64,
}

impl Origin {
    /// Reads the origin off a delivered message.
    pub(crate) fn of(message: &jetstream::Message) -> Result<Self, async_nats::Error> {
        let info = message.info()?;
        Ok(Self {
            subject: message.subject.to_string(),
            stream: info.stream.to_owned(),
            place: Place {
                sequence: info.stream_sequence,
                published_nanoseconds: info.published.timestamp_nanos_opt().unwrap_or_default(),
            },
            published_at: info.published,
            delivered: info.delivered,
        })
    }
}
