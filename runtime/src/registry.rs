//! A metrics registry that also tells what is registered: the list of metrics in the documents is
//! made from it, and a metric whose labels nobody knows beforehand has no series to be seen.
//!
//! Beside the collectors of the `prometheus` crate it takes [`TextSource`]s. A collector keeps a
//! kilobyte for each series and builds every series anew for a scrape; with a hundred thousand
//! series that is most of a process.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::TextEncoder;
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

/// Metrics that write themselves.
pub trait TextSource: fmt::Debug + Send + Sync {
    /// What they are.
    fn descriptions(&self) -> Vec<MetricDescription>;

    /// Writes the series of the metric called `name`, one of the descriptions', each by
    /// [`write_series`].
    fn write(&self, name: &str, text: &mut String);
}

/// Writes one series in Prometheus' text format: `name{label="value"} value`.
pub fn write_series(text: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    text.push_str(name);
    let mut before = '{';
    for (label, value) in labels {
        text.push(before);
        text.push_str(label);
        text.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
        before = ',';
    }
    if before == ',' {
        text.push('}');
    }
    text.push(' ');
    text.push_str(&value.to_string());
    text.push('\n');
}

/// A registry of metrics that remembers what was registered. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    inner: prometheus::Registry,
    described: Arc<Mutex<Vec<MetricDescription>>>,
    sources: Arc<Mutex<Vec<Arc<dyn TextSource>>>>,
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

    /// Registers metrics that write themselves. Their names must be nobody else's.
    pub fn register_source(&self, source: Arc<dyn TextSource>) {
        let described = source.descriptions();
        let mut all = self
            .described
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.extend(described);
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.push(source);
    }

    /// Every series, in Prometheus' text format. An error says that a collector returned series
    /// that do not fit together.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        let mut text = TextEncoder::new().encode_to_string(&self.inner.gather())?;
        let sources = self.sources.lock();
        for source in &*sources.unwrap_or_else(PoisonError::into_inner) {
            for described in source.descriptions() {
                let MetricDescription {
                    name, kind, help, ..
                } = described;
                let before = text.len();
                for part in [
                    "# HELP ",
                    &name,
                    " ",
                    &help,
                    "\n# TYPE ",
                    &name,
                    " ",
                    kind,
                    "\n",
                ] {
                    text.push_str(part);
                }
                let headed = text.len();
                source.write(&name, &mut text);
                if text.len() == headed {
                    text.truncate(before);
                }
            }
        }
        Ok(text)
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
    fn what_a_label_must_not_hold_is_escaped() {
        let mut text = String::new();
        write_series(&mut text, "things", &[("a", "x\\\"\n"), ("b", "y")], 2);
        write_series(&mut text, "things", &[], 3);
        assert_eq!(text, "things{a=\"x\\\\\\\"\\n\",b=\"y\"} 2\nthings 3\n");
    }

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
