//! What every reconcile has at hand.

use std::time::Duration;

use crds::{ActivityDefinition, MaintenanceWindow};
use kube::Client;
use kube::runtime::events::Recorder;
use kube::runtime::reflector;
use store::Store;
use temporal::Temporal;

use crate::leader::Leadership;
use crate::metrics::OperatorMetrics;

/// Connections, caches and settings, shared by all reconciles.
pub struct Context {
    /// The API server.
    pub client: Client,
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
    /// Every maintenance window that is watched, as of the last event.
    pub windows: reflector::Store<MaintenanceWindow>,
    /// Whether what no definition declares is swept: only by an operator that watches every
    /// namespace, since another one's definitions are no orphans.
    pub sweeps: bool,
    /// The most time that the steps of one run may take together.
    pub time_limit: Duration,
}
