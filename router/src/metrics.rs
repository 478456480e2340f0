//! What the router counts. Every series whose labels are known is there from the start, at zero:
//! a counter that is born at one never shows an increase.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use contracts::dead_letter::Reason;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, PullingGauge,
    Registry,
};

use crate::definitions::Definitions;
use crate::snapshot::{ObjectName, Snapshot};

/// The upper bounds of the time from an event's arrival to its acknowledgement, in seconds. A
/// start takes tens of milliseconds; what takes minutes was held during an outage.
const DURATION_BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// What became of one delivery of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventResult {
    /// It started at least one run.
    Started,
    /// All the runs that it starts had been started before.
    Duplicate,
    /// No definition matches it.
    Unmatched,
    /// It is a dead letter.
    DeadLetter,
    /// It is delivered again later.
    Retry,
}

impl EventResult {
    const ALL: [Self; 5] = [
        Self::Started,
        Self::Duplicate,
        Self::Unmatched,
        Self::DeadLetter,
        Self::Retry,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Duplicate => "duplicate",
            Self::Unmatched => "unmatched",
            Self::DeadLetter => "dead_letter",
            Self::Retry => "retry",
        }
    }
}

/// The router's own metrics. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RouterMetrics {
    events: IntCounterVec,
    runs_started: IntCounterVec,
    dead_letters: IntCounterVec,
    /// The definitions that have a series.
    counted: Arc<Mutex<BTreeSet<ObjectName>>>,
    definitions: IntGauge,
    unreadable: IntGauge,
    /// Payloads that broke a schema which only warns.
    pub(crate) schema_warnings: IntCounter,
    /// Acknowledgements that the server did not confirm.
    pub(crate) unconfirmed_acks: IntCounter,
    /// Events that this replica works on.
    pub(crate) in_flight: IntGauge,
    /// Events that no replica has been given yet.
    pub(crate) pending: IntGauge,
    /// Events that are given to a replica and not acknowledged.
    pub(crate) ack_pending: IntGauge,
    /// How old the oldest event is that is not acknowledged, in seconds.
    pub(crate) oldest_pending_age: Gauge,
    /// From an event's arrival at this replica to its acknowledgement, in seconds.
    pub(crate) duration: Histogram,
}

