//! The metrics that every definition has: all of its series are there as soon as the definition is
//! known, counters at 0, and all of them go with it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crds::ActivityDefinition;
use domain::RunOutcome;
use kube::ResourceExt as _;
use runtime::{MetricDescription, Registry, TextSource, write_series};

/// The outcomes of an expected run that is over, as metric labels.
const OUTCOMES: [RunOutcome; 6] = [
    RunOutcome::Succeeded,
    RunOutcome::Failed,
    RunOutcome::SkippedOverlap,
    RunOutcome::SkippedMaintenance,
    RunOutcome::SkippedDisabled,
    RunOutcome::Missed,
];

/// What a reconcile says about a definition; `None` is "not looked at", and stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gauges {
    /// In force as declared.
    pub(crate) ready: bool,
    /// Its Schedule is not in Temporal.
    pub(crate) schedule_missing: Option<bool>,
    /// Somebody paused its Schedule.
    pub(crate) schedule_paused: Option<bool>,
    /// Its newest expected run is missing.
    pub(crate) run_missing: Option<bool>,
    /// No sink has the report of its newest completed run.
    pub(crate) reports_missing: Option<bool>,
    /// A maintenance window is open for it.
    pub(crate) maintenance_active: bool,
}

/// A metric that every definition has.
struct Metric {
    name: &'static str,
    kind: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
}

const TIERED: [&str; 3] = ["name", "namespace", "tier"];

const EXPECTED_RUNS: Metric = Metric {
    name: "activity_core_expected_runs_total",
    kind: "counter",
    labels: &["name", "namespace", "outcome", "tier"],
    help: "Expected runs by what became of them. One that began after it had been entered as \
           missed counts twice.",
};

/// The gauges, in the order in which [`Series`] has their values.
const GAUGES: [Metric; 6] = [
    Metric {
        name: "activity_core_definition_ready",
        kind: "gauge",
        labels: &TIERED,
        help: "1 while the definition is in force as declared, else 0.",
    },
    Metric {
        name: "activity_core_schedule_missing",
        kind: "gauge",
        labels: &TIERED,
        help: "1 while the definition's Schedule is not in Temporal.",
    },
    Metric {
        name: "activity_core_schedule_paused",
        kind: "gauge",
        labels: &TIERED,
        help: "1 while somebody has paused the Schedule in Temporal, although the definition is \
               enabled and no maintenance window is open.",
    },
    Metric {
        name: "activity_core_run_missing",
        kind: "gauge",
        labels: &TIERED,
        help: "1 while the newest expected run whose grace has passed never was, for no known \
               reason, and nothing made up for it.",
    },
    Metric {
        name: "activity_core_reports_missing",
        kind: "gauge",
        labels: &TIERED,
        help: "1 while no report sink has the report of the newest completed run.",
    },
    Metric {
        name: "activity_core_maintenance_active",
        kind: "gauge",
        labels: &["name", "namespace"],
        help: "1 while a maintenance window is open for the definition.",
    },
];

/// Where the gauge of a missing Schedule is among [`GAUGES`].
const SCHEDULE_MISSING: usize = 1;

/// The values of one definition's series.
#[derive(Debug)]
struct Series {
    tier: &'static str,
    gauges: [bool; GAUGES.len()],
    expected_runs: [u64; OUTCOMES.len()],
}

/// The series of all definitions, a few bytes each. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct DefinitionMetrics {
    known: Arc<Mutex<BTreeMap<Key, Series>>>,
}

/// Namespace and name.
type Key = (String, String);

