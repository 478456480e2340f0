//! A metrics registry that also tells what is registered: the list of metrics in the documents is
//! made from it, and a metric whose labels nobody knows beforehand has no series to be seen.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::proto::MetricType;

/// What a metric is, with or without series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricDescription {
    /// Its full name.
    pub name: String,
    /// counter, gauge, histogram, summary or untyped.
    pub kind: &'static str,
    /// Its labels, in alphabetical order.
    pub labels: Vec<String>,
    /// What it counts or measures.
    pub help: String,
}

/// A registry of metrics that remembers what was registered. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    inner: prometheus::Registry,
    described: Arc<Mutex<Vec<MetricDescription>>>,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a metric. An error says that there is one of this name.
    pub fn register(&self, collector: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        let described = describe(collector.as_ref());
        self.inner.register(collector)?;
        self.described
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(described);
        Ok(())
    }

    /// Every metric that was registered, in alphabetical order.
    pub fn descriptions(&self) -> Vec<MetricDescription> {
        let described = self.described.lock();
        let mut described = described.unwrap_or_else(PoisonError::into_inner).clone();
        described.sort();
        described
    }
}

impl Deref for Registry {
    type Target = prometheus::Registry;

    fn deref(&self) -> &prometheus::Registry {
        &self.inner
    }
}

fn describe(collector: &dyn Collector) -> Vec<MetricDescription> {
    let families = collector.collect();
    let kind_of = |name: &str| {
        let family = families.iter().find(|family| family.name() == name);
        match family.map(prometheus::proto::MetricFamily::get_field_type) {
            Some(MetricType::COUNTER) => "counter",
            Some(MetricType::GAUGE) => "gauge",
            Some(MetricType::HISTOGRAM) => "histogram",
            Some(MetricType::SUMMARY) => "summary",
            Some(MetricType::UNTYPED) | None => "untyped",
        }
    };
    let described = collector.desc().into_iter().map(|description| {
        let constant = description.const_label_pairs.iter();
        let mut labels: Vec<String> = constant.map(|label| label.name().to_owned()).collect();
        labels.extend(description.variable_labels.iter().cloned());
        labels.sort();
        MetricDescription {
            kind: kind_of(&description.fq_name),
            name: description.fq_name.clone(),
            labels,
            help: description.help.clone(),
        }
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use prometheus::{IntCounterVec, Opts};

    use super::*;

    #[test]
    fn a_metric_without_series_is_described() {
        let registry = Registry::new();
        let counter =
            IntCounterVec::new(Opts::new("things_total", "Things."), &["kind", "colour"]).unwrap();
        registry.register(Box::new(counter)).unwrap();
        assert!(registry.gather().is_empty());
        let expected = MetricDescription {
            name: "things_total".to_owned(),
            kind: "counter",
            labels: vec!["colour".to_owned(), "kind".to_owned()],
            help: "Things.".to_owned(),
        };
        assert_eq!(registry.descriptions(), [expected]);
    }
}
