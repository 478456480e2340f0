//! NATS: a connection for one command, and reading a stream from end to end without leaving a
//! trace in it.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::Stream;
use chrono::{DateTime, Utc};
use contracts::event::Headers;
use futures::StreamExt as _;
use runtime::nats::{NatsArguments, header_pairs};

use crate::connections::{PATIENCE, PROGRAM, answer};
use crate::exit::Problem;

/// What messages call the system.
pub(crate) const SYSTEM: &str = "NATS";

/// How many messages are asked for at once.
const PAGE: usize = 256;

/// How long the server keeps a reader that says nothing any more.
const READER_LASTS: Duration = Duration::from_secs(30);

/// One message of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    /// When the stream took it in.
    pub(crate) at: DateTime<Utc>,
    pub(crate) subject: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Stored {
    /// The headers as the event's envelopes look at them.
    pub(crate) fn event_headers(&self) -> Headers {
        self.headers
            .iter()
            .map(|(name, value)| (name, value.as_str()))
            .collect()
    }
}

/// Connects once; unlike the programs' connection, which is kept up whatever happens.
pub(crate) async fn connect(arguments: &NatsArguments) -> Result<async_nats::Client, String> {
    let mut options = async_nats::ConnectOptions::new()
        .name(PROGRAM)
        .connection_timeout(Duration::from_secs(5));
    if let Some(file) = &arguments.nats_credentials_file {
        options = options
            .credentials_file(file)
            .await
            .map_err(|error| format!("NATS_CREDENTIALS_FILE {}: {error}", file.display()))?;
    }
    let url = arguments.nats_url.clone().unwrap_or_default();
    let servers: Vec<&str> = url.split(',').map(str::trim).collect();
    let connected = tokio::time::timeout(PATIENCE, options.connect(servers)).await;
    connected
        .map_err(|_| "no answer in time".to_owned())?
        .map_err(|error| runtime::describe(&error))
}

/// JetStream, provided the server answers.
pub(crate) async fn open(arguments: &NatsArguments) -> Result<jetstream::Context, Problem> {
    if arguments.nats_url.is_none() {
        return Err(Problem::usage(
            "NATS_URL is required: set it to nats://host:4222",
        ));
    }
    let client = connect(arguments).await;
    let client = client.map_err(|reason| Problem::unknown(format!("{SYSTEM}: {reason}")))?;
    let mut context = jetstream::new(client);
    context.set_timeout(PATIENCE);
    Ok(context)
}

/// A stream that the event router makes when it first starts.
pub(crate) async fn stream(jetstream: &jetstream::Context, name: &str) -> Result<Stream, Problem> {
    let asked = tokio::time::timeout(PATIENCE, jetstream.get_stream(name)).await;
    match asked {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => match error.kind() {
            GetStreamErrorKind::JetStream(answer)
                if answer.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                Err(Problem::unknown(format!(
                    "there is no stream {name}; the event router makes it when it starts"
                )))
            }
            _ => Err(Problem::unknown(format!(
                "the stream {name}: {}",
                runtime::describe(&error)
            ))),
        },
        Err(_) => Err(Problem::unknown(format!(
            "{SYSTEM} gave no answer within {} s",
            PATIENCE.as_secs()
        ))),
    }
}

/// Reads a stream in order, a page at a time.
pub(crate) struct Reader {
    consumer: PullConsumer,
}

impl Reader {
    /// Begins to read. The server forgets the reader half a minute after its last page.
    pub(crate) async fn begin(stream: &Stream, from: DeliverPolicy) -> Result<Self, Problem> {
        let config = Config {
            description: Some("Reads for a command line; goes by itself.".to_owned()),
            deliver_policy: from,
            ack_policy: AckPolicy::None,
            inactive_threshold: READER_LASTS,
            memory_storage: true,
            num_replicas: 1,
            ..Config::default()
        };
        let consumer = answer(SYSTEM, stream.create_consumer(config)).await?;
        Ok(Self { consumer })
    }

    /// The next messages; none at the end.
    pub(crate) async fn page(&self) -> Result<Vec<Stored>, Problem> {
        let fetching = async {
            let fetched = self.consumer.fetch().max_messages(PAGE).messages().await;
            let mut fetched = fetched.map_err(|error| runtime::describe(&error))?;
            let mut page = Vec::new();
            while let Some(message) = fetched.next().await {
                let message = message.map_err(|error| error.to_string())?;
                page.push(stored(message).map_err(|error| error.to_string())?);
            }
            Ok::<_, String>(page)
        };
        match tokio::time::timeout(PATIENCE, fetching).await {
            Ok(Ok(page)) => Ok(page),
            Ok(Err(error)) => Err(Problem::unknown(format!("{SYSTEM}: {error}"))),
            Err(_) => Err(Problem::unknown(format!(
                "{SYSTEM} sent no messages within {} s",
                PATIENCE.as_secs()
            ))),
        }
    }
}

fn stored(message: jetstream::Message) -> Result<Stored, async_nats::Error> {
    let (sequence, at) = {
        let info = message.info()?;
        (info.stream_sequence, info.published)
    };
    let message = message.message;
    Ok(Stored {
        sequence,
        at,
        subject: message.subject.to_string(),
        headers: message
            .headers
            .as_ref()
            .map(header_pairs)
            .unwrap_or_default(),
        body: message.payload.to_vec(),
    })
}

/// One message; `None` when there is none of this sequence.
pub(crate) async fn message(stream: &Stream, sequence: u64) -> Result<Option<Stored>, Problem> {
    use async_nats::jetstream::stream::LastRawMessageErrorKind;

    let asked = tokio::time::timeout(PATIENCE, stream.get_raw_message(sequence)).await;
    match asked {
        Ok(Ok(message)) => Ok(Some(Stored {
            sequence,
            at: message.time,
            subject: message.subject.to_string(),
            headers: header_pairs(&message.headers),
            body: message.payload.to_vec(),
        })),
        Ok(Err(error)) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Ok(Err(error)) => Err(Problem::unknown(format!(
            "{SYSTEM}: {}",
            runtime::describe(&error)
        ))),
        Err(_) => Err(Problem::unknown(format!(
            "{SYSTEM} gave no answer within {} s",
            PATIENCE.as_secs()
        ))),
    }
}
