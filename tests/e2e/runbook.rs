//! The commands of the runbook, on the cluster.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use testkit::ports::PreferredPort;
use testkit::process::Process;

use crate::journey::{NAMESPACE, PATIENCE};
use crate::shell::Shell;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What the runbook looks at first.
pub(crate) async fn look_around(shell: &Shell) -> Result<()> {
    shell.heading("The runbook's look around");
    shell
        .run(&format!(
            "kubectl -n {NAMESPACE} get deploy actcore-operator actcore-worker actcore-api \
             actcore-event-router"
        ))
        .await?;
    let pods = shell
        .run(&format!(
            "kubectl -n {NAMESPACE} get pods -l app.kubernetes.io/part-of=activity-core"
        ))
        .await?;
    let ready = pods.lines().filter(|line| line.contains("1/1")).count();
    anyhow::ensure!(ready >= 8, "only {ready} pods are ready");
    let metrics = forward(shell, "svc/actcore-worker-metrics", 9090).await?;
    let answer = shell
        .until(
            &format!("curl -sf http://127.0.0.1:{}/metrics | grep -E '^activity_core_(build_info|dependency_up)'", metrics.port),
            ANSWER_TIMEOUT,
            |answer| answer.contains("activity_core_build_info"),
        )
        .await?;
    anyhow::ensure!(answer.contains("actcore-worker"), "{answer}");
    drop(metrics);
    names_are_found(shell).await
}

/// A pod that meets the strictest pod security finds Services by name.
async fn names_are_found(shell: &Shell) -> Result<()> {
    shell.run("kubectl apply -f tests/e2e/tools.yaml").await?;
    shell
        .run(&format!(
            "kubectl -n {NAMESPACE} wait --for=condition=Ready pod/tools --timeout=60s"
        ))
        .await?;
    let found = shell
        .run(&format!(
            "kubectl -n {NAMESPACE} exec tools -- sh -c 'id -u; getent hosts \
             actcore-worker-metrics.{NAMESPACE}.svc.cluster.local kubernetes.default.svc.cluster.local'"
        ))
        .await?;
    anyhow::ensure!(
        found.contains("10.96.0.1") || found.lines().count() >= 2,
        "{found}"
    );
    shell
        .run(&format!(
            "kubectl -n {NAMESPACE} delete pod tools --grace-period=1"
        ))
        .await?;
    Ok(())
}

/// One definition, one run, one proof.
pub(crate) async fn prove_a_run(shell: &Shell) -> Result<()> {
    shell.heading("From kubectl apply to a proven run");
    shell.run("kubectl apply -f tests/e2e/report.yaml").await?;
    shell
        .run(&format!(
            "kubectl -n {NAMESPACE} wait --for=condition=Ready --timeout=60s actdef/e2e-report"
        ))
        .await?;
    shell
        .run(&format!(
            "kubectl -n {NAMESPACE} annotate actdef/e2e-report activity-core.io/trigger=e2e-1"
        ))
        .await?;
    let exec = format!("kubectl -n {NAMESPACE} exec deploy/actcore-worker --");
    shell
        .until(
            &format!("{exec} actcore runs e2e-report --limit 5"),
            PATIENCE,
            |answer| answer.contains("Succeeded"),
        )
        .await?;
    shell
        .run(&format!(
            "kubectl -n {NAMESPACE} get actdef e2e-report -o wide"
        ))
        .await?;
    shell
        .run(&format!("{exec} actcore verify e2e-report --live"))
        .await?;
    Ok(())
}

