//! What every reconcile has at hand.

use std::time::Duration;

use crds::{ActivityDefinition, MaintenanceWindow};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector;
use store::Store;
use temporal::Temporal;

use crate::claims::Claims;
use crate::distrust::Distrusted;
use crate::leader::Leadership;
use crate::metrics::OperatorMetrics;
use crate::unseen::Unseen;

/// The longest note of an Event that the API server takes is 1024 bytes (Event v1, `note`).
const LONGEST_NOTE: usize = 1000;

/// What an Event is to say.
#[derive(Debug)]
pub(crate) struct Announcement<'a> {
    /// Whether it is trouble.
    pub type_: EventType,
    /// Why it is published, in one word.
    pub reason: &'a str,
    /// What was done or looked at.
    pub action: &'a str,
    /// For people. What is too long is cut.
    pub note: String,
}

impl Announcement<'_> {
    fn into_event(self) -> Event {
        let mut note = self.note;
        note.truncate(note.floor_char_boundary(LONGEST_NOTE));
        Event {
            type_: self.type_,
            reason: self.reason.to_owned(),
            note: Some(note),
            action: self.action.to_owned(),
            secondary: None,
        }
    }
}

/// Connections, caches and settings, shared by all reconciles.
pub struct Context {
    /// The API server: a call that it does not answer soon is given up, a watch may wait.
    pub client: Client,
    /// Temporal.
    pub temporal: Temporal,
    /// Postgres.
    pub store: Store,
    /// Whether this replica may write.
    pub leadership: Leadership,
    /// Publishes Events that tell of trouble, and counts where the same is told again.
    pub troubles: Recorder,
    /// The metrics.
    pub metrics: OperatorMetrics,
    /// Every definition that is watched, as of the last event.
    pub definitions: reflector::Store<ActivityDefinition>,
    /// Which of them claim which activity.
    pub(crate) claims: Claims,
    /// Every maintenance window that is watched, as of the last event.
    pub windows: reflector::Store<MaintenanceWindow>,
    /// The one namespace that is watched; what belongs to another one is another operator's.
    pub watched: Option<String>,
    /// The activities whose Schedule did not fire although it looked as declared.
    pub(crate) distrusted: Distrusted,
    /// What we wrote and the watch has not shown yet.
    pub(crate) unseen: Unseen,
    /// Where progress notes go; `None` when no State Hub is set.
    pub state_hub: Option<audit::StateHub>,
    /// The last request by annotation for which everything was compared and swept.
    pub swept_for: tokio::sync::Mutex<Option<String>>,
    /// The most time that the steps of one run may take together.
    pub time_limit: Duration,
}

impl Context {
    /// Whether what is of this namespace is ours to sweep when nobody declares it.
    pub(crate) fn watches(&self, namespace: &str) -> bool {
        let watched = self.watched.as_deref();
        watched.is_none_or(|watched| watched == namespace)
    }

    /// Publishes an Event, or logs why it can't be: nothing depends on it. That all is well is told
    /// once, and is not worth remembering for minutes: with ten thousand definitions that would be a
    /// sixth of the memory.
    pub(crate) async fn publish(
        &self,
        announcement: Announcement<'_>,
        regarding: &ObjectReference,
    ) {
        let event = announcement.into_event();
        let published = match event.type_ {
            EventType::Normal => {
                let recorder = Recorder::new(self.client.clone(), Reporter::from(crate::PROGRAM));
                recorder.publish(&event, regarding).await
            }
            EventType::Warning => self.troubles.publish(&event, regarding).await,
        };
        if let Err(error) = published {
            let namespace = regarding.namespace.as_deref().unwrap_or_default();
            let name = regarding.name.as_deref().unwrap_or_default();
            tracing::warn!(
                definition = format!("{namespace}/{name}"),
                error = runtime::describe(&error),
                "unable to publish an Event"
            );
        }
    }

    /// The API server, for everything that is watched of a kind.
    pub(crate) fn declared<K>(&self) -> kube::Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        match &self.watched {
            Some(namespace) => kube::Api::namespaced(self.client.clone(), namespace),
            None => kube::Api::all(self.client.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let event = Announcement {
            type_: EventType::Warning,
            reason: "RunNotStarted",
            action: "StartRun",
            note: format!("a{}", "ü".repeat(LONGEST_NOTE)),
        };
        let note = event.into_event().note.unwrap();
        assert_eq!(note.len(), LONGEST_NOTE - 1);
    }
}