impl RouterMetrics {
    /// Makes and registers them.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            events: register(
                registry,
                IntCounterVec::new(
                    options(
                        "events_total",
                        "Deliveries of events, by what became of them.",
                    ),
                    &["result"],
                ),
            )?,
            runs_started: register(
                registry,
                IntCounterVec::new(
                    options("runs_started_total", "Runs started by events."),
                    &["namespace", "definition"],
                ),
            )?,
            dead_letters: register(
                registry,
                IntCounterVec::new(
                    options("dead_letters_total", "Events that became dead letters."),
                    &["reason"],
                ),
            )?,
            counted: Arc::default(),
            definitions: gauge(
                registry,
                "definitions",
                "Definitions that wait for events, as this replica knows them.",
            )?,
            unreadable: gauge(
                registry,
                "unreadable_objects",
                "Definitions and event types in the mirror that this version can't read.",
            )?,
            schema_warnings: register(
                registry,
                IntCounter::with_opts(options(
                    "schema_warnings_total",
                    "Payloads that broke a schema which is not enforced.",
                )),
            )?,
            unconfirmed_acks: register(
                registry,
                IntCounter::with_opts(options(
                    "unconfirmed_acks_total",
                    "Acknowledgements that NATS did not confirm; those events come again.",
                )),
            )?,
            in_flight: gauge(
                registry,
                "in_flight_events",
                "Events that this replica works on.",
            )?,
            pending: gauge(
                registry,
                "consumer_pending_events",
                "Events in the stream that no replica has been given yet.",
            )?,
            ack_pending: gauge(
                registry,
                "consumer_ack_pending_events",
                "Events that were given to a replica and are not acknowledged.",
            )?,
            oldest_pending_age: register(
                registry,
                Gauge::with_opts(options(
                    "oldest_pending_age_seconds",
                    "How long ago the oldest event that is not acknowledged was published; 0 when \
                     there is none.",
                )),
            )?,
            duration: register(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "activity_core_router_event_duration_seconds",
                        "From an event's arrival at this replica to its acknowledgement.",
                    )
                    .buckets(DURATION_BUCKETS.to_vec()),
                ),
            )?,
        };
        for result in EventResult::ALL {
            metrics.events.with_label_values(&[result.as_str()]);
        }
        for reason in Reason::ALL {
            metrics.dead_letters.with_label_values(&[reason.as_str()]);
        }
        Ok(metrics)
    }

    /// Adds the age of what is known of the mirror, asked for at each scrape.
    pub(crate) fn register_mirror_age(
        registry: &Registry,
        definitions: Definitions,
    ) -> Result<(), prometheus::Error> {
        let age = PullingGauge::new(
            "activity_core_router_mirror_age_seconds",
            "How long ago the definitions were known to be current; +Inf before the first read.",
            Box::new(move || {
                definitions
                    .age()
                    .map_or(f64::INFINITY, |age| age.as_secs_f64())
            }),
        )?;
        registry.register(Box::new(age))
    }

    /// Counts what became of a delivery.
    pub(crate) fn count_event(&self, result: EventResult) {
        self.events.with_label_values(&[result.as_str()]).inc();
    }

    /// Counts a run that was started.
    pub(crate) fn count_run(&self, definition: &ObjectName) {
        self.runs_started
            .with_label_values(&[&definition.namespace, &definition.name])
            .inc();
    }

    /// Counts a dead letter.
    pub(crate) fn count_dead_letter(&self, reason: Reason) {
        self.dead_letters
            .with_label_values(&[reason.as_str()])
            .inc();
    }

    /// Brings the series of each definition in line with those that there are.
    pub(crate) fn set_definitions(&self, snapshot: &Snapshot) {
        let present: BTreeSet<ObjectName> = snapshot
            .all_subscribers()
            .map(|subscriber| subscriber.object.clone())
            .collect();
        self.definitions.set(to_gauge(present.len()));
        self.unreadable.set(to_gauge(snapshot.unreadable().len()));
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in counted.difference(&present) {
            // It has no series only if somebody else removed it, and nobody else does.
            drop(
                self.runs_started
                    .remove_label_values(&[&gone.namespace, &gone.name]),
            );
        }
        for object in &present {
            self.runs_started
                .with_label_values(&[&object.namespace, &object.name]);
        }
        *counted = present;
    }
}

/// A count as a gauge's value.
pub(crate) fn to_gauge<N: TryInto<i64>>(count: N) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(format!("activity_core_router_{name}"), help)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    register(registry, IntGauge::with_opts(options(name, help)))
}

fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    collector: Result<C, prometheus::Error>,
) -> Result<C, prometheus::Error> {
    let collector = collector?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use store::MirrorRow;
    use uuid::Uuid;

    use super::*;

    fn snapshot(names: &[&str]) -> Snapshot {
        let rows = names.iter().map(|name| MirrorRow {
            activity_id: Uuid::nil(),
            namespace: "team".to_owned(),
            name: (*name).to_owned(),
            uid: Uuid::nil(),
            generation: 1,
            display_name: (*name).to_owned(),
            enabled: true,
            event_type: Some("x".to_owned()),
            spec: json!({"trigger": {"event": {"eventType": "x"}}}),
        });
        Snapshot::build(rows.collect(), vec![])
    }

    fn series(registry: &Registry) -> String {
        prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap()
    }

    #[test]
    fn every_series_begins_at_zero_and_ends_with_its_definition() {
        let registry = Registry::new();
        let metrics = RouterMetrics::register(&registry).unwrap();
        metrics.set_definitions(&snapshot(&["onboarding"]));
        let text = series(&registry);
        let run = "activity_core_router_runs_started_total{definition=\"onboarding\",\
                   namespace=\"team\"} 0";
        for expected in [
            "activity_core_router_events_total{result=\"started\"} 0",
            "activity_core_router_events_total{result=\"retry\"} 0",
            "activity_core_router_dead_letters_total{reason=\"TriesExhausted\"} 0",
            "activity_core_router_definitions 1",
            run,
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        metrics.set_definitions(&snapshot(&[]));
        assert!(!series(&registry).contains("onboarding"));
    }
}
