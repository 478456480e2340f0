//! The metrics that every definition has: all of its series are there as soon as the definition is
//! known, counters at 0, and all of them go with it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crds::ActivityDefinition;
use domain::RunOutcome;
use kube::ResourceExt as _;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};
use runtime::Registry;

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

/// The series of all definitions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DefinitionMetrics {
    ready: IntGaugeVec,
    schedule_missing: IntGaugeVec,
    schedule_paused: IntGaugeVec,
    run_missing: IntGaugeVec,
    reports_missing: IntGaugeVec,
    maintenance_active: IntGaugeVec,
    expected_runs: IntCounterVec,
    /// The tier under which each definition has its series.
    known: Arc<Mutex<HashMap<Key, &'static str>>>,
}

/// Namespace and name.
type Key = (String, String);

impl DefinitionMetrics {
    /// Registers the metrics.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let labels = ["namespace", "name", "tier"];
        let expected_runs = IntCounterVec::new(
            Opts::new(
                "activity_core_expected_runs_total",
                "Expected runs by what became of them. One that began after it had been entered \
                 as missed counts twice.",
            ),
            &["namespace", "name", "tier", "outcome"],
        )?;
        registry.register(Box::new(expected_runs.clone()))?;
        Ok(Self {
            ready: gauge(
                "activity_core_definition_ready",
                "1 while the definition is in force as declared, else 0.",
                &labels,
            )?,
            schedule_missing: gauge(
                "activity_core_schedule_missing",
                "1 while the definition's Schedule is not in Temporal.",
                &labels,
            )?,
            schedule_paused: gauge(
                "activity_core_schedule_paused",
                "1 while somebody has paused the Schedule in Temporal, although the definition is \
                 enabled and no maintenance window is open.",
                &labels,
            )?,
            run_missing: gauge(
                "activity_core_run_missing",
                "1 while the newest expected run whose grace has passed never was, for no known \
                 reason, and nothing made up for it.",
                &labels,
            )?,
            reports_missing: gauge(
                "activity_core_reports_missing",
                "1 while no report sink has the report of the newest completed run.",
                &labels,
            )?,
            maintenance_active: gauge(
                "activity_core_maintenance_active",
                "1 while a maintenance window is open for the definition.",
                &["namespace", "name"],
            )?,
            expected_runs,
            known: Arc::default(),
        })
    }

    /// Takes over what a reconcile says.
    pub(crate) fn set(&self, object: &ActivityDefinition, gauges: Gauges) {
        let (namespace, name) = key(object);
        let tier = tier(object);
        let mut known = self.known();
        self.create(&mut known, (&namespace, &name), tier);
        let labels = [namespace.as_str(), name.as_str(), tier];
        let values = [
            (&self.ready, Some(gauges.ready)),
            (&self.schedule_missing, gauges.schedule_missing),
            (&self.schedule_paused, gauges.schedule_paused),
            (&self.run_missing, gauges.run_missing),
            (&self.reports_missing, gauges.reports_missing),
        ];
        for (gauge, value) in values {
            if let Some(value) = value {
                gauge.with_label_values(&labels).set(i64::from(value));
            }
        }
        self.maintenance_active
            .with_label_values(&labels[..2])
            .set(i64::from(gauges.maintenance_active));
    }

    /// Takes over that a listing has shown no Schedule.
    pub(crate) fn set_schedule_missing(&self, object: &ActivityDefinition) {
        let (namespace, name) = key(object);
        let tier = tier(object);
        let mut known = self.known();
        self.create(&mut known, (&namespace, &name), tier);
        self.schedule_missing
            .with_label_values(&[&namespace, &name, tier])
            .set(1);
    }

    /// Counts an expected run.
    pub(crate) fn count(&self, object: &ActivityDefinition, outcome: RunOutcome) {
        let (namespace, name) = key(object);
        let tier = tier(object);
        let mut known = self.known();
        self.create(&mut known, (&namespace, &name), tier);
        self.expected_runs
            .with_label_values(&[&namespace, &name, tier, outcome.as_str()])
            .inc();
    }

    /// Removes the series of a definition that is gone.
    pub(crate) fn forget(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut known = self.known();
        if let Some(tier) = known.remove(&key) {
            self.remove((namespace, name), tier);
        }
    }

    /// Removes the series of every definition that is not among `present`: one can vanish without
    /// its finalizer.
    pub(crate) fn retain(&self, present: &HashSet<Key>) {
        let mut known = self.known();
        known.retain(|key, tier| {
            let stays = present.contains(key);
            if !stays {
                self.remove((&key.0, &key.1), tier);
            }
            stays
        });
    }

    /// Makes all series of a definition, under its present tier.
    fn create(
        &self,
        known: &mut HashMap<Key, &'static str>,
        (namespace, name): (&str, &str),
        tier: &'static str,
    ) {
        let before = known.insert((namespace.to_owned(), name.to_owned()), tier);
        match before {
            Some(before) if before == tier => return,
            Some(before) => self.remove((namespace, name), before),
            None => {}
        }
        for gauge in self.gauges() {
            gauge.with_label_values(&[namespace, name, tier]);
        }
        self.maintenance_active
            .with_label_values(&[namespace, name]);
        for outcome in OUTCOMES {
            self.expected_runs
                .with_label_values(&[namespace, name, tier, outcome.as_str()]);
        }
    }

    fn remove(&self, (namespace, name): (&str, &str), tier: &str) {
        // That a series is not there is what is wanted.
        for gauge in self.gauges() {
            let _ = gauge.remove_label_values(&[namespace, name, tier]);
        }
        let _ = self
            .maintenance_active
            .remove_label_values(&[namespace, name]);
        for outcome in OUTCOMES {
            let labels = [namespace, name, tier, outcome.as_str()];
            let _ = self.expected_runs.remove_label_values(&labels);
        }
    }

    fn gauges(&self) -> [&IntGaugeVec; 5] {
        [
            &self.ready,
            &self.schedule_missing,
            &self.schedule_paused,
            &self.run_missing,
            &self.reports_missing,
        ]
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, &'static str>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn all_series_of_a_definition_come_and_go_together() {
        let registry = Registry::new();
        let metrics = DefinitionMetrics::register(&registry).unwrap();
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
        let metrics = DefinitionMetrics::register(&registry).unwrap();
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
