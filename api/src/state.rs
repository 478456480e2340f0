//! What all requests share.

use std::sync::Arc;
use std::time::Duration;

use audit::{Auditor, StateHub, WorkingMemory};
use crds::ActivityDefinition;
use domain::verification::Seen;
use domain::{ActivityId, TimeZone};
use kube::ResourceExt as _;
use store::Store;

use crate::access::{Access, Caller, Wish};
use crate::dead_letters::DeadLetters;
use crate::definitions::{Definitions, gone};
use crate::error::Error;
use crate::event_types::EventTypes;
use crate::feedback_notes::Notes;
use crate::metrics::RequestMetrics;
use crate::rate_limit::RateLimits;
use crate::temporal_link::TemporalLink;

/// The plural of ActivityDefinition, as roles name it.
pub(crate) const ACTIVITY_DEFINITIONS: &str = "activitydefinitions";

/// What all requests share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ApiState {
    /// Who may do what.
    pub(crate) access: Arc<Access>,
    /// The definitions in Kubernetes.
    pub(crate) definitions: Definitions,
    /// The event types in Kubernetes.
    pub(crate) event_types: EventTypes,
    /// The ledger and the mirror.
    pub(crate) store: Store,
    /// What starts manual runs.
    pub(crate) temporal: TemporalLink,
    /// Where the report files are.
    pub(crate) working_memory: Seen<WorkingMemory>,
    /// Where progress entries are.
    pub(crate) state_hub: Seen<StateHub>,
    /// What sends feedback on.
    pub(crate) notes: Notes,
    /// Where dead letters are counted.
    pub(crate) dead_letters: DeadLetters,
    /// How many requests one caller may send.
    pub(crate) rate_limits: Arc<RateLimits>,
    /// Whose today the page shows.
    pub(crate) time_zone: TimeZone,
    /// The counts of requests.
    pub(crate) metrics: RequestMetrics,
    /// How long one request may take.
    pub(crate) request_timeout: Duration,
}

impl ApiState {
    /// What looks for the evidence of runs.
    pub(crate) fn auditor(&self) -> Auditor {
        let temporal = self.temporal.get().cloned();
        Auditor {
            store: self.store.clone(),
            temporal: temporal.map_err(|error| runtime::describe(&error)),
            state_hub: self.state_hub.clone(),
            working_memory: self.working_memory.clone(),
        }
    }

    /// The definition with this id, provided that the caller may do `verb` with it.
    pub(crate) async fn permitted(
        &self,
        caller: &Caller,
        verb: &'static str,
        id: ActivityId,
    ) -> Result<ActivityDefinition, Error> {
        let found = self.definitions.find(id).await?.ok_or_else(gone)?;
        self.authorize_on(caller, verb, &found).await?;
        Ok(found)
    }

    /// Refuses unless the caller may see the runs of an activity. The history of a deleted
    /// definition belongs to no namespace any more: it needs the right in all of them.
    pub(crate) async fn authorize_history(
        &self,
        caller: &Caller,
        definition: Option<&ActivityDefinition>,
    ) -> Result<(), Error> {
        if let Some(definition) = definition {
            return self.authorize_on(caller, "get", definition).await;
        }
        let wish = Wish {
            verb: "get",
            resource: ACTIVITY_DEFINITIONS,
            namespace: None,
            name: None,
        };
        self.access.authorize(caller, wish).await
    }

    async fn authorize_on(
        &self,
        caller: &Caller,
        verb: &'static str,
        object: &ActivityDefinition,
    ) -> Result<(), Error> {
        let wish = Wish {
            verb,
            resource: ACTIVITY_DEFINITIONS,
            namespace: object.metadata.namespace.as_deref(),
            name: Some(&object.name_any()),
        };
        self.access.authorize(caller, wish).await
    }
}
