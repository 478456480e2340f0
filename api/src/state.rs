//! What all requests share.

use std::sync::Arc;
use std::time::Duration;

use crds::ActivityDefinition;
use domain::ActivityId;
use kube::ResourceExt as _;
use store::Store;

use crate::access::{Access, Caller, Wish};
use crate::definitions::{Definitions, gone};
use crate::error::Error;
use crate::metrics::RequestMetrics;
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
    /// The ledger and the mirror.
    pub(crate) store: Store,
    /// What starts manual runs.
    pub(crate) temporal: TemporalLink,
    /// The counts of requests.
    pub(crate) metrics: RequestMetrics,
    /// How long one request may take.
    pub(crate) request_timeout: Duration,
}

impl ApiState {
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
