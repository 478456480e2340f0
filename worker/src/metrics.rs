//! The worker's own metrics. Every series with few labels exists from the start, at zero: a
//! counter that is born at one never shows an increase.

use std::time::Duration;

use domain::{DeliveryResult, RunOutcome, Tier};
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

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
                "Deliveries to sinks that ended, by kind of sink and result.",
                &["kind", "result"],
            )?,
            delivery_failures: counter(
                "activity_core_sink_delivery_failures_total",
                "Failed tries of deliveries to sinks, those that are repeated included.",
                &["kind"],
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
        for kind in KINDS {
            self.delivery_failures.with_label_values(&[kind]);
            for result in RESULTS {
                self.deliveries.with_label_values(&[kind, result.as_str()]);
            }
        }
        for direction in ["prompt", "completion"] {
            self.instruction_tokens.with_label_values(&[direction]);
        }
    }

    /// Counts a run that ended.
    pub(crate) fn count_run(&self, outcome: RunOutcome, tier: Option<&str>, took: Duration) {
        let known = [Tier::Critical.as_str(), Tier::Standard.as_str()];
        let tier = known.into_iter().find(|name| tier == Some(name));
        self.runs
            .with_label_values(&[outcome.as_str(), tier.unwrap_or(UNKNOWN_TIER)])
            .inc();
        self.run_duration.observe(took.as_secs_f64());
    }

    /// Counts a delivery that ended.
    pub(crate) fn count_delivery(&self, kind: &str, result: DeliveryResult) {
        if let Some(kind) = known_kind(kind) {
            self.deliveries
                .with_label_values(&[kind, result.as_str()])
                .inc();
        }
    }

    /// Counts a try of a delivery that failed.
    pub(crate) fn count_delivery_failure(&self, kind: &str) {
        if let Some(kind) = known_kind(kind) {
            self.delivery_failures.with_label_values(&[kind]).inc();
        }
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

/// Kinds come out of the ledger and out of histories as texts; a label must stay one of a few.
fn known_kind(kind: &str) -> Option<&'static str> {
    KINDS.into_iter().find(|known| *known == kind)
}

fn counter(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_before_anything_happens() {
        let registry = Registry::new();
        WorkerMetrics::register(&registry).unwrap();
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        for series in [
            "activity_core_runs_total{outcome=\"Failed\",tier=\"Critical\"} 0",
            "activity_core_sink_deliveries_total{kind=\"stateHub\",result=\"Exists\"} 0",
            "activity_core_sink_delivery_failures_total{kind=\"issueCore\"} 0",
            "activity_core_instruction_tokens_total{direction=\"completion\"} 0",
            "activity_core_run_duration_seconds_count 0",
        ] {
            assert!(text.contains(series), "{series} is not in\n{text}");
        }
    }
}
