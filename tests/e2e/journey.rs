//! From an empty cluster to an empty cluster, with the chart alone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::components::{Component, Components, helm};
use testkit::progress::Progress;

use crate::cluster::Cluster;
use crate::shell::{Shell, repository};
use crate::{images, lifecycle, rights, runbook};

/// Where the chart is installed.
pub(crate) const NAMESPACE: &str = "activity-core";
/// The release.
pub(crate) const RELEASE: &str = "activity-core";

/// Set to anything, it keeps the cluster after a failure until Ctrl-C, for a look around.
const HOLD: &str = "ACTCORE_E2E_HOLD";

const TRANSCRIPT: &str = "docs/e2e-transcript.md";
/// Where the transcript of a journey that did not arrive is.
const UNFINISHED: &str = "target/e2e-transcript.md";

/// The node ends, and everything of it goes, whether the journey arrives or not.
#[tokio::test]
async fn the_chart_alone_carries_runs_from_installation_to_removal() -> Result<()> {
    let progress = Progress::on_stderr();
    let folder = tempfile::tempdir()?;
    let components = Components::resolve(&progress).await?;
    let helm = helm(&progress).await?;
    let archives = images::make(&components, &folder.path().join("images"), &progress).await?;
    let cluster = Cluster::start(folder.path(), &progress).await?;

    let mut shell = Shell::new(folder.path())?;
    shell.provide("kubectl", &components.program(Component::Kubectl)?)?;
    shell.provide("kubectl-actcore", &testkit::binary("actcore")?)?;
    shell.provide("actcore", &testkit::binary("actcore")?)?;
    if helm.components().count() > 1 {
        shell.provide("helm", &helm)?;
    }
    if let Some(kubeconfig) = cluster.kubeconfig() {
        shell.set("KUBECONFIG", &kubeconfig.display().to_string());
    }
    shell.note(cluster.description());
    for archive in &archives {
        cluster.load(archive).await?;
        shell.note(&format!("Image {archive}"));
    }
    let outcome = travel(&shell, &cluster).await;
    let arrived = outcome.is_ok();
    keep_transcript(&shell, arrived)?;
    if !arrived && std::env::var_os(HOLD).is_some() {
        eprintln!(
            "{outcome:?}\nKUBECONFIG={:?}; Ctrl-C ends it",
            cluster.kubeconfig()
        );
        tokio::signal::ctrl_c().await?;
    }
    let stopped = cluster.stop().await;
    outcome.and(stopped)
}

async fn travel(shell: &Shell, cluster: &Cluster) -> Result<()> {
    lifecycle::install(shell).await?;
    runbook::look_around(shell).await?;
    runbook::prove_a_run(shell).await?;
    runbook::use_the_api(shell).await?;
    lifecycle::replace_under_load(shell).await?;
    match cluster.audit_log() {
        Some(log) => rights::compare(shell, &log).await?,
        None => shell.note("The API server's audit log is out of reach here; rights not compared."),
    }
    lifecycle::remove(shell).await
}

fn keep_transcript(shell: &Shell, arrived: bool) -> Result<()> {
    let name = if arrived { TRANSCRIPT } else { UNFINISHED };
    let text = format!(
        "<!-- Written by `make e2e`. Do not edit. -->\n\n# The chart on a real cluster\n\n\
         Each command and its answer, from an empty cluster to an empty cluster.\n\n{}",
        shell.transcript()
    );
    let path: &Path = &repository().join(name);
    std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

/// How long a program may take until all agree that it is ready.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);
