//! The two streams and the durable consumer: made where they are missing, checked where they are
//! there, and never overwritten.
//!
//! What is checked is what the promise depends on: that no event is dropped by the server, and
//! that none is handed out twice without need. Limits of size and age are their owner's business.
//! The consumer's two tunables, the acknowledgement wait and the number of unacknowledged
//! messages, are brought to our settings if the consumer is one that this program made; one made
//! by somebody else is used as it is.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{
    ConsumerInfoErrorKind, CreateStreamErrorKind, GetStreamErrorKind,
};
use async_nats::jetstream::stream::{
    self, ConsumerCreateStrictErrorKind, RetentionPolicy, StorageType,
};
use contracts::names;

/// The most events that are delivered to all replicas together and not yet acknowledged. Events
/// that wait for their next try are among them.
pub(crate) const MAX_ACK_PENDING: usize = 10_000;

/// How long an event stays in its stream: as far back as a replay can reach. A router that is
/// down for longer loses events; the alerts on it fire within minutes.
const EVENTS_MAX_AGE: Duration = Duration::from_hours(30 * 24);

/// How long the stream of dead letters knows a dead letter again. An event comes again within
/// minutes of a router's death; the rest is for an outage in between.
const DEAD_LETTERS_DUPLICATE_WINDOW: Duration = Duration::from_hours(1);

/// The metadata by which this program knows the consumer that it made.
const MADE_BY: (&str, &str) = ("activity-core.io/made-by", "actcore-event-router");

/// How long all of the checks may take together.
const ENSURE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is nothing to consume from.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Something of this name exists and is set up otherwise.
    #[error(
        "the {what} {name} exists with {field} {found}, it must be {wanted}; it was left as it \
         is: change it, or remove it and start the event router again"
    )]
    Incompatible {
        /// Stream or consumer.
        what: &'static str,
        /// Its name.
        name: String,
        /// The setting that differs.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it must be.
        wanted: String,
    },
    /// Another stream has our subjects.
    #[error(
        "unable to make the stream {name}: another stream already takes its subjects {subjects}; \
         remove them from that stream"
    )]
    SubjectsTaken {
        /// Our stream.
        name: String,
        /// Its subjects.
        subjects: String,
    },
    /// The server could not be asked.
    #[error("failed to {operation}")]
    Nats {
        /// What was to be done.
        operation: String,
        /// Why it failed.
        #[source]
        source: async_nats::Error,
    },
    /// The server does not answer.
    #[error("NATS did not answer within {} s", ENSURE_TIMEOUT.as_secs())]
    TimedOut,
}

impl Error {
    /// Whether somebody has to change something before another try is of use.
    pub(crate) const fn is_permanent(&self) -> bool {
        matches!(self, Self::Incompatible { .. } | Self::SubjectsTaken { .. })
    }
}

/// The settings of what is made here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// How long a delivery may stay unacknowledged.
    pub(crate) ack_wait: Duration,
    /// How many servers keep each stream.
    pub(crate) stream_replicas: usize,
}

/// Our streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// The events.
    Events,
    /// The dead letters.
    DeadLetters,
}

impl StreamKind {
    /// The stream as it is made where it is missing.
    pub(crate) fn wanted(self, replicas: usize) -> stream::Config {
        let config = stream::Config {
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            num_replicas: replicas,
            max_messages_per_subject: -1,
            allow_direct: true,
            metadata: HashMap::from([(MADE_BY.0.to_owned(), MADE_BY.1.to_owned())]),
            ..stream::Config::default()
        };
        match self {
            Self::Events => stream::Config {
                name: names::EVENT_STREAM.to_owned(),
                description: Some("Events that start activities.".to_owned()),
                subjects: vec![names::EVENT_SUBJECTS.to_owned()],
                max_age: EVENTS_MAX_AGE,
                ..config
            },
            Self::DeadLetters => stream::Config {
                name: names::DEAD_LETTER_STREAM.to_owned(),
                description: Some("Events that could not be routed, each with its reason.".into()),
                subjects: vec![names::DEAD_LETTER_SUBJECTS.to_owned()],
                duplicate_window: DEAD_LETTERS_DUPLICATE_WINDOW,
                ..config
            },
        }
    }
}

