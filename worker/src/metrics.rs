//! The worker's own metrics. Every series with few labels exists from the start, at zero: a
//! counter that is born at one never shows an increase. Those of a sink exist from the moment at
//! which a run plans to use it.

use std::time::Duration;

use domain::{DeliveryResult, RunOutcome, Tier};
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts};
use runtime::Registry;
use store::MirrorRow;

use crate::sinks::KINDS;

/// The tier of a run whose definition was never seen.
const UNKNOWN_TIER: &str = "Unknown";

/// The results that end a delivery.
const RESULTS: [DeliveryResult; 4] = [
    DeliveryResult::Delivered,
    DeliveryResult::Exists,
    DeliveryResult::DryRun,
    DeliveryResult::Failed,
];

/// Bounds for runs between a fraction of a second and the hour.
const DURATION_BUCKETS: [f64; 12] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0,
];

/// The labels that tell whose sink is meant.
const SINK_LABELS: [&str; 5] = ["namespace", "name", "tier", "sink", "kind"];

/// One sink of one definition, as the metrics name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SinkLabels {
    namespace: String,
    name: String,
    tier: &'static str,
    sink: String,
    kind: &'static str,
}

impl SinkLabels {
    /// The labels of the sink called `sink` of the definition in a mirror row. `None` for a kind
    /// that is none of ours: kinds come out of the ledger and out of histories as texts, and a
    /// label must stay one of a few.
    pub(crate) fn new(row: &MirrorRow, sink: &str, kind: &str) -> Option<Self> {
        Some(Self {
            namespace: row.namespace.clone(),
            name: row.name.clone(),
            tier: known_tier(row.spec["tier"].as_str().or(Some(Tier::Standard.as_str()))),
            sink: sink.to_owned(),
            kind: KINDS.into_iter().find(|known| *known == kind)?,
        })
    }

    fn values(&self) -> [&str; 5] {
        [
            &self.namespace,
            &self.name,
            self.tier,
            &self.sink,
            self.kind,
        ]
    }

    fn values_with(&self, result: DeliveryResult) -> [&str; 6] {
        let [namespace, name, tier, sink, kind] = self.values();
        [namespace, name, tier, sink, kind, result.as_str()]
    }
}

/// The worker's own metrics. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct WorkerMetrics {
    runs: IntCounterVec,
    deliveries: IntCounterVec,
    delivery_failures: IntCounterVec,
    instruction_tokens: IntCounterVec,
    run_duration: Histogram,
}

impl WorkerMetrics {
    /// Registers them.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            runs: counter(
                "activity_core_runs_total",
                "Runs that ended, by outcome and by the definition's tier.",
                &["outcome", "tier"],
            )?,
            deliveries: counter(
                "activity_core_sink_deliveries_total",
                "Deliveries to sinks that ended, by definition, sink and result.",
                &["namespace", "name", "tier", "sink", "kind", "result"],
            )?,
            delivery_failures: counter(
                "activity_core_sink_delivery_failures_total",
                "Failed tries of deliveries to sinks, those that are repeated included.",
                &SINK_LABELS,
            )?,
            instruction_tokens: counter(
                "activity_core_instruction_tokens_total",
                "Tokens that instructions took, of prompts and of answers.",
                &["direction"],
            )?,
            run_duration: Histogram::with_opts(
                HistogramOpts::new(
                    "activity_core_run_duration_seconds",
                    "From the beginning of a run to its outcome.",
                )
                .buckets(DURATION_BUCKETS.to_vec()),
            )?,
        };
        metrics.create_series();
        registry.register(Box::new(metrics.runs.clone()))?;
        registry.register(Box::new(metrics.deliveries.clone()))?;
        registry.register(Box::new(metrics.delivery_failures.clone()))?;
        registry.register(Box::new(metrics.instruction_tokens.clone()))?;
        registry.register(Box::new(metrics.run_duration.clone()))?;
        Ok(metrics)
    }

    fn create_series(&self) {
        for outcome in [RunOutcome::Succeeded, RunOutcome::Failed] {
            for tier in [
                Tier::Critical.as_str(),
                Tier::Standard.as_str(),
                UNKNOWN_TIER,
            ] {
                self.runs.with_label_values(&[outcome.as_str(), tier]);
            }
        }
        for direction in ["prompt", "completion"] {
            self.instruction_tokens.with_label_values(&[direction]);
        }
    }

    /// Counts a run that ended.
    pub(crate) fn count_run(&self, outcome: RunOutcome, tier: Option<&str>, took: Duration) {
        self.runs
            .with_label_values(&[outcome.as_str(), known_tier(tier)])
            .inc();
        self.run_duration.observe(took.as_secs_f64());
    }

    /// Lets a sink's series begin, at zero.
    pub(crate) fn expect_deliveries(&self, labels: &SinkLabels) {
        self.delivery_failures.with_label_values(&labels.values());
        for result in RESULTS {
            self.deliveries
                .with_label_values(&labels.values_with(result));
        }
    }

    /// Counts a delivery that ended.
    pub(crate) fn count_delivery(&self, labels: &SinkLabels, result: DeliveryResult) {
        self.deliveries
            .with_label_values(&labels.values_with(result))
            .inc();
    }

    /// Counts a try of a delivery that failed.
    pub(crate) fn count_delivery_failure(&self, labels: &SinkLabels) {
        self.delivery_failures
            .with_label_values(&labels.values())
            .inc();
    }

    /// Counts what one answer of a model took.
    pub(crate) fn count_tokens(&self, prompt: u64, completion: u64) {
        self.instruction_tokens
            .with_label_values(&["prompt"])
            .inc_by(prompt);
        self.instruction_tokens
            .with_label_values(&["completion"])
            .inc_by(completion);
    }
}

fn known_tier(tier: Option<&str>) -> &'static str {
    [Tier::Critical.as_str(), Tier::Standard.as_str()]
        .into_iter()
        .find(|name| tier == Some(name))
        .unwrap_or(UNKNOWN_TIER)
}

fn counter(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(registry: &Registry) -> String {
        prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap()
    }

    #[test]
    fn every_series_is_there_before_anything_happens() {
        let registry = Registry::new();
        let metrics = WorkerMetrics::register(&registry).unwrap();
        let row = MirrorRow {
            activity_id: uuid::Uuid::nil(),
            namespace: "team".to_owned(),
            name: "triage".to_owned(),
            uid: uuid::Uuid::nil(),
            generation: 1,
            display_name: "Daily triage".to_owned(),
            enabled: true,
            event_type: None,
            spec: serde_json::json!({"tier": "Critical"}),
        };
        assert_eq!(SinkLabels::new(&row, "hub", "pigeon"), None);
        metrics.expect_deliveries(&SinkLabels::new(&row, "hub", "stateHub").unwrap());
        let text = text(&registry);
        for series in [
            "activity_core_runs_total{outcome=\"Failed\",tier=\"Critical\"} 0",
            "activity_core_sink_deliveries_total{kind=\"stateHub\",name=\"triage\",\
             namespace=\"team\",result=\"Exists\",sink=\"hub\",tier=\"Critical\"} 0",
            "activity_core_sink_delivery_failures_total{kind=\"stateHub\",name=\"triage\",\
             namespace=\"team\",sink=\"hub\",tier=\"Critical\"} 0",
            "activity_core_instruction_tokens_total{direction=\"completion\"} 0",
            "activity_core_run_duration_seconds_count 0",
        ] {
            assert!(text.contains(series), "{series} is not in\n{text}");
        }
    }
}
