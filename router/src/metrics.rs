//! What the router counts. Every series whose labels are known is there from the start, at zero:
//! a counter that is born at one never shows an increase.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use contracts::dead_letter::Reason;
use domain::Unmatched;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, PullingGauge,
};
use routing::{ObjectName, Snapshot};
use runtime::Registry;

use crate::definitions::Definitions;

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

/// What an event came to for one definition that waits for its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DefinitionResult {
    /// Its run began.
    Started,
    /// Its run had been started before.
    Duplicate,
    /// It was disabled.
    Disabled,
    /// A filter did not hold.
    Filter,
    /// The condition answered false.
    Condition,
    /// The event is a dead letter on its account, or was held back from it by a schema.
    DeadLetter(Reason),
    /// The start failed and is tried again.
    Failed,
    /// The start waits for that of an earlier event.
    Waits,
}

impl DefinitionResult {
    const WITHOUT_DEAD_LETTERS: [Self; 7] = [
        Self::Started,
        Self::Duplicate,
        Self::Disabled,
        Self::Filter,
        Self::Condition,
        Self::Failed,
        Self::Waits,
    ];

    /// Every result that there can be.
    fn all() -> impl Iterator<Item = Self> {
        let reasons = Reason::ALL.into_iter();
        // An event that can't be read concerns no definition.
        let reasons = reasons.filter(|reason| *reason != Reason::InvalidEnvelope);
        let dead_letters = reasons.map(Self::DeadLetter);
        Self::WITHOUT_DEAD_LETTERS.into_iter().chain(dead_letters)
    }

    /// Why a definition is not started; `None` where the event is of another type, which is not
    /// the definition's business.
    pub(crate) const fn of(why: &Unmatched) -> Option<Self> {
        match why {
            Unmatched::Disabled => Some(Self::Disabled),
            Unmatched::Filter(_) => Some(Self::Filter),
            Unmatched::Condition => Some(Self::Condition),
            Unmatched::OtherType => None,
        }
    }

    /// The labels `result` and `reason`.
    const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Started => ("started", ""),
            Self::Duplicate => ("duplicate", ""),
            Self::Disabled => ("unmatched", "Disabled"),
            Self::Filter => ("unmatched", "Filter"),
            Self::Condition => ("unmatched", "Condition"),
            Self::DeadLetter(reason) => ("dead_letter", reason.as_str()),
            Self::Failed => ("retry", "StartFailed"),
            Self::Waits => ("retry", "WaitsInOrder"),
        }
    }
}

/// The labels of a definition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Counted {
    object: ObjectName,
    tier: &'static str,
}

impl Counted {
    fn labels(&self, result: DefinitionResult) -> [&str; 5] {
        let (result, reason) = result.labels();
        let ObjectName { namespace, name } = &self.object;
        [namespace, name, self.tier, result, reason]
    }
}

/// The router's own metrics. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RouterMetrics {
    events: IntCounterVec,
    definition_events: IntCounterVec,
    dead_letters: IntCounterVec,
    /// The definitions that have series.
    counted: Arc<Mutex<BTreeSet<Counted>>>,
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
            definition_events: register(
                registry,
                IntCounterVec::new(
                    options(
                        "definition_events_total",
                        "What events came to for each definition that waits for their type.",
                    ),
                    &["namespace", "name", "tier", "result", "reason"],
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
                "consumer_pending",
                "Events in the stream that no replica has been given yet.",
            )?,
            ack_pending: gauge(
                registry,
                "consumer_ack_pending",
                "Events that were given to a replica and are not acknowledged.",
            )?,
            oldest_pending_age: register(
                registry,
                Gauge::with_opts(options(
                    "oldest_pending_seconds",
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

    /// Counts what an event came to for a definition, as often as `times` says.
    pub(crate) fn count_definition(
        &self,
        object: &ObjectName,
        result: DefinitionResult,
        times: u64,
    ) {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is gone by now has no series, and must not get one again.
        if let Some(counted) = counted.iter().find(|counted| counted.object == *object) {
            self.definition_events
                .with_label_values(&counted.labels(result))
                .inc_by(times);
        }
    }

    /// Counts a dead letter.
    pub(crate) fn count_dead_letter(&self, reason: Reason) {
        self.dead_letters
            .with_label_values(&[reason.as_str()])
            .inc();
    }

    /// Brings the series of each definition in line with those that there are.
    pub(crate) fn set_definitions(&self, snapshot: &Snapshot) {
        let present: BTreeSet<Counted> = snapshot
            .all_subscribers()
            .map(|subscriber| Counted {
                object: subscriber.object.clone(),
                tier: subscriber.tier.as_str(),
            })
            .collect();
        self.definitions.set(to_gauge(present.len()));
        self.unreadable.set(to_gauge(snapshot.unreadable().len()));
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in counted.difference(&present) {
            for result in DefinitionResult::all() {
                // It has no series only if somebody else removed it, and nobody else does.
                drop(
                    self.definition_events
                        .remove_label_values(&gone.labels(result)),
                );
            }
        }
        for new in present.difference(&counted) {
            for result in DefinitionResult::all() {
                self.definition_events
                    .with_label_values(&new.labels(result));
            }
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
        let begins_at_zero = |result: &str, reason: &str| {
            let labels = format!(
                "name=\"onboarding\",namespace=\"team\",reason=\"{reason}\",\
                 result=\"{result}\",tier=\"Standard\""
            );
            let series = format!("activity_core_router_definition_events_total{{{labels}}}");
            assert!(text.contains(&format!("{series} 0")), "{series}\n{text}");
        };
        begins_at_zero("started", "");
        begins_at_zero("duplicate", "");
        begins_at_zero("unmatched", "Filter");
        begins_at_zero("dead_letter", "ConditionError");
        begins_at_zero("retry", "WaitsInOrder");
        for expected in [
            "activity_core_router_events_total{result=\"started\"} 0",
            "activity_core_router_events_total{result=\"retry\"} 0",
            "activity_core_router_dead_letters_total{reason=\"TriesExhausted\"} 0",
            "activity_core_router_definitions 1",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        let object = ObjectName {
            namespace: "team".to_owned(),
            name: "onboarding".to_owned(),
        };
        metrics.count_definition(&object, DefinitionResult::Started, 2);
        assert!(series(&registry).contains("result=\"started\",tier=\"Standard\"} 2"));
        metrics.set_definitions(&snapshot(&[]));
        assert!(!series(&registry).contains("onboarding"));
        metrics.count_definition(&object, DefinitionResult::Started, 1);
        assert!(!series(&registry).contains("onboarding"));
    }
}
