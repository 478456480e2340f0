//! Pulls events from JetStream and has them settled, many at once.
//!
//! Only as many events are asked for as there are free places, so none waits unattended for its
//! turn while its delivery runs out. While many come, the next ones are asked for before the last of
//! those before are there. While something that events need is away, a router takes one event at
//! most beyond those that it has: they are better left to a replica that can work.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{self, AckKind};
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt as _, StreamExt as _, future};
use runtime::{Backoff, Shutdown, describe};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::settle::Settler;
use crate::streams::{self, Settings};

/// How many requests for events are open at the server at most.
const REQUESTS: usize = 2;

/// How long a request for events stays open at the server.
const PULL_EXPIRES: Duration = Duration::from_secs(5);

/// How long a request may go without an answer beyond that, before it counts as lost.
const PULL_GRACE: Duration = Duration::from_secs(1);

/// How often it is looked whether the connection to NATS still stands.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A request for events costs about as much as ten events, so where most places are taken, this is
/// how long it waits for some more to come free.
const GATHERING: Duration = Duration::from_millis(2);

/// How long events in hand may take after the process was asked to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// How long NATS may take for what needs no decision.
const NATS_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest pause between two tries to consume.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Why no events come.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error("failed to ask for events")]
    Request(#[source] async_nats::error::Error<jetstream::consumer::pull::BatchErrorKind>),
    #[error("the server ended a request for events")]
    Ended(#[source] async_nats::Error),
    #[error("NATS took no request within {} s", NATS_TIMEOUT.as_secs())]
    TimedOut,
}

/// A request for events that is open at the server: each event comes with its place.
type Request =
    BoxStream<'static, Result<(jetstream::Message, OwnedSemaphorePermit), async_nats::Error>>;

/// Consumes the stream of events.
#[derive(Debug)]
pub(crate) struct Consumption {
    /// Where the events come from.
    pub(crate) jetstream: jetstream::Context,
    /// How streams and consumer are made.
    pub(crate) settings: Settings,
    /// What settles each event.
    pub(crate) settler: Arc<Settler>,
    /// How many events are worked on at once.
    pub(crate) max_in_flight: usize,
    /// Whether the process is to stop.
    pub(crate) shutdown: Shutdown,
}

impl Consumption {
    /// Consumes until the process is to stop. An error says what somebody has to change.
    pub(crate) async fn run(self) -> Result<(), streams::Error> {
        let places = Arc::new(Semaphore::new(self.max_in_flight));
        let mut settling = JoinSet::new();
        let outcome = self.consume(&places, &mut settling).await;
        drain(&mut settling).await;
        // Acknowledgements that nobody confirms are still on their way out.
        let client = self.jetstream.client();
        match tokio::time::timeout(NATS_TIMEOUT, client.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = describe(&error), "unable to flush NATS"),
            Err(_) => tracing::warn!("NATS took nothing any more; what it missed comes again"),
        }
        outcome
    }

    async fn consume(
        &self,
        places: &Arc<Semaphore>,
        settling: &mut JoinSet<()>,
    ) -> Result<(), streams::Error> {
        let mut backoff = Backoff::up_to(LONGEST_PAUSE);
        let Some(mut consumer) = self.ensure().await? else {
            return Ok(());
        };
        tracing::info!("consuming events");
        loop {
            let mut open = SelectAll::new();
            let pulling = self.pull(&consumer, &mut open, (places, settling), &mut backoff);
            let pulled = pulling.await;
            give_back(&mut open).await;
            let Err(error) = pulled else { break };
            let pause = backoff.next_delay();
            tracing::warn!(
                error = describe(&error),
                retry_in_seconds = pause.as_secs(),
                "unable to pull events"
            );
            if !self.shutdown.sleep(pause).await {
                break;
            }
            // The stream or the consumer may be gone.
            match self.ensure().await? {
                Some(again) => consumer = again,
                None => break,
            }
        }
        Ok(())
    }

    /// Makes or checks streams and consumer, trying again while NATS is away; `None` when the
    /// process is to stop.
    async fn ensure(&self) -> Result<Option<PullConsumer>, streams::Error> {
        let mut backoff = Backoff::up_to(LONGEST_PAUSE);
        loop {
            let ensuring = streams::ensure(&self.jetstream, self.settings);
            let error = match self.shutdown.or(ensuring).await {
                None => return Ok(None),
                Some(Ok(consumer)) => return Ok(Some(consumer)),
                Some(Err(error)) if error.is_permanent() => return Err(error),
                Some(Err(error)) => error,
            };
            let pause = backoff.next_delay();
            tracing::warn!(
                error = describe(&error),
                retry_in_seconds = pause.as_secs(),
                "unable to set up the streams"
            );
            if !self.shutdown.sleep(pause).await {
                return Ok(None);
            }
        }
    }

    /// Waits until events can be taken, and for how many; `None` when the process is to stop.
    async fn free_places(
        &self,
        places: &Arc<Semaphore>,
        settling: &mut JoinSet<()>,
    ) -> Option<OwnedSemaphorePermit> {
        loop {
            reap(settling);
            let first = self.shutdown.or(places.clone().acquire_owned()).await?;
            // The semaphore is never closed.
            let mut taken = first.ok()?;
            let is_connected = self.jetstream.client().connection_state() == State::Connected;
            if is_connected && self.settler.can_work() {
                self.gather(places, &mut taken).await;
                return Some(taken);
            }
            if is_connected && settling.is_empty() {
                return Some(taken);
            }
            drop(taken);
            if !self.shutdown.sleep(LOOK_EVERY).await {
                return None;
            }
        }
    }

    /// Takes the places that are free beside the first, and for a moment waits for a quarter of
    /// all to be.
    async fn gather(&self, places: &Arc<Semaphore>, taken: &mut OwnedSemaphorePermit) {
        let quarter = self.quarter();
        if places.available_permits() < quarter {
            let missing = u32::try_from(quarter).unwrap_or(u32::MAX);
            let gathering = places.clone().acquire_many_owned(missing);
            if let Ok(Ok(more)) = tokio::time::timeout(GATHERING, gathering).await {
                taken.merge(more);
            }
        }
        if let Some(rest) = all_free(places) {
            taken.merge(rest);
        }
    }

    /// A quarter of all places: fewer are not worth a request of their own.
    fn quarter(&self) -> usize {
        self.max_in_flight / 4
    }

    /// Has events settled as they come, until the process is to stop. What is left in `open` has come
    /// in and was not begun.
    async fn pull(
        &self,
        consumer: &PullConsumer,
        open: &mut SelectAll<Request>,
        (places, settling): (&Arc<Semaphore>, &mut JoinSet<()>),
        backoff: &mut Backoff,
    ) -> Result<(), PullError> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            if open.is_empty() {
                let Some(taken) = self.free_places(places, settling).await else {
                    return Ok(());
                };
                open.push(ask(consumer, taken).await?);
            } else if open.len() < REQUESTS
                && self.settler.can_work()
                && places.available_permits() >= self.quarter()
                && let Some(taken) = all_free(places)
            {
                reap(settling);
                open.push(ask(consumer, taken).await?);
            }
            tokio::select! {
                () = self.shutdown.begun() => return Ok(()),
                event = open.next() => {
                    if let Some((message, place)) = event.transpose().map_err(PullError::Ended)? {
                        self.begin(message, place, consumer, settling);
                    }
                    *backoff = Backoff::up_to(LONGEST_PAUSE);
                }
                _ = look.tick() => {
                    reap(settling);
                    if self.jetstream.client().connection_state() != State::Connected {
                        tracing::warn!("the connection to NATS is lost");
                        open.clear();
                    }
                }
            }
        }
    }

    fn begin(
        &self,
        message: jetstream::Message,
        place: OwnedSemaphorePermit,
        consumer: &PullConsumer,
        settling: &mut JoinSet<()>,
    ) {
        let settler = self.settler.clone();
        let ack_wait = consumer.cached_info().config.ack_wait;
        // On the heap at once: a task is moved several times until it runs, and this one is large.
        settling.spawn(Box::pin(async move {
            settler.metrics.in_flight.inc();
            settler.settle(&message, ack_wait).await;
            settler.metrics.in_flight.dec();
            drop(place);
        }));
    }
}

