//! How many events lie on the dead-letter stream. Only counted: `actcore dlq` shows and redrives
//! them.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::GetStreamErrorKind;
use contracts::names::DEAD_LETTER_STREAM;
use domain::verification::Seen;

/// How long NATS may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Where dead letters are counted. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct DeadLetters {
    jetstream: Option<jetstream::Context>,
}

impl DeadLetters {
    /// Counts them at this server; `None` where NATS is not set up.
    pub(crate) fn new(client: Option<async_nats::Client>) -> Self {
        Self {
            jetstream: client.map(jetstream::new),
        }
    }

    /// How many there are; `Ok(None)` where NATS is not set up.
    pub(crate) async fn count(&self) -> Seen<Option<u64>> {
        let Some(jetstream) = &self.jetstream else {
            return Ok(None);
        };
        let asked = jetstream.get_stream(DEAD_LETTER_STREAM);
        match tokio::time::timeout(TIMEOUT, asked).await {
            Err(_) => Err(format!(
                "NATS gave no answer within {} s",
                TIMEOUT.as_secs()
            )),
            Ok(Ok(stream)) => Ok(Some(stream.cached_info().state.messages)),
            // The router makes the stream when it first starts.
            Ok(Err(error)) if is_not_there(&error.kind()) => Ok(Some(0)),
            Ok(Err(error)) => Err(runtime::describe(&error)),
        }
    }
}

fn is_not_there(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error)
        if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}
