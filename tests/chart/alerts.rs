//! The alerts: tested by promtool on the very files that are installed, complete, and of one mind
//! with the paging policy and with the metrics that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::helm::{chart, find, objects, repository, template};

/// What the chart puts in the place of each name, for the tests.
const FILLED: [(&str, &str); 4] = [
    ("${NAMESPACE}", "activity-core"),
    ("${RUNBOOKS}", "https://runbooks.example"),
    ("${RESYNC_STALE_SECONDS}", "1800"),
    ("${AUDIT_STALE_SECONDS}", "900"),
];

/// The rule files by name, filled in.
pub(crate) fn rule_files() -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(chart().join("files/alerts")).unwrap();
    let files: BTreeMap<String, String> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let mut text = std::fs::read_to_string(&path).unwrap();
            for (name, value) in FILLED {
                text = text.replace(name, value);
            }
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, text)
        })
        .collect();
    assert!(files.len() >= 7, "{:?}", files.keys());
    files
}

/// The rules of a filled-in file.
pub(crate) fn rules_of(text: &str) -> Vec<Value> {
    let file: Value = serde_norway::from_str(text).unwrap();
    let groups = file["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

/// Every rule.
pub(crate) fn rules() -> Vec<Value> {
    rule_files()
        .values()
        .flat_map(|text| rules_of(text))
        .collect()
}

/// The name of a rule's alert.
pub(crate) fn alert(rule: &Value) -> &str {
    rule["alert"].as_str().unwrap()
}

/// The files of promtool tests.
pub(crate) fn test_files() -> Vec<(String, String)> {
    let folder = repository().join("tests/chart/alerts");
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Runs promtool in a folder; an error is what it prints.
pub(crate) fn promtool(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "promtool can't be run ({error}); install Prometheus (Debian: apt-get install \
                 prometheus)"
            )
        });
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Writes rules and tests where promtool finds them.
pub(crate) fn write(folder: &Path, rules: &BTreeMap<String, String>, tests: &[(String, String)]) {
    std::fs::create_dir_all(folder.join("rules")).unwrap();
    for (name, text) in rules {
        std::fs::write(folder.join("rules").join(name), text).unwrap();
    }
    for (name, text) in tests {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

#[test]
fn every_rule_is_well_formed_and_passes_its_tests() {
    let folder = tempfile::tempdir().unwrap();
    let (rules, tests) = (rule_files(), test_files());
    write(folder.path(), &rules, &tests);
    for name in rules.keys() {
        let file = format!("rules/{name}");
        let checked = promtool(
            folder.path(),
            &["check", "rules", "--lint=all", "--lint-fatal", &file],
        );
        checked.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for (name, _) in &tests {
        let tested = promtool(folder.path(), &["test", "rules", name]);
        tested.unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn every_rule_says_what_is_wrong_who_is_told_and_what_to_do() {
    for rule in rules() {
        let name = alert(&rule);
        assert!(name.starts_with("Activity"), "{name}");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        let is_watchdog = name == "ActivityCoreWatchdog";
        assert!(
            ["critical", "warning", "info"].contains(&severity) || is_watchdog,
            "{name}: {severity}"
        );
        let text = |annotation: &str| rule["annotations"][annotation].as_str().unwrap().to_owned();
        assert!(
            !text("summary").contains("{{") && text("summary").ends_with('.'),
            "{name}: the summary is one sentence without values"
        );
        assert!(
            text("description").len() > 60,
            "{name}: the description says what is hurt"
        );
        assert!(
            text("description").contains("$labels.namespace") || is_watchdog,
            "{name}: the description says where"
        );
        assert_eq!(
            text("runbook_url"),
            format!("https://runbooks.example/{name}.md")
        );
    }
}

#[test]
fn every_alert_is_tested_for_firing_and_for_silence() {
    let mut fires = BTreeSet::new();
    let mut silent: BTreeMap<String, usize> = BTreeMap::new();
    for (_, text) in test_files() {
        let file: Value = serde_norway::from_str(&text).unwrap();
        for test in file["tests"].as_array().unwrap() {
            for claim in test["alert_rule_test"].as_array().unwrap() {
                let name = claim["alertname"].as_str().unwrap().to_owned();
                let expected = claim["exp_alerts"].as_array().cloned().unwrap_or_default();
                if expected.is_empty() {
                    *silent.entry(name).or_default() += 1;
                }
                for alert in expected {
                    let severity = alert["exp_labels"]["severity"].as_str().unwrap().to_owned();
                    let name = claim["alertname"].as_str().unwrap().to_owned();
                    fires.insert((name, severity));
                }
            }
        }
    }
    for rule in rules() {
        let severity = rule["labels"]["severity"].as_str().unwrap().to_owned();
        let name = alert(&rule).to_owned();
        assert!(
            fires.contains(&(name.clone(), severity.clone())),
            "{name} ({severity})"
        );
        // Quiet just before, cleared, and nothing there at all.
        let quiet = silent.get(&name).copied().unwrap_or_default();
        assert!(
            quiet >= 2 || name == "ActivityCoreWatchdog",
            "{name} is quiet {quiet} times"
        );
    }
}

/// The rows of the paging policy, each with its alerts.
const PAGING_POLICY: [(&str, &[&str]); 6] = [
    ("worker has no ready pod", &["ActivityCoreWorkerDown"]),
    (
        "worker cannot reach Temporal / Postgres",
        &[
            "ActivityCoreTemporalUnreachable",
            "ActivityCorePostgresUnreachable",
        ],
    ),
    (
        "schedule of a critical definition missing or paused outside an approved window",
        &["ActivityScheduleMissing", "ActivitySchedulePaused"],
    ),
    (
        "expected run absent from Temporal and the ledger after the retry window",
        &["ActivityRunMissing"],
    ),
    (
        "both report sinks missing for a completed run",
        &["ActivityReportsMissing"],
    ),
    (
        "sink or task emission fails again and again across retries",
        &["ActivitySinkFailing"],
    ),
];

/// Who is paged beyond the policy, because without them nobody would be.
const PAGES_BEYOND: [&str; 6] = [
    "ActivityCoreAuditStale",
    "ActivityCoreNatsUnreachable",
    "ActivityCoreNoLeader",
    "ActivityCoreOperatorDown",
    "ActivityCoreRouterDown",
    "ActivityCoreRouterStalled",
];

#[test]
fn the_paging_policy_and_the_alerts_that_page_are_the_same_list() {
    let paging: BTreeSet<String> = rules()
        .iter()
        .filter(|rule| rule["labels"]["severity"] == json!("critical"))
        .map(|rule| alert(rule).to_owned())
        .collect();
    let policy = PAGING_POLICY.iter().flat_map(|(_, alerts)| alerts.iter());
    let expected: BTreeSet<String> = policy
        .chain(&PAGES_BEYOND)
        .map(|name| (*name).to_owned())
        .collect();
    assert_eq!(paging, expected);
    let table = std::fs::read_to_string(repository().join("docs/operate.md")).unwrap();
    for (row, alerts) in PAGING_POLICY {
        let line = table
            .lines()
            .find(|line| line.starts_with(&format!("| {row} |")));
        let line = line.unwrap_or_else(|| panic!("docs/operate.md has no row \"{row}\""));
        for alert in alerts {
            assert!(line.contains(alert), "{line} does not name {alert}");
        }
    }
}

#[test]
fn a_definition_of_tier_standard_warns_where_one_of_tier_critical_pages() {
    for name in [
        "ActivityScheduleMissing",
        "ActivitySchedulePaused",
        "ActivityRunMissing",
        "ActivityReportsMissing",
        "ActivitySinkFailing",
    ] {
        let rules = rules();
        let both: Vec<&Value> = rules.iter().filter(|rule| alert(rule) == name).collect();
        let [page, warning] = both[..] else {
            panic!("{name} has {} rules", both.len());
        };
        assert_eq!(page["labels"]["severity"], json!("critical"));
        assert_eq!(warning["labels"]["severity"], json!("warning"));
        // They differ in nothing else.
        let page_expression = page["expr"].as_str().unwrap();
        assert_eq!(
            page_expression.replace(r#"tier="Critical""#, r#"tier!="Critical""#),
            warning["expr"].as_str().unwrap()
        );
        for field in ["for", "keep_firing_for", "annotations"] {
            assert_eq!(page[field], warning[field], "{name}: {field}");
        }
    }
}

/// The metrics that an expression names.
pub(crate) fn metrics_of(expression: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    expression
        .split(|letter| !is_part(letter))
        .filter(|word| word.starts_with("activity_core_"))
        .map(str::to_owned)
        .collect()
}

/// Every metric with its labels, as the documents list them from the code.
pub(crate) fn documented_metrics() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(repository().join("docs/metrics.md")).unwrap();
    let mut metrics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text
        .lines()
        .filter(|line| line.starts_with("| `activity_core_"))
    {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let names = |cell: &str| -> Vec<String> {
            let quoted = cell.split('`').skip(1).step_by(2);
            quoted.map(str::to_owned).collect()
        };
        let name = names(cells[1]).remove(0);
        let labels = names(cells[3]);
        metrics.entry(name).or_default().extend(labels);
    }
    assert!(metrics.len() > 20, "docs/metrics.md lists only {metrics:?}");
    metrics
}

/// The metric behind a series: histograms have three.
pub(crate) fn family(series: &str) -> &str {
    ["_bucket", "_count", "_sum"]
        .into_iter()
        .find_map(|suffix| series.strip_suffix(suffix))
        .filter(|name| name.ends_with("_seconds"))
        .unwrap_or(series)
}

#[test]
fn every_metric_and_label_in_an_alert_exists() {
    let known = documented_metrics();
    // What the scrape adds.
    let of_the_target = ["namespace", "instance", "pod", "job"];
    for rule in rules() {
        let expression = rule["expr"].as_str().unwrap();
        let metrics = metrics_of(expression);
        let mut labels: BTreeSet<&str> = of_the_target.into();
        for metric in &metrics {
            let found = known.get(family(metric));
            let found = found.unwrap_or_else(|| panic!("{}: no {metric}", alert(&rule)));
            labels.extend(found.iter().map(String::as_str));
        }
        for label in labels_of(expression) {
            assert!(
                labels.contains(label.as_str()),
                "{}: none of {metrics:?} has the label {label}",
                alert(&rule)
            );
        }
    }
}

/// The labels that an expression selects, groups or matches by.
fn labels_of(expression: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for part in expression.split('{').skip(1) {
        let selector = part.split('}').next().unwrap();
        for matcher in selector.split(',') {
            let label = matcher.split(['=', '!']).next().unwrap().trim();
            labels.insert(label.to_owned());
        }
    }
    for keyword in [" by (", "on (", "group_left ("] {
        for part in expression.split(keyword).skip(1) {
            let list = part.split(')').next().unwrap();
            labels.extend(list.split(',').map(|label| label.trim().to_owned()));
        }
    }
    labels
}

#[test]
fn what_is_installed_is_what_is_tested() {
    let settings = [
        r#"monitoring.prometheusOperator="Always""#,
        r#"monitoring.alerts.runbookBaseUrl="https://runbooks.example""#,
    ];
    let objects = template("values-dev.yaml", &settings).unwrap();
    let rule = find(&objects, "PrometheusRule activity-core");
    let installed: Vec<&Value> = rule["spec"]["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    let tested = rules();
    assert_eq!(installed, tested.iter().collect::<Vec<_>>());
    let files = find(&objects, "ConfigMap actcore-prometheus");
    for (name, text) in rule_files() {
        let file = files["data"][format!("rules-{name}")].as_str().unwrap();
        assert_eq!(rules_of(file), rules_of(&text), "{name}");
    }
}

#[test]
fn labels_to_route_by_are_added_and_do_not_replace_ours() {
    let objects = objects("ci/production-values.yaml");
    let rule = find(&objects, "PrometheusRule activity-core");
    for group in rule["spec"]["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            assert_eq!(rule["labels"]["team"], json!("platform"), "{}", alert(rule));
            assert!(rule["labels"]["severity"].is_string());
        }
    }
}

#[test]
fn what_is_not_installed_has_no_alerts() {
    let settings = [
        r#"monitoring.prometheusOperator="Always""#,
        "eventRouter.enabled=false",
        "api.enabled=false",
    ];
    let objects = template("values-dev.yaml", &settings).unwrap();
    let text = find(&objects, "PrometheusRule activity-core").to_string();
    for absent in ["RouterDown", "RouterStalled", "ApiDown", "NatsUnreachable"] {
        assert!(!text.contains(absent), "{absent}");
    }
    assert!(text.contains("ActivityCoreWorkerDown"));
}
