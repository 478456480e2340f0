//! `actcore sync`: the cluster as a folder says, or every definition reconciled once more.

pub(crate) mod apply;
mod reconcile;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cluster::{Cluster, ClusterArguments};
use crate::exit::{Exit, Problem};
use crate::manifests;
use crate::output::OutputArguments;
use reconcile::Request;

/// The options of `actcore sync`.
#[derive(Debug, Args)]
#[command(
    about = "Applies a folder of manifests, or has the operator reconcile every definition",
    long_about = "\
With -f: makes the cluster what a folder of manifests says. Every ActivityDefinition, EventType and
MaintenanceWindow in it is checked, then applied (server-side apply), and printed as created,
configured or unchanged. What is in the cluster and not in the folder stays.

Without -f: has the operator reconcile every definition now, waits until it has answered, and prints
what that did to each one's Schedule and mirror row: created, created paused (a disabled
definition), updated, paused, resumed, deleted or unchanged; and which orphans were deleted, that is
Schedules and rows that no definition declares. The operator does all this by itself, all the time;
this is for the impatient. The request is the annotation activity-core.io/reconcile, the answer is
status.lastHandledReconcile.",
    after_help = "\
Examples:
  # Event types and definitions from a folder
  actcore sync -f activities/ -n activity-core

  # What would change?
  actcore sync -f activities/ -n activity-core --dry-run

  # Reconcile everything, everywhere, and see what was not in order
  actcore sync

  # For a script: what was changed?
  actcore sync -o json | jq '.definitions[] | select(.schedule != \"unchanged\")'

Exit codes: 0 done (without -f: every definition is Ready), 1 something was refused or is not Ready,
2 Kubernetes could not be reached or the operator did not answer in time, 3 usage or a manifest that
is wrong (then nothing was applied)."
)]
pub(crate) struct SyncArguments {
    /// The folder, or one file; - is standard input.
    #[arg(short, long, value_name = "FOLDER")]
    filename: Option<PathBuf>,

    /// Ask the API server what would change, and change nothing.
    #[arg(long, requires = "filename")]
    dry_run: bool,

    /// How long the operator may take to answer, in seconds.
    #[arg(
        long,
        default_value_t = 60,
        value_name = "SECONDS",
        conflicts_with = "filename"
    )]
    timeout: u64,

    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Carries out `actcore sync`.
pub(crate) async fn run(arguments: SyncArguments) -> anyhow::Result<Exit> {
    let Some(folder) = &arguments.filename else {
        let cluster = Cluster::configure(&arguments.cluster).await?;
        let request = Request {
            namespace: arguments.cluster.namespace.as_deref(),
            limit: Duration::from_secs(arguments.timeout),
            format: arguments.output.output,
        };
        return reconcile::reconcile_all(&cluster, request).await;
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
    let apply = apply::Apply {
        dry_run: arguments.dry_run,
        format: arguments.output.output,
    };
    apply.all(&cluster, &manifests).await
}
