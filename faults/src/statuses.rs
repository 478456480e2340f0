//! Whether a status ever says `Ready=True` while it isn't so.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use crds::ActivityDefinition;
use futures::StreamExt as _;
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use store::Store;
use tokio::task::JoinHandle;

use crate::oracle;
use crate::schedules::Schedules;

/// How many contradictions are kept.
const MOST: usize = 20;

/// Follows the statuses of a lane, and compares each one that says Ready with the world.
#[derive(Debug)]
pub(crate) struct Statuses {
    state: Arc<Mutex<State>>,
    following: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    checked: usize,
    lies: Vec<String>,
}

impl Statuses {
    pub(crate) fn follow(
        definitions: Api<ActivityDefinition>,
        store: &Store,
        schedules: &Schedules,
    ) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let follower = Follower {
            definitions,
            store: store.clone(),
            schedules: schedules.clone(),
            state: Arc::clone(&state),
        };
        Self {
            state,
            following: tokio::spawn(follower.run()),
        }
    }

    /// How many statuses were compared, and what was found, since the last call.
    pub(crate) fn take(&self) -> (usize, Vec<String>) {
        let state = std::mem::take(&mut *lock(&self.state));
        (state.checked, state.lies)
    }
}

impl Drop for Statuses {
    fn drop(&mut self) {
        self.following.abort();
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Follower {
    definitions: Api<ActivityDefinition>,
    store: Store,
    schedules: Schedules,
    state: Arc<Mutex<State>>,
}

impl Follower {
    async fn run(self) {
        let mut version = "0".to_owned();
        loop {
            let parameters = WatchParams::default();
            let watching = self.definitions.watch(&parameters, &version);
            let Ok(mut events) = watching.await.map(futures::StreamExt::boxed) else {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            while let Some(event) = events.next().await {
                let object = match event {
                    Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => object,
                    Ok(WatchEvent::Bookmark(_) | WatchEvent::Deleted(_)) => continue,
                    Ok(WatchEvent::Error(_)) | Err(_) => {
                        "0".clone_into(&mut version);
                        break;
                    }
                };
                version = object.metadata.resource_version.clone().unwrap_or(version);
                // What can't be asked proves nothing.
                let _ = self.compare(&object).await;
            }
        }
    }

    async fn compare(&self, object: &ActivityDefinition) -> Result<()> {
        if !says_ready(object) {
            return Ok(());
        }
        let found = oracle::compare(object, &self.store, (&self.schedules, None)).await?;
        // If the spec has changed meanwhile, the status was about another one.
        let name = object.metadata.name.as_deref().context("no name")?;
        let Some(now) = self.definitions.get_opt(name).await? else {
            return Ok(());
        };
        let is_same = now.metadata.uid == object.metadata.uid
            && now.metadata.generation == object.metadata.generation
            && now.metadata.deletion_timestamp.is_none();
        if !is_same {
            return Ok(());
        }
        let mut state = lock(&self.state);
        state.checked += 1;
        if state.lies.len() < MOST {
            let lies = found.into_iter();
            state
                .lies
                .extend(lies.map(|lie| format!("Ready=True was said of {name} although {lie}")));
        }
        Ok(())
    }
}

fn says_ready(object: &ActivityDefinition) -> bool {
    let conditions = object.status.as_ref().map(|status| &status.conditions);
    object.metadata.deletion_timestamp.is_none()
        && conditions.is_some_and(|conditions| {
            conditions.iter().any(|condition| {
                condition.type_ == "Ready"
                    && condition.status == "True"
                    && condition.observed_generation == object.metadata.generation
            })
        })
}
