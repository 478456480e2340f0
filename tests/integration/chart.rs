//! What the Helm chart renders, against a real API server: every object is accepted under the pod
//! security standard "restricted", and the rights that it gives are enough.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde::Deserialize as _;
use serde_json::{Value, json};
use testkit::Program;
use testkit::components::Component;
use testkit::progress::Progress;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::place::Place;

/// How long one call of Helm or kubectl may take.
const CALL_TIMEOUT: Duration = Duration::from_mins(2);

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/activity-core")
}

/// What a program printed.
struct Printed {
    out: String,
    err: String,
}

async fn call(mut command: Command, input: &str) -> Result<Printed> {
    command
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let calling = async {
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(CALL_TIMEOUT, calling).await??;
    let printed = Printed {
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    anyhow::ensure!(output.status.success(), "{}{}", printed.out, printed.err);
    Ok(printed)
}

/// What the chart renders for a place with a file of values.
async fn rendered(place: &Place, values: &str) -> Result<Vec<Value>> {
    let helm = testkit::components::helm(&Progress::on_stderr()).await?;
    let mut command = Command::new(helm);
    command.current_dir(chart()).args([
        "template",
        "activity-core",
        ".",
        "--kube-version",
        "1.36.3",
        "--namespace",
        place.environment.namespace(),
        "--values",
        values,
        // Its CRDs are not there.
        "--set",
        "monitoring.prometheusOperator=Never",
    ]);
    let printed = call(command, "").await?;
    serde_norway::Deserializer::from_str(&printed.out)
        .map(|document| Ok(Value::deserialize(document)?))
        .filter(|object| !matches!(object, Ok(Value::Null)))
        .collect()
}

async fn kubectl(place: &Place, arguments: &[&str], objects: &[Value]) -> Result<Printed> {
    let components = place.environment.stack().components();
    let mut command = Command::new(components.program(Component::Kubectl)?);
    command
        .env("KUBECONFIG", place.environment.kubeconfig())
        .env("HOME", place.environment.folder())
        .args(["--namespace", place.environment.namespace()])
        .args(arguments);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    call(command, &list.to_string()).await
}

/// Enforces the pod security standard "restricted" in the place's namespace, and warns as well.
async fn restrict(place: &Place) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(place.definitions.clone().into_client());
    let labels = json!({"metadata": {"labels": {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
    }}});
    let name = place.environment.namespace();
    namespaces
        .patch(name, &PatchParams::default(), &Patch::Merge(labels))
        .await?;
    Ok(())
}

/// The pods that a workload would make, under the account that every namespace has.
fn pod(object: &Value) -> Option<Value> {
    let template = match object["kind"].as_str()? {
        "Deployment" | "Job" => &object["spec"]["template"],
        "Pod" => object,
        _ => return None,
    };
    let mut spec = template["spec"].clone();
    spec["serviceAccountName"] = json!("default");
    Some(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("pod-of-{}", object["metadata"]["name"].as_str()?),
            "labels": template["metadata"]["labels"],
        },
        "spec": spec,
    }))
}

const DRY_RUN: [&str; 6] = [
    "apply",
    "--server-side",
    "--force-conflicts",
    "--dry-run=server",
    "-f",
    "-",
];

#[tokio::test]
async fn everything_that_the_chart_renders_is_accepted_under_restricted_pod_security() -> Result<()>
{
    let place = Place::new("chart").await?;
    restrict(&place).await?;
    let mut accepted = 0;
    for values in [
        "values-dev.yaml",
        "ci/production-values.yaml",
        "ci/namespaced-values.yaml",
        "ci/minimal-values.yaml",
        "ci/placement-values.yaml",
    ] {
        let mut objects = rendered(&place, values).await?;
        let pods: Vec<Value> = objects.iter().filter_map(pod).collect();
        anyhow::ensure!(!pods.is_empty(), "{values} has no pods");
        objects.extend(pods);
        let printed = kubectl(&place, &DRY_RUN, &objects)
            .await
            .with_context(|| values.to_owned())?;
        assert!(
            !printed.err.contains("Warning"),
            "{values}: {}",
            printed.err
        );
        accepted += printed.out.lines().count();
    }
    assert!(accepted > 200, "only {accepted} objects were looked at");

    // The plug-in is there: what is not restricted is refused.
    let root = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root"},
        "spec": {"containers": [{"name": "root", "image": "activity-core"}]},
    });
    let refusal = kubectl(&place, &DRY_RUN, &[root]).await;
    let refusal = refusal
        .err()
        .context("a pod that is not restricted was let in")?;
    assert!(
        format!("{refusal:#}").contains("violates PodSecurity"),
        "{refusal:#}"
    );
    Ok(())
}

