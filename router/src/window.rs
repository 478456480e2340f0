//! The events that may not be settled yet: those between the consumer's floor, up to where every
//! event is acknowledged, and a given one. Which of them have a given type and subject is known
//! from headlines, of which each event is read for once.
//!
//! The server's floor is only ever too low here, never too high, because it is asked for before it
//! is used. So no unsettled event is overlooked, and some settled ones are looked at.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use chrono::{DateTime, Utc};
use contracts::event::{Headers, Received};
use contracts::names;
use futures::{StreamExt as _, stream};
use tokio::time::Instant;

/// The most events that are looked through. The consumer hands out 10,000 at once; it takes an
/// event that is tried again and again, while others go by, to have more between it and them.
const LARGEST: u64 = 50_000;

/// How long the floor may be used before it is asked for again.
const FLOOR_LASTS: Duration = Duration::from_millis(200);

/// How many events are read at once.
const READS_AT_ONCE: usize = 16;

/// How long reading may take. What has been read by then stays known.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Why it can't be told which events come before another.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Too many are not settled.
    #[error(
        "{0} events lie between it and the oldest that is not settled; {LARGEST} at most are looked through"
    )]
    TooMany(u64),
    /// The server could not be asked.
    #[error("unable to read the events before it")]
    Nats(#[source] async_nats::Error),
    /// The server does not answer in time.
    #[error("NATS did not show the events before it within {} s", READ_TIMEOUT.as_secs())]
    TimedOut,
}

/// What is remembered of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Headline {
    /// Its type.
    pub(crate) event_type: String,
    /// Its subject.
    pub(crate) subject: String,
}

impl Headline {
    /// The headline of an event; `None` when it can't be read or has no subject, and so is before
    /// or after no other.
    fn of(message: &StreamMessage) -> Option<Self> {
        let headers = headers(&message.headers);
        let event = contracts::event::read(&Received {
            body: &message.payload,
            headers: &headers,
            at: message.time,
        });
        let event = event.ok()?;
        Some(Self {
            event_type: event.event_type,
            subject: event.subject?,
        })
    }
}

/// The headers of an event as the envelopes look at them.
pub(crate) fn headers(map: &async_nats::HeaderMap) -> Headers {
    runtime::nats::header_pairs(map).into_iter().collect()
}

/// What may not be settled before an event.
#[derive(Debug)]
pub(crate) struct Earlier {
    /// When the consumer was made: with another one, sequences mean other events.
    pub(crate) era: DateTime<Utc>,
    /// Every event up to this sequence is settled.
    pub(crate) floor: u64,
    /// The sequences, in ascending order.
    pub(crate) sequences: Vec<u64>,
}

#[derive(Debug, Default)]
struct Seen {
    floor: Option<Floor>,
    headlines: BTreeMap<u64, Option<Headline>>,
}

#[derive(Debug, Clone, Copy)]
struct Floor {
    era: DateTime<Utc>,
    sequence: u64,
    asked_at: Instant,
}

/// Looks through the events that may not be settled.
#[derive(Debug)]
pub(crate) struct Window {
    jetstream: jetstream::Context,
    seen: Mutex<Seen>,
    /// Who reads: the others wait and find what has been read.
    reading: tokio::sync::Mutex<()>,
}

impl Window {
    /// Looks at the stream of events by `jetstream`.
    pub(crate) fn new(jetstream: jetstream::Context) -> Self {
        Self {
            jetstream,
            seen: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Remembers an event that was delivered here, so that it need not be read.
    pub(crate) fn note(&self, sequence: u64, headline: Option<Headline>) {
        let mut seen = self.seen();
        seen.headlines.insert(sequence, headline);
        if seen.headlines.len() as u64 > LARGEST {
            // It is read again if it should be needed.
            seen.headlines.pop_first();
        }
    }

    /// The events before `sequence` that have the same type and subject and may not be settled.
    pub(crate) async fn before(&self, sequence: u64, like: &Headline) -> Result<Earlier, Error> {
        let looking = async {
            let _reading = self.reading.lock().await;
            let floor = self.floor().await?;
            let distance = sequence.saturating_sub(floor.sequence);
            if distance > LARGEST {
                return Err(Error::TooMany(distance));
            }
            self.read_unknown(floor.sequence + 1, sequence).await?;
            Ok(floor)
        };
        let looked = tokio::time::timeout(READ_TIMEOUT, Box::pin(looking)).await;
        let floor = looked.unwrap_or(Err(Error::TimedOut))?;
        let seen = self.seen();
        let known = seen
            .headlines
            .range(floor.sequence.saturating_add(1)..sequence.max(floor.sequence + 1));
        Ok(Earlier {
            era: floor.era,
            floor: floor.sequence,
            sequences: known
                .filter(|(_, headline)| headline.as_ref() == Some(like))
                .map(|(sequence, _)| *sequence)
                .collect(),
        })
    }

    /// An event as it stands in the stream; `None` when it was deleted.
    pub(crate) async fn read(&self, sequence: u64) -> Result<Option<StreamMessage>, Error> {
        let reading = async { read(&self.stream().await?, sequence).await };
        let read = tokio::time::timeout(READ_TIMEOUT, reading).await;
        read.unwrap_or(Err(Error::TimedOut))
    }

    async fn floor(&self) -> Result<Floor, Error> {
        let known = self.seen().floor;
        if let Some(floor) = known.filter(|floor| floor.asked_at.elapsed() < FLOOR_LASTS) {
            return Ok(floor);
        }
        let asked_at = Instant::now();
        let stream = self.stream().await?;
        let info = stream.consumer_info(names::EVENT_CONSUMER).await;
        let info = info.map_err(|error| Error::Nats(Box::new(error)))?;
        let floor = Floor {
            era: info.created,
            sequence: info.ack_floor.stream_sequence,
            asked_at,
        };
        let mut seen = self.seen();
        if known.is_some_and(|known| known.era != floor.era) {
            seen.headlines.clear();
        }
        seen.headlines = seen.headlines.split_off(&(floor.sequence + 1));
        seen.floor = Some(floor);
        Ok(floor)
    }

    /// Reads what is not known of `[from, to)`.
    async fn read_unknown(&self, from: u64, to: u64) -> Result<(), Error> {
        let unknown: Vec<u64> = {
            let seen = self.seen();
            (from..to)
                .filter(|sequence| !seen.headlines.contains_key(sequence))
                .collect()
        };
        if unknown.is_empty() {
            return Ok(());
        }
        let stream = self.stream().await?;
        let reading: Vec<_> = unknown
            .into_iter()
            .map(|sequence| {
                let stream = stream.clone();
                async move { (sequence, read(&stream, sequence).await) }
            })
            .collect();
        let mut reading = stream::iter(reading).buffer_unordered(READS_AT_ONCE);
        while let Some((sequence, message)) = reading.next().await {
            let headline = message?.as_ref().and_then(Headline::of);
            self.note(sequence, headline);
        }
        Ok(())
    }

    async fn stream(&self) -> Result<Stream<()>, Error> {
        let stream = self.jetstream.get_stream_no_info(names::EVENT_STREAM).await;
        stream.map_err(|error| Error::Nats(Box::new(error)))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One message of the stream, provided the consumer would deliver it.
async fn read(stream: &Stream<()>, sequence: u64) -> Result<Option<StreamMessage>, Error> {
    let subjects = names::EVENT_SUBJECTS.trim_end_matches('>');
    match stream.get_raw_message(sequence).await {
        Ok(message) => Ok(Some(message).filter(|message| message.subject.starts_with(subjects))),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(Error::Nats(Box::new(error))),
    }
}
