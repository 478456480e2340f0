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

/// Names the steps to take, by commas, when not all of them: on a cluster that was given and has
/// been through those before.
const CHOSEN_STEPS: &str = "ACTCORE_E2E_STEPS";

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
    let steps = Step::chosen()?;
    let archives = if steps.contains(&Step::Install) {
        images::make(&components, &folder.path().join("images"), &progress).await?
    } else {
        Vec::new()
    };
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
    let outcome = travel(&shell, &cluster, &steps).await;
    let arrived = outcome.is_ok();
    keep_transcript(&shell, arrived && steps == Step::ALL)?;
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

/// A part of the journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Install,
    LookAround,
    ProveARun,
    UseTheApi,
    PlanMaintenance,
    ReplaceUnderLoad,
    CompareRights,
    Remove,
}

impl Step {
    /// All of them, in the order in which they are taken.
    const ALL: [Self; 8] = [
        Self::Install,
        Self::LookAround,
        Self::ProveARun,
        Self::UseTheApi,
        Self::PlanMaintenance,
        Self::ReplaceUnderLoad,
        Self::CompareRights,
        Self::Remove,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::LookAround => "look-around",
            Self::ProveARun => "prove-a-run",
            Self::UseTheApi => "use-the-api",
            Self::PlanMaintenance => "plan-maintenance",
            Self::ReplaceUnderLoad => "replace-under-load",
            Self::CompareRights => "compare-rights",
            Self::Remove => "remove",
        }
    }

    /// Those that are to be taken.
    fn chosen() -> Result<Vec<Self>> {
        let Ok(names) = std::env::var(CHOSEN_STEPS) else {
            return Ok(Self::ALL.to_vec());
        };
        let find = |name: &str| {
            let mut steps = Self::ALL.into_iter();
            let found = steps.find(|step| step.name() == name);
            found.with_context(|| format!("{CHOSEN_STEPS}: there is no step {name}"))
        };
        names.split(',').map(find).collect()
    }

    async fn take(self, shell: &Shell, cluster: &Cluster) -> Result<()> {
        match self {
            Self::Install => lifecycle::install(shell).await,
            Self::LookAround => runbook::look_around(shell).await,
            Self::ProveARun => runbook::prove_a_run(shell).await,
            Self::UseTheApi => runbook::use_the_api(shell).await,
            Self::PlanMaintenance => runbook::plan_maintenance(shell).await,
            Self::ReplaceUnderLoad => lifecycle::replace_under_load(shell).await,
            Self::CompareRights => {
                if let Some(log) = cluster.audit_log() {
                    return rights::compare(shell, &log).await;
                }
                shell.note("The API server's audit log is out of reach here; rights not compared.");
                Ok(())
            }
            Self::Remove => lifecycle::remove(shell).await,
        }
    }
}

async fn travel(shell: &Shell, cluster: &Cluster, steps: &[Step]) -> Result<()> {
    for step in steps {
        step.take(shell, cluster)
            .await
            .with_context(|| format!("the step {} failed", step.name()))?;
    }
    Ok(())
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