/// A kubeconfig of one of the chart's accounts.
async fn kubeconfig_of(place: &Place, account: &str) -> Result<PathBuf> {
    let token = kubectl(place, &["create", "token", account], &[]).await?;
    let text = std::fs::read_to_string(place.environment.kubeconfig())?;
    let mut config: Value = serde_norway::from_str(&text)?;
    for user in config["users"].as_array_mut().context("no users")? {
        user["user"] = json!({"token": token.out.trim()});
    }
    let path = place
        .environment
        .folder()
        .join(format!("{account}.kubeconfig"));
    std::fs::write(&path, config.to_string())?;
    Ok(path)
}

/// Lines of a log that tell of a missing right.
fn refused(log: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(log)?;
    let lines = text.lines().filter(|line| {
        // In scope Namespace there is no webhook, which the test's operator has all the same.
        line.contains("forbidden") && !line.contains("webhook")
    });
    Ok(lines.map(str::to_owned).collect())
}

/// Reads, creates, changes and deletes by the REST API.
async fn use_every_right(client: &reqwest::Client, api: &str) -> Result<()> {
    let definitions = format!("{api}/activity-definitions/");
    let body = json!({"name": "by-rest", "trigger_config": {
        "trigger_type": "cron", "cron_expression": "0 9 * * *", "timezone": "UTC",
        "misfire_policy": "skip",
    }});
    let created = client.post(&definitions).json(&body).send().await?;
    let created: Value = created.error_for_status()?.json().await?;
    let definition = format!("{definitions}{}", created["id"].as_str().context("no id")?);
    let off = json!({"enabled": false});
    let event_types = format!("{api}/event-types/");
    let event_type = format!("{event_types}user.created");
    let body = json!({"name": "user.created", "description": "A user signed up."});
    let text = json!({"description": "A user has signed up."});
    let calls = [
        client.get(&definitions),
        client.get(&definition),
        client.put(&definition).json(&off),
        client.post(&event_types).json(&body),
        client.get(&event_types),
        client.get(&event_type),
        client.put(&event_type).json(&text),
        client.delete(&event_type),
        client.delete(&definition),
    ];
    for call in calls {
        let answer = call.send().await?;
        let what = format!("{} {}", answer.status(), answer.url());
        let status = answer.error_for_status_ref().map(|_| ());
        status.with_context(|| what)?;
    }
    Ok(())
}

#[tokio::test]
async fn in_one_namespace_the_charts_roles_are_all_that_operator_and_api_need() -> Result<()> {
    const KINDS: [&str; 4] = ["ServiceAccount", "Role", "RoleBinding", "Lease"];
    let place = Place::new("chart-rights").await?;
    let mut objects = rendered(&place, "ci/namespaced-values.yaml").await?;
    objects.retain(|object| KINDS.contains(&object["kind"].as_str().unwrap_or_default()));
    kubectl(&place, &["apply", "--server-side", "-f", "-"], &objects).await?;

    let operator = kubeconfig_of(&place, "actcore-operator")
        .await?
        .display()
        .to_string();
    let operator = place
        .environment
        .start(Program::Operator, [("KUBECONFIG", operator.as_str())])
        .await?;
    let spec = json!({"trigger": {"cron": {"expression": "0 9 * * *"}}});
    place.create("daily", spec).await?;
    place
        .condition("daily", "Ready", ("True", "Synced"))
        .await?;
    let window = json!({
        "apiVersion": "activity-core.io/v1alpha1",
        "kind": "MaintenanceWindow",
        "metadata": {"name": "now"},
        "spec": {
            "startTime": "2020-01-01T00:00:00Z",
            "endTime": "2100-01-01T00:00:00Z",
            "selector": {},
            "reason": "a test",
            "approvedBy": "a test",
        },
    });
    kubectl(&place, &["apply", "--server-side", "-f", "-"], &[window]).await?;
    place
        .condition("daily", "Ready", ("True", "Suspended"))
        .await?;

    let api = kubeconfig_of(&place, "actcore-api")
        .await?
        .display()
        .to_string();
    let api = place
        .environment
        .start(Program::Api, [("KUBECONFIG", api.as_str())])
        .await?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(CALL_TIMEOUT)
        .build()?;
    use_every_right(&client, api.api_url()).await?;
    place.delete("daily").await?;
    testkit::wait::until(
        "both definitions to be gone",
        crate::place::PATIENCE,
        || async {
            let left = place
                .definitions
                .list(&kube::api::ListParams::default())
                .await?;
            Ok::<_, kube::Error>(left.items.is_empty())
        },
    )
    .await?;

    for log in [operator.log_path(), api.log_path()] {
        assert_eq!(refused(log)?, Vec::<String>::new(), "{}", log.display());
    }
    Ok(())
}