impl DefinitionMetrics {
    /// Registers the metrics.
    pub(crate) fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.register_source(Arc::new(metrics.clone()));
        metrics
    }

    /// Takes over what a reconcile says.
    pub(crate) fn set(&self, object: &ActivityDefinition, gauges: Gauges) {
        self.with(object, |series| {
            let said = [
                Some(gauges.ready),
                gauges.schedule_missing,
                gauges.schedule_paused,
                gauges.run_missing,
                gauges.reports_missing,
                Some(gauges.maintenance_active),
            ];
            for (value, said) in series.gauges.iter_mut().zip(said) {
                *value = said.unwrap_or(*value);
            }
        });
    }

    /// Takes over that a listing has shown no Schedule.
    pub(crate) fn set_schedule_missing(&self, object: &ActivityDefinition) {
        self.with(object, |series| series.gauges[SCHEDULE_MISSING] = true);
    }

    /// Counts an expected run.
    pub(crate) fn count(&self, object: &ActivityDefinition, outcome: RunOutcome) {
        self.with(object, |series| {
            let counts = OUTCOMES.iter().zip(&mut series.expected_runs);
            for (_, count) in counts.filter(|(counted, _)| **counted == outcome) {
                *count += 1;
            }
        });
    }

    /// Removes the series of a definition that is gone.
    pub(crate) fn forget(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.known().remove(&key);
    }

    /// Removes the series of every definition that is not among `present`: one can vanish without
    /// its finalizer.
    pub(crate) fn retain(&self, present: &HashSet<Key>) {
        self.known().retain(|key, _| present.contains(key));
    }

    /// Changes the series of a definition, which begin anew with another tier.
    fn with(&self, object: &ActivityDefinition, change: impl FnOnce(&mut Series)) {
        let tier = tier(object);
        let new = Series {
            tier,
            gauges: [false; GAUGES.len()],
            expected_runs: [0; OUTCOMES.len()],
        };
        let mut known = self.known();
        match known.entry(key(object)) {
            Entry::Occupied(mut entry) => {
                if entry.get().tier != tier {
                    entry.insert(new);
                }
                change(entry.get_mut());
            }
            Entry::Vacant(entry) => change(entry.insert(new)),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Key, Series>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TextSource for DefinitionMetrics {
    fn descriptions(&self) -> Vec<MetricDescription> {
        let all = GAUGES.iter().chain([&EXPECTED_RUNS]);
        let described = all.map(|metric| MetricDescription {
            name: metric.name.to_owned(),
            kind: metric.kind,
            labels: metric.labels.iter().map(ToString::to_string).collect(),
            help: metric.help.to_owned(),
        });
        described.collect()
    }

    fn write(&self, metric: &str, text: &mut String) {
        let gauge = GAUGES.iter().position(|gauge| gauge.name == metric);
        for ((namespace, name), series) in &*self.known() {
            let labels = [
                ("name", name.as_str()),
                ("namespace", namespace.as_str()),
                ("tier", series.tier),
            ];
            if let Some(gauge) = gauge {
                let labels = &labels[..GAUGES[gauge].labels.len()];
                write_series(text, metric, labels, series.gauges[gauge].into());
                continue;
            }
            let [name, namespace, tier] = labels;
            for (outcome, count) in OUTCOMES.iter().zip(series.expected_runs) {
                let labels = [name, namespace, ("outcome", outcome.as_str()), tier];
                write_series(text, metric, &labels, count);
            }
        }
    }
}

/// What names the series of a definition.
pub(crate) fn key(object: &ActivityDefinition) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

const fn tier(object: &ActivityDefinition) -> &'static str {
    match object.spec.tier {
        crds::TierSpec::Critical => "Critical",
        crds::TierSpec::Standard => "Standard",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(name: &str, tier: &str) -> ActivityDefinition {
        let object = json!({
            "apiVersion": "activity-core.io/v1alpha1", "kind": "ActivityDefinition",
            "metadata": {"name": name, "namespace": "one"}, "spec": {"tier": tier},
        });
        serde_json::from_value(object).unwrap()
    }

    const READY: Gauges = Gauges {
        ready: true,
        schedule_missing: Some(false),
        schedule_paused: None,
        run_missing: Some(true),
        reports_missing: None,
        maintenance_active: false,
    };

    fn series(registry: &Registry) -> Vec<String> {
        let text = registry.encode().unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn all_series_of_a_definition_come_and_go_together() {
        let registry = Registry::new();
        let metrics = DefinitionMetrics::register(&registry);
        metrics.set(&definition("a", "Standard"), READY);
        let first = series(&registry);
        assert_eq!(first.len(), 12, "{first:#?}");
        let missed = "activity_core_expected_runs_total{name=\"a\",namespace=\"one\",\
                      outcome=\"Missed\",tier=\"Standard\"} 0";
        assert!(first.iter().any(|line| line == missed), "{first:#?}");

        // Another tier is another set, and nothing of the old one stays.
        metrics.set(&definition("a", "Critical"), READY);
        let second = series(&registry);
        assert_eq!(second.len(), 12, "{second:#?}");
        assert!(!second.iter().any(|line| line.contains("Standard")));

        metrics.count(&definition("b", "Critical"), RunOutcome::Missed);
        assert_eq!(series(&registry).len(), 24);
        metrics.forget("one", "a");
        metrics.retain(&HashSet::new());
        assert_eq!(series(&registry), Vec::<String>::new());
    }

    #[test]
    fn what_was_not_looked_at_stays_as_it_was() {
        let registry = Registry::new();
        let metrics = DefinitionMetrics::register(&registry);
        let object = definition("a", "Standard");
        metrics.set(&object, READY);
        let unknown = Gauges {
            run_missing: None,
            ..READY
        };
        metrics.set(&object, unknown);
        let missing = "activity_core_run_missing{name=\"a\",namespace=\"one\",tier=\"Standard\"} 1";
        assert!(series(&registry).iter().any(|line| line == missing));
    }
}
