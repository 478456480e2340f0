//! What readiness depends on: Postgres with a schema that fits, and Temporal.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt as _;
use runtime::{Backoff, Probe, Shutdown};
use store::Store;
use temporal::Temporal;

/// The longest pause between two looks at a schema that does not fit.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The connection to Temporal, from the moment on at which there is one.
pub(crate) type TemporalSlot = Arc<OnceLock<Temporal>>;

/// Asks Postgres for its schema.
pub(crate) fn postgres(store: Store) -> Probe {
    Probe::new("postgres", move || {
        let store = store.clone();
        async move { check_schema(&store).await }.boxed()
    })
}

/// Asks Temporal for an answer.
pub(crate) fn temporal(slot: TemporalSlot) -> Probe {
    Probe::new("temporal", move || {
        let slot = Arc::clone(&slot);
        async move {
            let temporal = slot.get().ok_or("not connected yet")?;
            temporal
                .ping()
                .await
                .map_err(|error| runtime::describe(&error))
        }
        .boxed()
    })
}

/// Waits for a schema that fits; false when the process is to stop first.
pub(crate) async fn schema_is_current(store: &Store, shutdown: &Shutdown) -> bool {
    let mut backoff = Backoff::up_to(LONGEST_PAUSE);
    loop {
        match shutdown.or(check_schema(store)).await {
            None => return false,
            Some(Ok(())) => return true,
            Some(Err(reason)) => {
                let delay = backoff.next_delay();
                tracing::warn!(
                    reason,
                    retry_in_seconds = delay.as_secs(),
                    "Postgres can't be used yet"
                );
                if !shutdown.sleep(delay).await {
                    return false;
                }
            }
        }
    }
}

async fn check_schema(store: &Store) -> Result<(), String> {
    let schema = store.schema_state().await;
    schema.map_err(|error| runtime::describe(&error))?.fits()
}