async fn helm(place: &Place, arguments: &[&str]) -> Result<Printed> {
    let helm = testkit::components::helm(&Progress::on_stderr()).await?;
    let mut command = Command::new(helm);
    command
        .current_dir(chart())
        .env("KUBECONFIG", place.environment.kubeconfig())
        .env("HOME", place.environment.folder())
        .args(["--namespace", place.environment.namespace()])
        .args(arguments);
    call(command, "").await
}

/// Fills what the chart makes for the operator, as the operator does.
async fn fill(place: &Place) -> Result<()> {
    let namespace = place.environment.namespace();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "actcore-operator"},
        "spec": {"holderIdentity": "a-pod", "leaseDurationSeconds": 15},
    });
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "actcore-operator-webhook"},
        "stringData": {"tls.crt": "a certificate"},
    });
    let registration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "activity-core"},
        "webhooks": [{
            "name": "validate.activity-core.io",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "clientConfig": {"url": "https://127.0.0.1:1/validate"},
            // Other tests share the API server.
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{
                "apiGroups": ["activity-core.io"],
                "apiVersions": ["v1alpha1"],
                "operations": ["CREATE"],
                "resources": ["eventtypes"],
            }],
        }],
    });
    let arguments = [
        "apply",
        "--server-side",
        "--field-manager=operator",
        "-f",
        "-",
    ];
    kubectl(place, &arguments, &[lease, secret, registration]).await?;
    Ok(())
}

/// What the operator wrote, as it is now.
async fn written(place: &Place) -> Result<[String; 3]> {
    let read = async |object: &str, path: &str| {
        let path = format!("jsonpath={path}");
        let printed = kubectl(place, &["get", object, "-o", &path], &[]).await?;
        anyhow::Ok(printed.out)
    };
    Ok([
        read("lease/actcore-operator", "{.spec.holderIdentity}").await?,
        read("secret/actcore-operator-webhook", "{.data}").await?,
        read(
            "validatingwebhookconfiguration/activity-core",
            "{.webhooks[*].name}",
        )
        .await?,
    ])
}

#[tokio::test]
async fn an_upgrade_takes_nothing_from_the_operator_and_an_uninstall_leaves_nothing() -> Result<()>
{
    let place = Place::new("chart-life").await?;
    // The CRDs are there already, and not Helm's.
    let install = ["-f", "values-dev.yaml", "--set", "crds.install=false"];
    let with = |first: &[&'static str], more: &[&'static str]| -> Vec<&'static str> {
        [first, &install, more].concat()
    };
    helm(&place, &with(&["install", "activity-core", "."], &[])).await?;
    fill(&place).await?;
    let before = written(&place).await?;
    assert_eq!(before[0], "a-pod");
    assert_eq!(before[2], "validate.activity-core.io");
    let definition = place
        .create(
            "kept",
            json!({"trigger": {"cron": {"expression": "@daily"}}}),
        )
        .await?;

    let changed = ["--set", "api.replicas=3,image.tag=next"];
    helm(&place, &with(&["upgrade", "activity-core", "."], &changed)).await?;
    assert_eq!(written(&place).await?, before, "after the upgrade");
    helm(&place, &["rollback", "activity-core", "1"]).await?;
    assert_eq!(written(&place).await?, before, "after the rollback");
    let kept = place.definitions.get("kept").await?;
    assert_eq!(kept.metadata.uid, definition.metadata.uid);

    helm(&place, &["uninstall", "activity-core", "--wait"]).await?;
    let ours = "--selector=app.kubernetes.io/instance=activity-core";
    let kinds = "deployments,jobs,services,secrets,configmaps,leases,networkpolicies,\
                 poddisruptionbudgets,roles,rolebindings,serviceaccounts,persistentvolumeclaims,\
                 clusterroles,clusterrolebindings,validatingwebhookconfigurations";
    let left = kubectl(&place, &["get", kinds, ours, "-o", "name"], &[]).await?;
    assert_eq!(left.out, "");
    let releases = kubectl(&place, &["get", "secrets", "-o", "name"], &[]).await?;
    assert_eq!(releases.out, "", "what Helm itself kept");
    Ok(())
}
