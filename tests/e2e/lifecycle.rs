//! Installation, replacement under load, upgrade, rollback, removal.

use anyhow::Result;

use crate::flow::{self, Flow};
use crate::images::NEXT_VERSION;
use crate::journey::{NAMESPACE, PATIENCE, RELEASE};
use crate::ledger::Ledger;
use crate::shell::Shell;

const DEPLOYMENTS: [&str; 4] = [
    "actcore-operator",
    "actcore-worker",
    "actcore-event-router",
    "actcore-api",
];

/// Values beside those of the trial: images that are at hand, and two of each program, as in
/// production.
const VALUES: &str = "-f charts/activity-core/values-dev.yaml -f tests/e2e/values.yaml";

/// Installs the chart where the strictest pod security is enforced.
pub(crate) async fn install(shell: &Shell) -> Result<()> {
    shell.heading("Installation under enforce=restricted");
    shell
        .run(&format!("kubectl create namespace {NAMESPACE}"))
        .await?;
    shell
        .run(&format!(
            "kubectl label namespace {NAMESPACE} pod-security.kubernetes.io/enforce=restricted"
        ))
        .await?;
    shell
        .run(
            "kubectl apply -f tests/e2e/storage.yaml && kubectl -n kube-system wait \
             --for=jsonpath='{.status.phase}'=Succeeded pod/e2e-working-memory --timeout=60s",
        )
        .await?;
    shell
        .run(&format!(
            "helm install {RELEASE} charts/activity-core -n {NAMESPACE} {VALUES} --wait \
             --wait-for-jobs --timeout 5m"
        ))
        .await?;
    shell
        .run(&format!(
            "helm test {RELEASE} -n {NAMESPACE} --logs --hide-notes"
        ))
        .await?;
    Ok(())
}

/// Restarts, upgrades and rolls back while events and clock ticks go on.
pub(crate) async fn replace_under_load(shell: &Shell) -> Result<()> {
    shell.heading("Restarts, an upgrade and a rollback while runs go on");
    shell
        .run(&format!("kubectl apply -f {}", flow::MANIFEST))
        .await?;
    shell
        .run(&format!(
            "kubectl -n {NAMESPACE} wait --for=condition=Ready --timeout=60s actdef/flow-events \
             actdef/flow-clock"
        ))
        .await?;
    let ledger = Ledger::connect(shell).await?;

    let restarts = Flow::start(shell).await?;
    for deployment in DEPLOYMENTS {
        shell
            .run(&format!(
                "kubectl -n {NAMESPACE} rollout restart deploy/{deployment} && \
                 kubectl -n {NAMESPACE} rollout status deploy/{deployment} --timeout=180s"
            ))
            .await?;
    }
    let reckoning = restarts.reckon(&ledger).await?;
    shell.note(&format!("Across the restarts: {reckoning}."));

    let upgrade = Flow::start(shell).await?;
    shell
        .run(&format!(
            "helm upgrade {RELEASE} charts/activity-core -n {NAMESPACE} {VALUES} \
             --set image.tag={NEXT_VERSION} --set activityTimeoutSeconds=600 --wait \
             --wait-for-jobs --timeout 5m"
        ))
        .await?;
    the_pods_run(shell, NEXT_VERSION).await?;
    let reckoning = upgrade.reckon(&ledger).await?;
    shell.note(&format!("Across the upgrade: {reckoning}."));

    let rollback = Flow::start(shell).await?;
    shell
        .run(&format!(
            "helm rollback {RELEASE} 1 -n {NAMESPACE} --wait --wait-for-jobs --timeout 5m"
        ))
        .await?;
    the_pods_run(shell, crate::images::VERSION).await?;
    let reckoning = rollback.reckon(&ledger).await?;
    shell.note(&format!("Across the rollback: {reckoning}."));
    Ok(())
}

/// All pods of our programs, and none besides, are of this version.
async fn the_pods_run(shell: &Shell, version: &str) -> Result<()> {
    let command = format!(
        "kubectl -n {NAMESPACE} get pods -l 'app.kubernetes.io/component in (operator,worker,\
         event-router,api)' -o custom-columns=POD:.metadata.name,IMAGE:.spec.containers[0].image \
         --no-headers"
    );
    let image = format!("activity-core:{version}");
    let only_these = |answer: &str| {
        let mut images = answer
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1));
        !answer.trim().is_empty() && images.all(|found| found == image)
    };
    shell.until(&command, PATIENCE, only_these).await?;
    Ok(())
}

/// Removes the release, then what it keeps on purpose, and looks whether anything is left.
pub(crate) async fn remove(shell: &Shell) -> Result<()> {
    shell.heading("Removal");
    shell
        .run("kubectl delete activitydefinitions,eventtypes,maintenancewindows --all -A --timeout=90s")
        .await?;
    shell
        .run(&format!(
            "helm uninstall {RELEASE} -n {NAMESPACE} --wait --timeout 3m"
        ))
        .await?;
    shell
        .run(&format!(
            "kubectl -n {NAMESPACE} delete pod actcore-helm-test --ignore-not-found"
        ))
        .await?;
    let by_label = format!(
        "kubectl api-resources --verbs=list -o name | grep -v '^events' | xargs -n 1 kubectl get -A \
         --ignore-not-found --show-kind --no-headers -l app.kubernetes.io/instance={RELEASE} 2>&1 \
         | grep -v -E 'customresourcedefinition|^Warning: .* is deprecated' || true"
    );
    let nothing = |answer: &str| answer.trim().is_empty();
    shell.until(&by_label, PATIENCE, nothing).await?;
    let in_namespace = format!(
        "kubectl -n {NAMESPACE} get all,configmaps,secrets,leases,roles,rolebindings,\
         serviceaccounts,networkpolicies,persistentvolumeclaims --no-headers 2>&1 \
         | grep -v -E 'kube-root-ca.crt|serviceaccount/(default|actcore-client)|persistentvolumeclaim/working-memory|actcore-client|No resources' || true"
    );
    shell.until(&in_namespace, PATIENCE, nothing).await?;
    shell
        .run("kubectl delete -f crds/ --ignore-not-found && kubectl get crd -o name | grep activity-core || echo no CRD is left")
        .await?;
    shell
        .run("kubectl delete -f tests/e2e/storage.yaml --timeout=60s")
        .await?;
    shell
        .run(&format!(
            "kubectl delete namespace {NAMESPACE} --timeout=90s"
        ))
        .await?;
    Ok(())
}