/// Makes or checks both streams and the consumer.
pub(crate) async fn ensure(
    jetstream: &jetstream::Context,
    settings: Settings,
) -> Result<PullConsumer, Error> {
    // Boxed: the futures of the JetStream library are large.
    let ensuring = Box::pin(async {
        let dead_letters = StreamKind::DeadLetters.wanted(settings.stream_replicas);
        ensure_stream(jetstream, &dead_letters).await?;
        let events = StreamKind::Events.wanted(settings.stream_replicas);
        let events = ensure_stream(jetstream, &events).await?;
        ensure_consumer(&events, settings.ack_wait).await
    });
    tokio::time::timeout(ENSURE_TIMEOUT, ensuring)
        .await
        .unwrap_or(Err(Error::TimedOut))
}

/// Makes a stream, or checks the one that has its name.
pub(crate) async fn ensure_stream(
    jetstream: &jetstream::Context,
    wanted: &stream::Config,
) -> Result<stream::Stream, Error> {
    let name = &wanted.name;
    match jetstream.get_stream(name).await {
        Ok(stream) => {
            check_stream(&stream.cached_info().config, wanted)?;
            return Ok(stream);
        }
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(answer)
                if answer.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            _ => return Err(failed(format!("look for the stream {name}"), error)),
        },
    }
    match jetstream.create_stream(wanted).await {
        Ok(stream) => {
            tracing::info!(stream = name, "made the stream");
            Ok(stream)
        }
        Err(error) => match error.kind() {
            CreateStreamErrorKind::JetStream(answer)
                if answer.error_code() == ErrorCode::STREAM_SUBJECT_OVERLAP =>
            {
                Err(Error::SubjectsTaken {
                    name: name.clone(),
                    subjects: wanted.subjects.join(", "),
                })
            }
            // Another replica that is set up otherwise was faster: the next try checks its stream.
            _ => Err(failed(format!("make the stream {name}"), error)),
        },
    }
}

async fn ensure_consumer(
    stream: &stream::Stream,
    ack_wait: Duration,
) -> Result<PullConsumer, Error> {
    let wanted = wanted_consumer(ack_wait);
    let name = names::EVENT_CONSUMER;
    match stream.consumer_info(name).await {
        Ok(info) => {
            check_consumer(&info.config)?;
            adjust_consumer(stream, &info.config, wanted).await
        }
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {
            let created = stream.create_consumer_strict(wanted).await;
            match created {
                Ok(consumer) => {
                    tracing::info!(consumer = name, "made the consumer");
                    Ok(consumer)
                }
                Err(error) if error.kind() == ConsumerCreateStrictErrorKind::AlreadyExists => {
                    // Another replica was faster.
                    open_consumer(stream).await
                }
                Err(error) => Err(failed(format!("make the consumer {name}"), error)),
            }
        }
        Err(error) => Err(failed(format!("look for the consumer {name}"), error)),
    }
}

/// Brings the tunables of our own consumer to our settings; leaves anybody else's alone.
async fn adjust_consumer(
    stream: &stream::Stream,
    found: &consumer::Config,
    wanted: pull::Config,
) -> Result<PullConsumer, Error> {
    let name = names::EVENT_CONSUMER;
    let is_tuned =
        found.ack_wait == wanted.ack_wait && found.max_ack_pending == wanted.max_ack_pending;
    let is_ours = found.metadata.get(MADE_BY.0).map(String::as_str) == Some(MADE_BY.1);
    if !is_tuned && is_ours {
        tracing::info!(
            consumer = name,
            ack_wait_seconds = wanted.ack_wait.as_secs(),
            "changing the consumer's settings"
        );
        return stream
            .update_consumer(wanted)
            .await
            .map_err(|error| failed(format!("change the consumer {name}"), error));
    }
    if !is_tuned {
        tracing::warn!(
            consumer = name,
            ack_wait_seconds = found.ack_wait.as_secs(),
            max_ack_pending = found.max_ack_pending,
            "the consumer was not made by this program and is used as it is"
        );
    }
    open_consumer(stream).await
}

