//! What every reconcile has at hand.

use std::time::Duration;

use crds::{ActivityDefinition, MaintenanceWindow};
use kube::Client;
use kube::runtime::events::Recorder;
use kube::runtime::reflector;
use store::Store;
use temporal::Temporal;

use crate::claims::Claims;
use crate::distrust::Distrusted;
use crate::leader::Leadership;
use crate::metrics::OperatorMetrics;

/// Connections, caches and settings, shared by all reconciles.
pub struct Context {
    /// The API server, for calls: what it does not answer soon is given up.
    pub client: Client,
    /// The API server, for watches.
    pub watch_client: Client,
    /// Temporal.
    pub temporal: Temporal,
    /// Postgres.
    pub store: Store,
    /// Whether this replica may write.
    pub leadership: Leadership,
    /// Publishes Kubernetes Events.
    pub recorder: Recorder,
    /// The metrics.
    pub metrics: OperatorMetrics,
    /// Every definition that is watched, as of the last event.
    pub definitions: reflector::Store<ActivityDefinition>,
    /// Which of them claim which activity.
    pub(crate) claims: Claims,
    /// Every maintenance window that is watched, as of the last event.
    pub windows: reflector::Store<MaintenanceWindow>,
    /// Whether what no definition declares is swept: only by an operator that watches every
    /// namespace, since another one's definitions are no orphans.
    pub sweeps: bool,
    /// The activities whose Schedule did not fire although it looked as declared.
    pub(crate) distrusted: Distrusted,
    /// Where progress notes go; `None` when no State Hub is set.
    pub state_hub: Option<audit::StateHub>,
    /// The last request by annotation for which everything was compared and swept.
    pub swept_for: tokio::sync::Mutex<Option<String>>,
    /// The most time that the steps of one run may take together.
    pub time_limit: Duration,
}
