//! What the chart lets whom do in Kubernetes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::helm::{VALUE_FILES, chart_file, find, name, objects};

/// The rights of a program as `group/resource verb`, with the names that they are limited to.
fn rights(objects: &[Value], account: &str) -> BTreeSet<String> {
    let bindings = objects.iter().filter(|object| {
        object["kind"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("RoleBinding"))
            && object["subjects"][0]["name"] == json!(account)
    });
    let mut rights = BTreeSet::new();
    for binding in bindings {
        let reference = &binding["roleRef"];
        let role = format!(
            "{} {}",
            reference["kind"].as_str().unwrap(),
            reference["name"].as_str().unwrap()
        );
        for rule in find(objects, &role)["rules"].as_array().unwrap() {
            let list = |field: &str| -> Vec<String> {
                let entries = rule[field].as_array().cloned().unwrap_or_default();
                entries
                    .iter()
                    .map(|entry| entry.as_str().unwrap().to_owned())
                    .collect()
            };
            for resource in list("resources") {
                for verb in list("verbs") {
                    let names = list("resourceNames").join(",");
                    let kind = if reference["kind"] == json!("ClusterRole") {
                        "everywhere"
                    } else {
                        "home"
                    };
                    rights.insert(
                        format!("{kind} {verb} {resource} {names}")
                            .trim()
                            .to_owned(),
                    );
                }
            }
        }
    }
    rights
}

#[test]
fn the_operator_may_do_what_it_does_and_no_more() {
    let expected = [
        "everywhere create events",
        "everywhere get activitydefinitions",
        "everywhere list activitydefinitions",
        "everywhere list eventtypes",
        "everywhere list maintenancewindows",
        "everywhere patch activitydefinitions",
        "everywhere patch activitydefinitions/status",
        "everywhere patch events",
        "everywhere patch eventtypes",
        "everywhere patch eventtypes/status",
        "everywhere patch maintenancewindows/status",
        "everywhere patch validatingwebhookconfigurations activity-core",
        "everywhere watch activitydefinitions",
        "everywhere watch eventtypes",
        "everywhere watch maintenancewindows",
        "home get leases actcore-operator",
        "home get secrets actcore-operator-webhook",
        "home update leases actcore-operator",
        "home update secrets actcore-operator-webhook",
    ];
    let found = rights(&objects("values-dev.yaml"), "actcore-operator");
    assert_eq!(found, expected.map(str::to_owned).into());
}

#[test]
fn the_api_may_do_what_it_does_and_no_more() {
    let expected = [
        "everywhere create subjectaccessreviews",
        "everywhere create tokenreviews",
        "everywhere delete activitydefinitions",
        "everywhere delete eventtypes",
        "everywhere get activitydefinitions",
        "everywhere get eventtypes",
        "everywhere list activitydefinitions",
        "everywhere list eventtypes",
        "everywhere update activitydefinitions",
        "everywhere update eventtypes",
        "home create activitydefinitions",
        "home create eventtypes",
    ];
    let found = rights(&objects("values-dev.yaml"), "actcore-api");
    assert_eq!(found, expected.map(str::to_owned).into());
}

#[test]
fn worker_and_router_may_do_nothing() {
    for values in VALUE_FILES {
        let objects = objects(values);
        for account in ["actcore-worker", "actcore-event-router"] {
            assert_eq!(rights(&objects, account), BTreeSet::new(), "{values}");
        }
    }
}

#[test]
fn nobody_lists_or_watches_secrets_and_no_rule_has_a_wildcard() {
    for values in VALUE_FILES {
        for object in objects(values) {
            for rule in object["rules"].as_array().into_iter().flatten() {
                let text = rule.to_string();
                assert!(!text.contains('*'), "{values}: {}: {text}", name(&object));
                let on_secrets = rule["resources"]
                    .as_array()
                    .is_some_and(|resources| resources.contains(&json!("secrets")));
                if on_secrets {
                    assert_eq!(rule["verbs"], json!(["get", "update"]), "{values}");
                    assert_eq!(rule["resourceNames"], json!(["actcore-operator-webhook"]));
                }
            }
        }
    }
}

