//! `actcore sync`: the cluster as a folder says, or every definition reconciled once more.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use contracts::workflow::format_time;
use crds::ActivityDefinition;
use crds::condition::types;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use crate::cluster::{self, Cluster, ClusterArguments};
use crate::exit::{Exit, Problem};
use crate::manifests::{self, Manifest};
use crate::output;

/// The annotation whose change makes the operator look at an object again.
const RECONCILE_ANNOTATION: &str = "activity-core.io/reconcile";

/// How long the operator may take to have looked at everything.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(15);

const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The options of `actcore sync`.
#[derive(Debug, Args)]
#[command(
    about = "Applies a folder of manifests, or has the operator reconcile every definition",
    long_about = "\
With -f: makes the cluster what a folder of manifests says. Every ActivityDefinition, EventType and
MaintenanceWindow in it is checked, then applied (server-side apply), and printed as created,
configured or unchanged. What is in the cluster and not in the folder stays.

Without -f: has the operator reconcile every definition now, and prints where each one stands. The
operator does so by itself all the time: it creates missing Schedules, puts changed ones right,
pauses those of disabled definitions and sweeps orphans. This is for the impatient.",
    after_help = "\
Examples:
  # Event types and definitions from a folder
  actcore sync -f activities/ -n activity-core

  # What would change?
  actcore sync -f activities/ -n activity-core --dry-run

  # Reconcile everything, everywhere
  actcore sync

Exit codes: 0 done (without -f: every definition is Ready), 1 something was refused or is not Ready,
2 Kubernetes could not be reached, 3 usage or a manifest that is wrong (then nothing was applied)."
)]
pub(crate) struct SyncArguments {
    /// The folder, or one file; - is standard input.
    #[arg(short, long, value_name = "FOLDER")]
    filename: Option<PathBuf>,

    /// Ask the API server what would change, and change nothing.
    #[arg(long, requires = "filename")]
    dry_run: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Carries out `actcore sync`.
pub(crate) async fn run(arguments: SyncArguments) -> anyhow::Result<Exit> {
    let Some(folder) = &arguments.filename else {
        let cluster = Cluster::configure(&arguments.cluster).await?;
        return reconcile_all(&cluster, arguments.cluster.namespace.as_deref()).await;
    };
    // Read before anything is asked: a wrong manifest needs no cluster to be found.
    let manifests = manifests::read_folder(folder)?;
    if manifests.is_empty() {
        return Err(Problem::usage(format!(
            "{} holds no manifest (.yaml, .yml or .json)",
            folder.display()
        ))
        .into());
    }
    let cluster = Cluster::configure(&arguments.cluster).await?;
    apply_all(&cluster, &manifests, arguments.dry_run).await
}

/// What an apply did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Applied {
    Created,
    Configured,
    Unchanged,
}

impl Applied {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

async fn apply_all(
    cluster: &Cluster,
    manifests: &[Manifest],
    dry_run: bool,
) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    let suffix = if dry_run { " (dry run)" } else { "" };
    for manifest in manifests {
        match apply(cluster, manifest, dry_run).await {
            Ok(applied) => output::line(format!("{manifest} {}{suffix}", applied.as_str()))?,
            // The others are applied all the same; each refusal is told.
            Err(problem) if problem.exit == Exit::Failed => {
                output::note(format!(
                    "error: {manifest} ({}): {problem}",
                    manifest.source
                ));
                exit = Exit::Failed;
            }
            Err(problem) => return Err(problem.into()),
        }
    }
    Ok(exit)
}

async fn apply(cluster: &Cluster, manifest: &Manifest, dry_run: bool) -> Result<Applied, Problem> {
    let namespace = manifest
        .object
        .metadata
        .namespace
        .as_deref()
        .unwrap_or(&cluster.namespace);
    let api = cluster.dynamic(namespace, &manifest.kind.resource());
    let before = cluster::ask(api.get_opt(manifest.name())).await?;
    // The folder's word counts: what somebody changed by hand is taken over.
    let parameters = PatchParams {
        dry_run,
        ..PatchParams::apply(cluster::FIELD_MANAGER)
            .force()
            .validation_strict()
    };
    let patch = Patch::Apply(&manifest.object);
    let after = cluster::ask(api.patch(manifest.name(), &parameters, &patch)).await?;
    Ok(match before {
        None => Applied::Created,
        Some(before) if says_the_same(&before, &after) => Applied::Unchanged,
        Some(_) => Applied::Configured,
    })
}

/// Whether two versions of an object say the same to their reader: who manages which field is not
/// looked at.
fn says_the_same(before: &DynamicObject, after: &DynamicObject) -> bool {
    before.data["spec"] == after.data["spec"]
        && before.labels() == after.labels()
        && before.annotations() == after.annotations()
}

/// Touches every definition and waits a moment for the operator.
async fn reconcile_all(cluster: &Cluster, namespace: Option<&str>) -> anyhow::Result<Exit> {
    let everywhere = cluster.objects::<ActivityDefinition>(namespace);
    let listed = cluster::ask(everywhere.list(&ListParams::default())).await?;
    if listed.items.is_empty() {
        output::note("there is no definition");
        return Ok(Exit::Done);
    }
    let now = format_time(chrono::Utc::now());
    let mut change = json!({"metadata": {"annotations": {}}});
    change["metadata"]["annotations"][RECONCILE_ANNOTATION] = json!(now);
    let parameters = PatchParams {
        field_manager: Some(cluster::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    for object in &listed.items {
        let api = cluster.definitions_in(&object.namespace().unwrap_or_default());
        let name = object.name_any();
        cluster::ask(api.patch_metadata(&name, &parameters, &Patch::Merge(&change))).await?;
    }
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    let objects = loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let objects = cluster::ask(everywhere.list(&ListParams::default())).await?;
        if objects.items.iter().all(is_settled) || Instant::now() >= deadline {
            break objects.items;
        }
    };
    print_states(&objects)?;
    let all_ready = objects
        .iter()
        .all(|object| condition(object, types::READY).0 == "True");
    Ok(if all_ready { Exit::Done } else { Exit::Failed })
}

/// Whether the operator has judged the spec as it is now.
fn is_settled(object: &ActivityDefinition) -> bool {
    let Some(status) = &object.status else {
        return false;
    };
    status.observed_generation == object.metadata.generation
        && condition(object, types::RECONCILING).0 != "True"
}

fn print_states(objects: &[ActivityDefinition]) -> std::io::Result<()> {
    let rows = objects.iter().map(|object| {
        let (ready, message) = condition(object, types::READY);
        vec![
            object.namespace().unwrap_or_default(),
            object.name_any(),
            ready,
            condition(object, types::SCHEDULE_SYNCED).0,
            condition(object, types::MIRROR_SYNCED).0,
            output::on_one_line(&message),
        ]
    });
    output::table(
        &[
            "NAMESPACE",
            "NAME",
            "READY",
            "SCHEDULE",
            "MIRROR",
            "MESSAGE",
        ],
        rows.collect(),
    )
}

/// A condition's status and message.
fn condition(object: &ActivityDefinition, kind: &str) -> (String, String) {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions
        .filter(|condition| condition.type_ == kind)
        .map(|condition| (condition.status.clone(), condition.message.clone()))
        .next()
        .unwrap_or_else(|| {
            (
                "Unknown".to_owned(),
                "the operator has not looked at it yet; is actcore-operator running?".to_owned(),
            )
        })
}