async fn open_consumer(stream: &stream::Stream) -> Result<PullConsumer, Error> {
    let name = names::EVENT_CONSUMER;
    stream
        .get_consumer(name)
        .await
        .map_err(|source| Error::Nats {
            operation: format!("open the consumer {name}"),
            source,
        })
}

fn failed<E: std::error::Error + Send + Sync + 'static>(operation: String, source: E) -> Error {
    Error::Nats {
        operation,
        source: Box::new(source),
    }
}

/// Every event from the stream's beginning on, until it is acknowledged, however often that
/// takes: the server must not give up on an event, because it would do so in silence.
fn wanted_consumer(ack_wait: Duration) -> pull::Config {
    pull::Config {
        durable_name: Some(names::EVENT_CONSUMER.to_owned()),
        name: Some(names::EVENT_CONSUMER.to_owned()),
        description: Some("Shared by all event routers.".to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait,
        max_deliver: -1,
        filter_subject: names::EVENT_SUBJECTS.to_owned(),
        max_ack_pending: i64::try_from(MAX_ACK_PENDING).unwrap_or(i64::MAX),
        metadata: HashMap::from([(MADE_BY.0.to_owned(), MADE_BY.1.to_owned())]),
        ..pull::Config::default()
    }
}

/// Checks the fields of something that exists; the first one that differs is the error.
struct Check<'name> {
    what: &'static str,
    name: &'name str,
}

impl Check<'_> {
    fn field<T: Debug>(
        &self,
        field: &'static str,
        found: &T,
        is_right: bool,
        wanted: &str,
    ) -> Result<(), Error> {
        if is_right {
            return Ok(());
        }
        Err(Error::Incompatible {
            what: self.what,
            name: self.name.to_owned(),
            field,
            found: format!("{found:?}"),
            wanted: wanted.to_owned(),
        })
    }
}

fn check_stream(found: &stream::Config, wanted: &stream::Config) -> Result<(), Error> {
    let check = Check {
        what: "stream",
        name: &wanted.name,
    };
    let subjects = &found.subjects;
    let has_subjects = wanted
        .subjects
        .iter()
        .all(|subject| subjects.contains(subject));
    let wanted_subjects = format!("a list with {:?}", wanted.subjects);
    check.field("subjects", subjects, has_subjects, &wanted_subjects)?;
    let is_kept = found.retention == RetentionPolicy::Limits;
    check.field("retention", &found.retention, is_kept, "Limits")?;
    let is_durable = found.storage == StorageType::File;
    check.field("storage", &found.storage, is_durable, "File")?;
    let per_subject = found.max_messages_per_subject;
    check.field(
        "max_msgs_per_subject",
        &per_subject,
        per_subject <= 0,
        "-1, or events of one type push each other out",
    )?;
    let largest = found.max_message_size;
    check.field("max_msg_size", &largest, largest <= 0, "-1")
}

