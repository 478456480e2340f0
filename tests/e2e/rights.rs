//! The rights that the chart gives, compared with those that were used, by the API server's log.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::journey::{NAMESPACE, RELEASE};
use crate::shell::Shell;

/// Rights whose use depends on time, with when they are used.
const NOW_AND_THEN: [(&str, &str); 1] = [(
    "operator: patch events.events.k8s.io",
    "when the same Event comes again within six minutes, which becomes one with a count",
)];

/// A verb on a resource, for one of our programs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    account: String,
    group: String,
    resource: String,
    verb: String,
}

/// Compares, and fails if anything was refused, or given and never used.
pub(crate) async fn compare(shell: &Shell, log: &Path) -> Result<()> {
    shell.heading("Rights: given and used");
    let log = std::fs::read_to_string(log).context("failed to read the audit log")?;
    let mut used = BTreeSet::new();
    let mut refused = BTreeSet::new();
    for line in log.lines() {
        // The last line may be half-written.
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let Some(right) = used_right(&event) else {
            continue;
        };
        let decision = &event["annotations"]["authorization.k8s.io/decision"];
        if decision == "forbid" {
            refused.insert(right);
        } else {
            used.insert(right);
        }
    }
    let given = given_rights(shell).await?;
    let unused: Vec<&Right> = given.difference(&used).collect();
    shell.note(&format!(
        "{} rights were given, {} used, {} refused.",
        given.len(),
        given.intersection(&used).count(),
        refused.len()
    ));
    let list = used.iter().map(|right| {
        let by_all = if given.contains(right) {
            ""
        } else {
            ", given by Kubernetes to all"
        };
        format!("- {}{by_all}", show(right))
    });
    shell.note(&list.collect::<Vec<_>>().join("\n"));
    let unused = unused.into_iter().filter(|right| {
        let name = show(right);
        let rare = NOW_AND_THEN.iter().find(|(rare, _)| *rare == name);
        if let Some((name, when)) = rare {
            shell.note(&format!("Not used this time: {name}, {when}."));
        }
        rare.is_none()
    });
    let unused: Vec<&Right> = unused.collect();
    anyhow::ensure!(refused.is_empty(), "our programs were refused: {refused:?}");
    anyhow::ensure!(!used.is_empty(), "the log has no request of our programs");
    anyhow::ensure!(unused.is_empty(), "given and never used: {unused:?}");
    Ok(())
}

fn show(right: &Right) -> String {
    let Right {
        account,
        group,
        resource,
        verb,
    } = right;
    format!("{account}: {verb} {resource}.{group}")
}

/// What a request of one of our programs took.
fn used_right(event: &Value) -> Option<Right> {
    let prefix = format!("system:serviceaccount:{NAMESPACE}:actcore-");
    let account = event["user"]["username"].as_str()?.strip_prefix(&prefix)?;
    if account == "client" {
        return None;
    }
    let object = event.get("objectRef")?;
    let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
    let mut resource = text("resource");
    if let Some(subresource) = object["subresource"].as_str() {
        resource = format!("{resource}/{subresource}");
    }
    Some(Right {
        account: account.to_owned(),
        group: text("apiGroup"),
        resource,
        verb: event["verb"].as_str()?.to_owned(),
    })
}

/// What the release's roles give to our programs.
async fn given_rights(shell: &Shell) -> Result<BTreeSet<Right>> {
    let label = format!("-l app.kubernetes.io/instance={RELEASE} -o json");
    let roles = shell
        .ask(&format!(
            "kubectl get clusterroles,roles -n {NAMESPACE} {label}"
        ))
        .await?;
    let bindings = shell
        .ask(&format!(
            "kubectl get clusterrolebindings,rolebindings -n {NAMESPACE} {label}"
        ))
        .await?;
    let roles: Value = serde_json::from_str(&roles).context("the roles are no JSON")?;
    let bindings: Value = serde_json::from_str(&bindings).context("the bindings are no JSON")?;
    let mut given = BTreeSet::new();
    for binding in items(&bindings) {
        let role = items(&roles).find(|role| {
            role["kind"] == binding["roleRef"]["kind"]
                && role["metadata"]["name"] == binding["roleRef"]["name"]
        });
        let Some(role) = role else {
            continue;
        };
        for subject in binding["subjects"].as_array().into_iter().flatten() {
            let name = subject["name"].as_str().unwrap_or_default();
            let account = name.strip_prefix("actcore-").unwrap_or(name);
            given.extend(rights_of(account, role));
        }
    }
    Ok(given)
}

fn rights_of(account: &str, role: &Value) -> Vec<Right> {
    let mut rights = Vec::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    rights.push(Right {
                        account: account.to_owned(),
                        group: group.clone(),
                        resource: resource.clone(),
                        verb,
                    });
                }
            }
        }
    }
    rights
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}
