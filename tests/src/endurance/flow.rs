//! Publishing, as a careful publisher does it, and watching how far the routers are.

use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::HeaderMap;
use async_nats::jetstream::{self, consumer};
use contracts::names;
use futures::{StreamExt as _, stream};
use runtime::nats::NatsArguments;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::place::Place;
use super::traffic::{Message, Traffic};

/// The subject that everything is published on.
const SUBJECT: &str = "activity.user.created";

/// How many messages are on their way at once.
const AT_ONCE: usize = 32;

/// How many messages may wait for the routers: the blows are to fall while events flow.
const MOST_WAITING: u64 = 1000;

/// How long one try to publish may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(3);

/// The pause after a try that failed, and between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Publishes the traffic and watches its progress.
pub(super) struct Flow<'run> {
    traffic: &'run Traffic,
    jetstream: jetstream::Context,
    settled: watch::Receiver<u64>,
    watching: JoinHandle<()>,
}

impl Drop for Flow<'_> {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl<'run> Flow<'run> {
    /// Connects, and begins to watch.
    pub(super) async fn new(place: &Place, traffic: &'run Traffic) -> Result<Self> {
        let arguments = NatsArguments {
            nats_url: Some(place.nats_url.clone()),
            nats_credentials_file: None,
        };
        let mut jetstream = jetstream::new(arguments.connect("endurance").await?);
        jetstream.set_timeout(TRY_TIMEOUT);
        let (set_settled, settled) = watch::channel(0);
        Ok(Self {
            traffic,
            watching: tokio::spawn(watch_floor(jetstream.clone(), set_settled)),
            jetstream,
            settled,
        })
    }

    /// How many events are settled without a gap.
    pub(super) fn progress(&self) -> watch::Receiver<u64> {
        self.settled.clone()
    }

    /// Publishes everything, and answers with the sequence of each message.
    pub(super) async fn publish(&self) -> Result<Vec<u64>> {
        let publishing: Vec<_> = self
            .traffic
            .messages
            .iter()
            .enumerate()
            .map(|(number, message)| self.publish_one(number, message))
            .collect();
        let mut publishing = stream::iter(publishing).buffered(AT_ONCE);
        let mut sequences = Vec::with_capacity(self.traffic.messages.len());
        let mut settled = self.progress();
        while let Some(sequence) = publishing.next().await {
            let sequence = sequence?;
            sequences.push(sequence);
            settled
                .wait_for(|settled| sequence.saturating_sub(*settled) <= MOST_WAITING)
                .await?;
        }
        Ok(sequences)
    }

    /// Publishes one message until the stream has it. Its id stays the same, so that a try whose
    /// answer was lost is not another message.
    async fn publish_one(&self, number: usize, message: &Message) -> Result<u64> {
        let id = format!("message-{number}");
        loop {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", id.as_str());
            let body = message.body.clone().into();
            let trying = async {
                let sent = self.jetstream.publish_with_headers(SUBJECT, headers, body);
                sent.await.ok()?.await.ok()
            };
            if let Ok(Some(receipt)) = tokio::time::timeout(TRY_TIMEOUT, trying).await {
                return Ok(receipt.sequence);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until every event is acknowledged and none is in hand. Answers with the number of
    /// deliveries that it took.
    pub(super) async fn all_settled(&self) -> Result<u64> {
        let count = u64::try_from(self.traffic.messages.len())?;
        loop {
            if let Ok(info) = consumer_info(&self.jetstream).await
                && info.ack_floor.stream_sequence == count
                && info.num_pending == 0
                && info.num_ack_pending == 0
            {
                return Ok(info.delivered.consumer_sequence);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn consumer_info(jetstream: &jetstream::Context) -> Result<consumer::Info> {
    let asking = async {
        let stream = jetstream.get_stream_no_info(names::EVENT_STREAM).await?;
        anyhow::Ok(stream.consumer_info(names::EVENT_CONSUMER).await?)
    };
    let asked = tokio::time::timeout(TRY_TIMEOUT, asking).await;
    asked.context("NATS does not answer")?
}

async fn watch_floor(jetstream: jetstream::Context, settled: watch::Sender<u64>) {
    loop {
        if let Ok(info) = consumer_info(&jetstream).await {
            settled.send_replace(info.ack_floor.stream_sequence);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