fn check_consumer(found: &consumer::Config) -> Result<(), Error> {
    let check = Check {
        what: "consumer",
        name: names::EVENT_CONSUMER,
    };
    let subject = &found.deliver_subject;
    check.field(
        "deliver_subject",
        subject,
        subject.is_none(),
        "absent: a pull consumer",
    )?;
    let durable = &found.durable_name;
    let is_durable = durable.as_deref() == Some(names::EVENT_CONSUMER);
    check.field("durable_name", durable, is_durable, names::EVENT_CONSUMER)?;
    let is_explicit = found.ack_policy == AckPolicy::Explicit;
    check.field("ack_policy", &found.ack_policy, is_explicit, "Explicit")?;
    let delivers_all = found.deliver_policy == DeliverPolicy::All;
    check.field("deliver_policy", &found.deliver_policy, delivers_all, "All")?;
    let deliveries = found.max_deliver;
    check.field(
        "max_deliver",
        &deliveries,
        deliveries <= 0,
        "-1, or the server drops events",
    )?;
    let filter = (&found.filter_subject, &found.filter_subjects);
    let is_unfiltered = (filter.0.is_empty() || filter.0 == names::EVENT_SUBJECTS)
        && filter
            .1
            .iter()
            .all(|subject| subject == names::EVENT_SUBJECTS);
    check.field(
        "filter_subject",
        &filter,
        is_unfiltered,
        names::EVENT_SUBJECTS,
    )?;
    let headers_only = found.headers_only;
    check.field("headers_only", &headers_only, !headers_only, "false")?;
    let backoff = &found.backoff;
    check.field(
        "backoff",
        backoff,
        backoff.is_empty(),
        "empty, because it overrides ack_wait",
    )?;
    let threshold = found.inactive_threshold;
    check.field(
        "inactive_threshold",
        &threshold,
        threshold.is_zero(),
        "0, or the consumer forgets what was acknowledged",
    )?;
    let in_memory = found.memory_storage;
    check.field("mem_storage", &in_memory, !in_memory, "false")
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::consumer::IntoConsumerConfig as _;

    use super::*;

    fn refusal(result: Result<(), Error>) -> String {
        let error = result.unwrap_err();
        assert!(error.is_permanent());
        error.to_string()
    }

    #[test]
    fn what_we_make_is_what_we_accept() {
        for kind in [StreamKind::Events, StreamKind::DeadLetters] {
            let config = kind.wanted(1);
            check_stream(&config, &config).unwrap();
        }
        let consumer = wanted_consumer(Duration::from_secs(30)).into_consumer_config();
        check_consumer(&consumer).unwrap();
    }

    #[test]
    fn the_predecessors_stream_and_consumer_are_accepted() {
        let wanted = StreamKind::Events.wanted(1);
        let stream = stream::Config {
            name: names::EVENT_STREAM.to_owned(),
            subjects: vec![names::EVENT_SUBJECTS.to_owned()],
            max_messages_per_subject: -1,
            max_message_size: -1,
            ..stream::Config::default()
        };
        check_stream(&stream, &wanted).unwrap();
        let consumer = consumer::Config {
            durable_name: Some(names::EVENT_CONSUMER.to_owned()),
            ack_policy: AckPolicy::Explicit,
            max_deliver: -1,
            max_ack_pending: 1000,
            ..consumer::Config::default()
        };
        check_consumer(&consumer).unwrap();
    }

    #[test]
    fn a_refusal_names_the_field_its_value_and_what_it_must_be() {
        let wanted = StreamKind::Events.wanted(1);
        let mut found = wanted.clone();
        found.subjects = vec!["orders.>".to_owned()];
        let text = refusal(check_stream(&found, &wanted));
        assert!(
            text.contains("the stream ACTIVITY_EVENTS exists with subjects [\"orders.>\"]")
                && text.contains("activity.>"),
            "{text}"
        );
        let mut found = wanted.clone();
        found.retention = RetentionPolicy::WorkQueue;
        let text = refusal(check_stream(&found, &wanted));
        assert!(
            text.contains("retention WorkQueue, it must be Limits"),
            "{text}"
        );
    }

    #[test]
    fn a_consumer_that_could_lose_events_is_refused() {
        let right = wanted_consumer(Duration::from_secs(30)).into_consumer_config();
        let with = |change: fn(&mut consumer::Config)| {
            let mut config = right.clone();
            change(&mut config);
            refusal(check_consumer(&config))
        };
        for (text, field) in [
            (with(|c| c.max_deliver = 5), "max_deliver 5"),
            (
                with(|c| c.deliver_policy = DeliverPolicy::New),
                "deliver_policy New",
            ),
            (with(|c| c.ack_policy = AckPolicy::None), "ack_policy None"),
            (
                with(|c| c.filter_subject = "activity.user.created".to_owned()),
                "filter_subject",
            ),
            (
                with(|c| c.deliver_subject = Some("push".to_owned())),
                "deliver_subject",
            ),
            (
                with(|c| c.inactive_threshold = Duration::from_mins(1)),
                "inactive_threshold",
            ),
        ] {
            assert!(text.contains(field), "{text}");
        }
    }
}
