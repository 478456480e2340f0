//! docs/metrics.md: every metric of every program, from what the programs register.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use runtime::MetricDescription;

use super::cell;

const INTRODUCTION: &str = "\
# Metrics

Every program serves them at `/metrics` on `PROMETHEUS_BIND_ADDR`. A histogram also has the series
`_bucket`, `_sum` and `_count`. `actcore-worker` adds those of the Temporal SDK, whose names begin
with `temporal_`. Metrics whose labels name a definition have a series as soon as the definition is
known; all others are there from the start, counters at zero.
";

/// The reference.
pub(super) fn reference() -> anyhow::Result<String> {
    let programs = [
        ("actcore-operator", operator::metrics()?),
        ("actcore-worker", worker::metrics()?),
        ("actcore-event-router", router::metrics()?),
        ("actcore-api", api::metrics()?),
    ];
    let everywhere: BTreeSet<MetricDescription> = programs[0]
        .1
        .iter()
        .filter(|metric| programs.iter().all(|(_, metrics)| metrics.contains(metric)))
        .cloned()
        .collect();
    let mut text = INTRODUCTION.to_owned();
    table(&mut text, "Every program", &everywhere);
    for (program, metrics) in programs {
        let own: BTreeSet<MetricDescription> = metrics
            .into_iter()
            .filter(|metric| !everywhere.contains(metric))
            .collect();
        table(&mut text, program, &own);
    }
    Ok(text)
}

fn table(text: &mut String, program: &str, metrics: &BTreeSet<MetricDescription>) {
    // Writing into a text can't fail.
    let _ = write!(text, "\n## {program}\n\n");
    text.push_str("| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n");
    for metric in metrics {
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            metric.name,
            metric.kind,
            labels.join(", "),
            cell(&metric.help)
        );
    }
}