#[test]
fn in_one_namespace_nothing_of_the_clusters_is_made() {
    const OF_THE_CLUSTER: [&str; 6] = [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "ValidatingWebhookConfiguration",
        "Namespace",
        "PriorityClass",
    ];
    for object in objects("ci/namespaced-values.yaml") {
        let kind = object["kind"].as_str().unwrap();
        assert!(!OF_THE_CLUSTER.contains(&kind), "{}", name(&object));
        assert_eq!(
            object["metadata"]["namespace"],
            json!("activity-core"),
            "{}",
            name(&object)
        );
    }
}

#[test]
fn people_get_our_kinds_by_the_clusters_own_roles() {
    let objects = objects("values-dev.yaml");
    let label = |role: &str, into: &str| {
        find(&objects, &format!("ClusterRole activity-core-{role}"))["metadata"]["labels"]
            [format!("rbac.authorization.k8s.io/aggregate-to-{into}")]
            == json!("true")
    };
    for (role, into) in [
        ("view", ["view", "edit", "admin"].as_slice()),
        ("edit", &["edit", "admin"]),
        ("admin", &["admin"]),
    ] {
        for target in ["view", "edit", "admin"] {
            assert_eq!(
                label(role, target),
                into.contains(&target),
                "{role} to {target}"
            );
        }
    }
    let view = find(&objects, "ClusterRole activity-core-view");
    assert_eq!(view["rules"][0]["verbs"], json!(["get", "list", "watch"]));
}

#[test]
fn what_the_operator_fills_is_made_by_the_chart_without_content() {
    // An upgrade must not take away what the operator has written, so nothing of it is named.
    let objects = objects("values-dev.yaml");
    for (object, fields) in [
        ("Lease actcore-operator", ["spec"].as_slice()),
        ("Secret actcore-operator-webhook", &["data", "stringData"]),
        (
            "ValidatingWebhookConfiguration activity-core",
            &["webhooks"],
        ),
    ] {
        for field in fields {
            assert!(
                find(&objects, object).get(field).is_none(),
                "{object} names {field}"
            );
        }
    }
    let names = [
        ("operator/src/leader.rs", "actcore-operator"),
        (
            "operator/src/admission/credentials.rs",
            "actcore-operator-webhook",
        ),
        ("operator/src/admission/configuration.rs", "activity-core"),
    ];
    for (file, name) in names {
        let code = std::fs::read_to_string(crate::helm::repository().join(file)).unwrap();
        assert!(
            code.contains(&format!("\"{name}\"")),
            "{file} names {name} no more"
        );
    }
}

#[test]
fn the_crds_are_kept_unless_told_otherwise_and_are_those_of_the_code() {
    let kept = objects("ci/production-values.yaml");
    let let_go = objects("values-dev.yaml");
    for plural in ["activitydefinitions", "eventtypes", "maintenancewindows"] {
        let crd = format!("CustomResourceDefinition {plural}.activity-core.io");
        let policy = |objects: &[Value]| {
            find(objects, &crd)["metadata"]["annotations"]["helm.sh/resource-policy"].clone()
        };
        assert_eq!(policy(&kept), json!("keep"));
        assert_eq!(policy(&let_go), Value::Null);
        let text = chart_file(&format!("files/crds/{plural}.yaml"));
        let source = serde_norway::from_str::<Value>(&text).unwrap();
        assert_eq!(
            with_plain_numbers(&find(&kept, &crd)["spec"]),
            with_plain_numbers(&source["spec"])
        );
    }
}

/// Helm writes 1.0 as 1.
fn with_plain_numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(with_plain_numbers).collect(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, field)| (name.clone(), with_plain_numbers(field)))
                .collect(),
        ),
        other => other.clone(),
    }
}
