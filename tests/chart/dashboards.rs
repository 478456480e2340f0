//! The dashboards: every query is one that Prometheus understands, on metrics and labels that there
//! are, and every alert has a panel that shows what it is about.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::alerts::{alert, documented_metrics, family, promtool, rules};
use crate::helm::{chart, find, objects};

fn dashboards() -> BTreeMap<String, Value> {
    let entries = std::fs::read_dir(chart().join("files/dashboards")).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect()
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels
        .filter(|panel| panel["type"] != json!("row"))
        .collect()
}

/// Every query with the variables of Grafana filled in.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().unwrap() {
                let query = target["expr"].as_str().unwrap();
                let query = query
                    .replace("$__rate_interval", "2m")
                    .replace("$namespace", ".*")
                    .replace("$name", ".*");
                queries.push((format!("{name}/{}", panel["title"]), query));
            }
        }
    }
    assert!(queries.len() > 40, "{}", queries.len());
    queries
}

#[test]
fn every_query_is_one_that_prometheus_understands() {
    let rules: Vec<Value> = queries()
        .iter()
        .enumerate()
        .map(|(index, (_, query))| json!({"record": format!("query:{index}"), "expr": query}))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = json!({"groups": [{"name": "dashboards", "rules": rules}]});
    std::fs::write(folder.path().join("queries.yaml"), file.to_string()).unwrap();
    let checked = promtool(folder.path(), &["check", "rules", "queries.yaml"]);
    checked.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn every_metric_in_a_query_exists() {
    let known = documented_metrics();
    for (panel, query) in queries() {
        let words = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let metrics: BTreeSet<&str> = words
            .filter(|word| word.starts_with("activity_core_") || word.starts_with("process_"))
            .collect();
        assert!(!metrics.is_empty(), "{panel} shows nothing");
        for metric in metrics {
            let is_process = metric.starts_with("process_");
            assert!(
                known.contains_key(family(metric)) || is_process,
                "{panel}: there is no {metric}"
            );
        }
    }
}

#[test]
fn every_alert_has_a_panel_that_names_it() {
    let told: String = dashboards()
        .values()
        .flat_map(|dashboard| {
            let panels = panels(dashboard).into_iter();
            panels
                .map(|panel| panel["description"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    for rule in rules() {
        let name = alert(&rule);
        assert!(
            told.contains(name) || name == "ActivityCoreWatchdog",
            "{name}"
        );
    }
}

#[test]
fn a_dashboard_has_a_fixed_identity_and_any_data_source() {
    let mut identities = BTreeSet::new();
    for (name, dashboard) in dashboards() {
        let identity = dashboard["uid"].as_str().unwrap().to_owned();
        assert!(identity.starts_with("activity-core-"), "{name}");
        assert!(identities.insert(identity), "{name}");
        assert_eq!(
            dashboard["templating"]["list"][0]["type"],
            json!("datasource")
        );
        for panel in panels(&dashboard) {
            assert_eq!(panel["datasource"]["uid"], json!("${datasource}"), "{name}");
            assert!(
                panel["description"].as_str().unwrap().ends_with('.'),
                "{}",
                panel["title"]
            );
        }
        let installed = objects("values-dev.yaml");
        let map = find(&installed, &format!("ConfigMap actcore-dashboard-{name}"));
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], json!("1"));
        let text = map["data"][format!("{name}.json")].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), dashboard);
    }
    assert_eq!(identities.len(), 3);
}