/// Takes all places that are free; `None` where none is.
fn all_free(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    let free = u32::try_from(places.available_permits()).ok()?;
    if free == 0 {
        return None;
    }
    places.clone().try_acquire_many_owned(free).ok()
}

/// Asks for as many events as there are places taken.
async fn ask(consumer: &PullConsumer, taken: OwnedSemaphorePermit) -> Result<Request, PullError> {
    let asking = consumer
        .batch()
        .max_messages(taken.num_permits())
        // No heartbeats: a batch that receives one is never woken again (async-nats 0.51).
        .expires(PULL_EXPIRES)
        .messages();
    let batch = tokio::time::timeout(NATS_TIMEOUT, asking)
        .await
        .map_err(|_| PullError::TimedOut)?
        .map_err(PullError::Request)?;
    let with_places = batch
        .take_until(tokio::time::sleep(PULL_EXPIRES + PULL_GRACE))
        .scan(taken, |taken, event| {
            future::ready(match event {
                Ok(message) => taken.split(1).map(|place| Ok((message, place))),
                Err(error) => Some(Err(error)),
            })
        });
    Ok(with_places.boxed())
}

/// Hands back what came in and was not begun.
async fn give_back(open: &mut SelectAll<Request>) {
    while let Some(Some(Ok((message, _place)))) = open.next().now_or_never() {
        let sending = message.ack_with(AckKind::Nak(None));
        if let Ok(Err(error)) = tokio::time::timeout(NATS_TIMEOUT, sending).await {
            tracing::warn!(
                error = describe(error.as_ref()),
                "unable to hand an event back"
            );
        }
    }
}

/// Takes note of the events that are done.
fn reap(settling: &mut JoinSet<()>) {
    while let Some(done) = settling.try_join_next() {
        report(done);
    }
}

fn report(done: Result<(), tokio::task::JoinError>) {
    if let Err(error) = done {
        // The event is not acknowledged and comes again.
        tracing::error!(error = describe(&error), "settling an event was cut short");
    }
}

/// Lets the events in hand come to their end.
async fn drain(settling: &mut JoinSet<()>) {
    let draining = async {
        while let Some(done) = settling.join_next().await {
            report(done);
        }
    };
    if tokio::time::timeout(DRAIN_TIMEOUT, draining).await.is_err() {
        tracing::warn!(
            events = settling.len(),
            "events are left unfinished; they come again"
        );
        settling.shutdown().await;
    }
}
