//! How far behind the consumer is, as the server sees it: the same for all replicas.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use chrono::Utc;
use contracts::names;
use runtime::{Shutdown, describe};

use crate::metrics::{RouterMetrics, to_gauge};

/// How often it is asked for.
const EVERY: Duration = Duration::from_secs(15);

/// How long the server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Keeps the gauges of the consumer's lag. Ends with the process.
pub(crate) async fn watch(
    jetstream: jetstream::Context,
    metrics: RouterMetrics,
    shutdown: Shutdown,
) {
    loop {
        match tokio::time::timeout(TIMEOUT, measure(&jetstream, &metrics)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = describe(error.as_ref());
                tracing::debug!(error, "unable to measure the consumer's lag");
            }
            Err(_) => tracing::debug!("NATS did not say how far behind the consumer is"),
        }
        if !shutdown.sleep(EVERY).await {
            return;
        }
    }
}

async fn measure(
    jetstream: &jetstream::Context,
    metrics: &RouterMetrics,
) -> Result<(), async_nats::Error> {
    let stream = jetstream.get_stream_no_info(names::EVENT_STREAM).await?;
    let info = stream.consumer_info(names::EVENT_CONSUMER).await?;
    metrics.pending.set(to_gauge(info.num_pending));
    metrics.ack_pending.set(to_gauge(info.num_ack_pending));
    let is_idle = info.num_pending == 0 && info.num_ack_pending == 0;
    let age = if is_idle {
        0.0
    } else {
        // The floor is where everything before is acknowledged.
        age_from(&stream, info.ack_floor.stream_sequence + 1).await?
    };
    metrics.oldest_pending_age.set(age);
    Ok(())
}

/// How old the first event from a sequence on is, in seconds.
async fn age_from(stream: &Stream<()>, sequence: u64) -> Result<f64, async_nats::Error> {
    let oldest = stream
        .get_first_raw_message_by_subject(names::EVENT_SUBJECTS, sequence)
        .await;
    match oldest {
        Ok(message) => {
            let age = Utc::now() - message.time;
            Ok(age.as_seconds_f64().max(0.0))
        }
        // It was acknowledged or deleted in between.
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(0.0),
        Err(error) => Err(Box::new(error)),
    }
}