/// Health and definitions by REST, as the predecessor's clients do it.
pub(crate) async fn use_the_api(shell: &Shell) -> Result<()> {
    shell.heading("The REST API");
    let api = forward(shell, "svc/actcore-api", 8010).await?;
    let url = format!("http://127.0.0.1:{}", api.port);
    let health = shell
        .until(
            &format!("curl -sf {url}/health"),
            ANSWER_TIMEOUT,
            |answer| answer.contains("ok"),
        )
        .await?;
    let health: Value = serde_json::from_str(&health).context("health is no JSON")?;
    anyhow::ensure!(health == serde_json::json!({"status": "ok", "db": true, "temporal": true}));

    shell
        .run(&format!(
            "kubectl -n {NAMESPACE} create serviceaccount actcore-client && \
             kubectl -n {NAMESPACE} create rolebinding actcore-client --clusterrole=edit \
             --serviceaccount={NAMESPACE}:actcore-client"
        ))
        .await?;
    let refused = shell
        .run(&format!(
            "curl -s -o /dev/null -w '%{{http_code}}' {url}/activity-definitions/"
        ))
        .await?;
    anyhow::ensure!(refused.trim() == "401", "without a token: {refused}");
    let call = format!(
        "curl -sf -H \"Authorization: Bearer $(kubectl -n {NAMESPACE} create token actcore-client)\""
    );
    let json = "-H 'Content-Type: application/json'";
    let created = shell
        .run(&format!(
            "{call} -X POST {url}/activity-definitions/ {json} -d '{{\"name\": \"daily-report\", \
             \"trigger_config\": {{\"trigger_type\": \"cron\", \"cron_expression\": \"0 9 * * 1-5\", \
             \"timezone\": \"Europe/Berlin\", \"misfire_policy\": \"skip\"}}}}'"
        ))
        .await?;
    let created: Value = serde_json::from_str(&created).context("the answer is no JSON")?;
    let id = created["id"].as_str().context("the definition has no id")?;
    // The role is bound in one namespace; who asks for all of them is told so.
    let everywhere = shell
        .run(&format!(
            "curl -s -o /dev/null -w '%{{http_code}}' -H \"Authorization: Bearer $(kubectl -n \
             {NAMESPACE} create token actcore-client)\" {url}/activity-definitions/"
        ))
        .await?;
    anyhow::ensure!(everywhere.trim() == "403", "all namespaces: {everywhere}");
    let listed = shell
        .run(&format!(
            "{call} '{url}/activity-definitions/?namespace={NAMESPACE}'"
        ))
        .await?;
    anyhow::ensure!(listed.contains(id), "{id} is not listed: {listed}");
    shell
        .run(&format!(
            "{call} -X POST {url}/activity-definitions/{id}/trigger"
        ))
        .await?;
    shell
        .run(&format!(
            "{call} -X PUT {url}/activity-definitions/{id} {json} -d '{{\"enabled\": false}}'"
        ))
        .await?;
    shell
        .run(&format!("{call} -X DELETE {url}/activity-definitions/{id}"))
        .await?;
    use_event_types(shell, &call, &url).await
}

/// Event types by REST.
async fn use_event_types(shell: &Shell, call: &str, url: &str) -> Result<()> {
    let json = "-H 'Content-Type: application/json'";
    let all = format!("{url}/event-types/");
    let one = format!("{url}/event-types/e2e.rest");
    for command in [
        format!(
            "-X POST {all} {json} -d '{{\"name\": \"e2e.rest\", \"schema\": {{\"type\": \
             \"object\"}}}}'"
        ),
        format!("'{all}?namespace={NAMESPACE}'"),
        one.clone(),
        format!("-X PUT {one} {json} -d '{{\"description\": \"Tried.\"}}'"),
        format!("-X DELETE {one}"),
    ] {
        shell.run(&format!("{call} {command}")).await?;
    }
    Ok(())
}

/// A planned outage is declared, and seen by the operator.
pub(crate) async fn plan_maintenance(shell: &Shell) -> Result<()> {
    shell.heading("A maintenance window");
    shell
        .run("kubectl apply -f tests/e2e/maintenance.yaml")
        .await?;
    shell
        .run(&format!(
            "kubectl -n {NAMESPACE} wait --for=jsonpath='{{.status.observedGeneration}}'=1 \
             --timeout=60s maintwin/e2e-storage-move"
        ))
        .await?;
    shell
        .run(&format!("kubectl -n {NAMESPACE} get maintenancewindows"))
        .await?;
    Ok(())
}

/// A way into the cluster that lasts as long as this.
struct Forward {
    port: u16,
    _process: Process,
}

async fn forward(shell: &Shell, target: &str, port: u16) -> Result<Forward> {
    let here = PreferredPort::find(port)?.given;
    let name = format!("forward-{}", target.replace('/', "-"));
    let command = format!("kubectl -n {NAMESPACE} port-forward {target} {here}:{port}");
    let process = shell.start(&name, &command)?;
    testkit::wait::until(
        format!("{target} to be reached"),
        ANSWER_TIMEOUT,
        async || {
            tokio::net::TcpStream::connect(("127.0.0.1", here))
                .await
                .map(|_| true)
        },
    )
    .await?;
    Ok(Forward {
        port: here,
        _process: process,
    })
}
