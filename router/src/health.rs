//! Whether the router can do its work.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use contracts::names;
use futures::FutureExt as _;
use runtime::{Probe, describe};
use store::Store;
use temporal::Temporal;

use crate::definitions::Definitions;

/// What the probes ask.
#[derive(Debug, Clone)]
pub(crate) struct Dependencies {
    /// The mirror.
    pub(crate) store: Store,
    /// Where runs are started, once it is connected.
    pub(crate) temporal: Arc<OnceLock<Temporal>>,
    /// Where the events come from.
    pub(crate) jetstream: jetstream::Context,
    /// What is known of the mirror.
    pub(crate) definitions: Definitions,
    /// How often the mirror is looked at, at the least.
    pub(crate) refresh: Duration,
}

impl Dependencies {
    /// One probe for each.
    pub(crate) fn probes(self) -> Vec<Probe> {
        let Self {
            store,
            temporal,
            jetstream,
            definitions,
            refresh,
        } = self;
        // A comparison that is due may be under way, and one may have failed.
        let oldest = 3 * refresh;
        vec![
            Probe::new("postgres", move || {
                let store = store.clone();
                async move { check_postgres(&store).await }.boxed()
            }),
            Probe::new("temporal", move || {
                let temporal = temporal.clone();
                async move { check_temporal(temporal.get()).await }.boxed()
            }),
            Probe::new("nats", move || {
                let jetstream = jetstream.clone();
                async move { check_nats(&jetstream).await }.boxed()
            }),
            Probe::new("definitions", move || {
                let answer = definitions.check(oldest);
                async move { answer }.boxed()
            })
            .of_own_state(),
        ]
    }
}

async fn check_postgres(store: &Store) -> Result<(), String> {
    let schema = store.schema_state().await;
    schema.map_err(|error| describe(&error))?.fits()
}

async fn check_temporal(temporal: Option<&Temporal>) -> Result<(), String> {
    match temporal {
        None => Err("not connected yet".to_owned()),
        Some(temporal) => temporal.ping().await.map_err(|error| describe(&error)),
    }
}

async fn check_nats(jetstream: &jetstream::Context) -> Result<(), String> {
    match jetstream.client().connection_state() {
        State::Connected => {}
        State::Pending => return Err("not connected yet".to_owned()),
        State::Disconnected => return Err("disconnected".to_owned()),
    }
    for stream in [names::EVENT_STREAM, names::DEAD_LETTER_STREAM] {
        let found = jetstream.get_stream(stream).await;
        let found = found.map_err(|error| format!("the stream {stream}: {}", describe(&error)))?;
        if stream == names::EVENT_STREAM {
            let consumer = found.consumer_info(names::EVENT_CONSUMER).await;
            consumer.map_err(|error| {
                format!(
                    "the consumer {}: {}",
                    names::EVENT_CONSUMER,
                    describe(&error)
                )
            })?;
        }
    }
    Ok(())
}
