//! What all activities of the process share.

use std::time::Duration;

use domain::{ActivityId, Definition};
use runtime::Secret;
use runtime::storage::Storage;
use store::Store;
use url::Url;

use crate::arguments::IssueSinkType;
use crate::egress::Egress;
use crate::error::StepError;
use crate::instruction::ModelEndpoint;
use crate::metrics::WorkerMetrics;
use crate::plan;
use crate::secrets::Secrets;

/// What all activities of the process share.
#[derive(Debug)]
pub(crate) struct Services {
    /// Postgres.
    pub(crate) store: Store,
    /// The way out.
    pub(crate) egress: Egress,
    /// The secrets that definitions may refer to.
    pub(crate) secrets: Secrets,
    /// The worker's own metrics.
    pub(crate) metrics: WorkerMetrics,
    /// Where things are.
    pub(crate) settings: Settings,
}

/// Where things are.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// State Hub.
    pub(crate) state_hub: Option<Url>,
    /// issue-core.
    pub(crate) issue_core: Option<Url>,
    /// The key that issue-core wants to see.
    pub(crate) issue_core_token: Option<Secret>,
    /// Whether tasks are filed at all.
    pub(crate) issue_sink_type: IssueSinkType,
    /// Where instructions are answered.
    pub(crate) model: Option<ModelEndpoint>,
    /// The place of working-memory reports.
    pub(crate) working_memory: Option<Storage>,
    /// How long the steps of one run may take together.
    pub(crate) run_limit: Duration,
}

impl Services {
    /// The definition of an activity, as it is now.
    pub(crate) async fn definition(&self, activity: ActivityId) -> Result<Definition, StepError> {
        let row = self.store.definition(activity).await?;
        let row = row.ok_or(StepError::DefinitionDeleted)?;
        plan::definition(&row).map_err(StepError::InvalidDefinition)
    }
}
