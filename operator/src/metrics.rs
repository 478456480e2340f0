//! The operator's metrics. Counters with few labels are there from the start at 0, because a
//! counter that is born at 1 never shows an increase.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts};
use runtime::Registry;

use crate::activity_definition::{ScheduleStep, Standing};
use crate::definition_metrics::DefinitionMetrics;

/// The metrics. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OperatorMetrics {
    /// Reconciles by how they ended.
    pub reconciles: IntCounterVec,
    /// How long a reconcile took.
    pub reconcile_seconds: Histogram,
    /// Writes to Schedules by what was done.
    pub schedule_writes: IntCounterVec,
    /// Differences that the resync found.
    pub drift: IntCounterVec,
    /// Whether this replica leads.
    pub leader: IntGauge,
    /// What every definition has.
    pub definitions: DefinitionMetrics,
    /// How long a pass of the audit took.
    pub audit_seconds: Histogram,
    /// When the audit last decided everything that could be decided.
    pub audit_last_success: IntGauge,
    /// When the last resync ended.
    pub last_resync: IntGauge,
    /// When the webhook's certificate ends.
    pub webhook_certificate_expiry: IntGauge,
}

impl OperatorMetrics {
    /// Registers the metrics.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let reconciles = counter(
            "activity_core_operator_reconciles_total",
            "Reconciles of ActivityDefinitions, by how they ended.",
            &["result"],
        )?;
        for result in Standing::ALL {
            reconciles.with_label_values(&[result.as_str()]);
        }
        reconciles.with_label_values(&["error"]);
        let schedule_writes = counter(
            "activity_core_operator_schedule_writes_total",
            "Writes to Temporal Schedules, by operation.",
            &["operation"],
        )?;
        for operation in ScheduleStep::OPERATIONS {
            schedule_writes.with_label_values(&[operation]);
        }
        let drift = counter(
            "activity_core_operator_drift_total",
            "Differences between declaration and reality that a resync found, by kind.",
            &["kind"],
        )?;
        for kind in crate::resync::DRIFT_KINDS {
            drift.with_label_values(&[kind]);
        }
        let reconcile_seconds = Histogram::with_opts(HistogramOpts::new(
            "activity_core_operator_reconcile_duration_seconds",
            "How long a reconcile of an ActivityDefinition took.",
        ))?;
        registry.register(Box::new(reconcile_seconds.clone()))?;
        let audit_seconds = Histogram::with_opts(HistogramOpts::new(
            "activity_core_audit_duration_seconds",
            "How long a pass of the audit of expected runs took.",
        ))?;
        registry.register(Box::new(audit_seconds.clone()))?;
        Ok(Self {
            reconciles,
            reconcile_seconds,
            schedule_writes,
            drift,
            leader: gauge(
                "activity_core_operator_leader",
                "1 while this replica is the leader, else 0.",
            )?,
            definitions: DefinitionMetrics::register(registry),
            audit_seconds,
            audit_last_success: gauge(
                "activity_core_audit_last_success_timestamp_seconds",
                "When the audit last came through with nothing left that it could not look at.",
            )?,
            last_resync: gauge(
                "activity_core_operator_last_resync_timestamp_seconds",
                "When the last complete comparison with Temporal and the mirror ended.",
            )?,
            webhook_certificate_expiry: gauge(
                "activity_core_webhook_certificate_expiry_timestamp_seconds",
                "When the certificate of the admission webhook ends; 0 without a webhook.",
            )?,
        })
    }
}
