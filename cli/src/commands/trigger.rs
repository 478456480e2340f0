//! `actcore trigger`: a run on request, once per request id.

use std::time::Duration;

use clap::Args;
use contracts::names;
use domain::{ActivityId, RunId, RunOutcome};
use kube::api::{Patch, PatchParams};
use runtime::temporal::TemporalArguments;
use serde::Serialize;
use serde_json::json;
use temporal::{RunStart, Started};
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::ApiClient;
use crate::catalogue::{Catalogue, CatalogueArguments, Entry};
use crate::cluster::{self, Cluster};
use crate::connections::{self, answer};
use crate::exit::{Exit, Problem};
use crate::history::{History, RunView};
use crate::output::{self, Format, OutputArguments};

/// The longest request id, as the REST API has it.
const LONGEST_REQUEST_ID: usize = 200;

/// How often `--wait` looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The options of `actcore trigger`.
#[derive(Debug, Args)]
#[command(
    about = "Starts a run now, once per request id",
    long_about = "\
Starts a run of a definition now. The same request id twice is one run, so a trigger whose answer
got lost may be sent again.

It goes the first way that is open: straight to Temporal (TEMPORAL_HOST), through the REST API
(API_URL), or by the annotation activity-core.io/trigger on the ActivityDefinition, which the
operator carries out (kubeconfig).",
    after_help = "\
Examples:
  # Run it now, and see how it ends
  actcore trigger daily-triage --wait

  # From a deployment: once per release, however often the job is tried
  actcore trigger warm-caches -n activity-core --request-id \"release-$VERSION\"

Exit codes: 0 started (with --wait: Succeeded), 1 refused (with --wait: it ended otherwise),
2 a system could not be reached (with --wait: not over within --timeout), 3 usage or no such
definition."
)]
pub(crate) struct TriggerArguments {
    /// The definition: its name, its display name or its activity id.
    name: String,

    /// The request's id, 1 to 200 visible ASCII characters [default: a new UUID]
    #[arg(long, value_name = "ID", value_parser = parse_request_id)]
    request_id: Option<String>,

    /// Wait until the run ends; needs ACTCORE_DB_URL or API_URL to look at the ledger.
    #[arg(long)]
    wait: bool,

    /// How long to wait, in seconds.
    #[arg(long, default_value_t = 900, value_name = "SECONDS", requires = "wait")]
    timeout: u64,

    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    temporal: TemporalArguments,

    #[command(flatten)]
    catalogue: CatalogueArguments,
}

fn parse_request_id(text: &str) -> Result<String, String> {
    let is_right = (1..=LONGEST_REQUEST_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_right {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "write 1 to {LONGEST_REQUEST_ID} visible ASCII characters, such as a UUID"
        ))
    }
}

/// A run that was asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    namespace: String,
    name: String,
    activity_id: Uuid,
    run_id: Uuid,
    workflow_id: String,
    request_id: String,
    /// `Now`, `Before` (the same request had been made before), or `Requested` (it is for others
    /// to start it, and they know whether it was before).
    started: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunView>,
}

impl Asked {
    fn new(entry: &Entry, start: &RunStart, request_id: &str, started: &'static str) -> Self {
        Self {
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
            activity_id: start.activity.as_uuid(),
            run_id: start.run_id.as_uuid(),
            workflow_id: start.workflow_id.clone(),
            request_id: request_id.to_owned(),
            started,
            run: None,
        }
    }
}

/// Carries out `actcore trigger`.
pub(crate) async fn run(arguments: TriggerArguments) -> anyhow::Result<Exit> {
    let history = if arguments.wait {
        Some(History::open(&arguments.catalogue.postgres, &arguments.catalogue.api).await?)
    } else {
        None
    };
    let request_id = arguments
        .request_id
        .clone()
        .unwrap_or_else(|| Uuid::new_v4().to_string());
    let mut asked = start(&arguments, &request_id).await?;
    let as_text = arguments.output.output == Format::Table;
    if as_text {
        print_start(&asked)?;
    }
    let exit = match history {
        None => Exit::Done,
        Some(history) => {
            let limit = Duration::from_secs(arguments.timeout);
            let ended = wait(&history, RunId::new(asked.run_id), limit).await?;
            let exit = if ended.outcome == RunOutcome::Succeeded.as_str() {
                Exit::Done
            } else {
                Exit::Failed
            };
            if as_text {
                output::line(ended.in_words())?;
            }
            asked.run = Some(ended);
            exit
        }
    };
    match arguments.output.output {
        Format::Json => output::json(&asked)?,
        Format::Yaml => output::yaml(&asked)?,
        Format::Table => {}
    }
    Ok(exit)
}

/// Goes the first way that is open.
async fn start(arguments: &TriggerArguments, request_id: &str) -> Result<Asked, Problem> {
    let catalogue = &arguments.catalogue;
    let wanted = catalogue.wanted(&arguments.name);
    if arguments.temporal.temporal_host.is_some() {
        let entry = catalogue.open_in_force().await?.find(wanted).await?;
        return by_temporal(&arguments.temporal, &entry, request_id).await;
    }
    if let Some(api) = ApiClient::configure(&catalogue.api)? {
        let entry = Catalogue::Api(api.clone()).find(wanted).await?;
        return by_api(&api, &entry, request_id).await;
    }
    let cluster = Cluster::configure(&catalogue.cluster).await;
    let cluster = cluster.map_err(|problem| {
        Problem::usage(format!(
            "no way to start a run: set TEMPORAL_HOST, or API_URL, or give access to Kubernetes \
             ({problem})"
        ))
    })?;
    let entry = Catalogue::Cluster(cluster.clone()).find(wanted).await?;
    by_annotation(&cluster, &entry, request_id).await
}

fn run_of(entry: &Entry, activity: ActivityId, request_id: &str) -> RunStart {
    if !entry.spec.enabled {
        output::note(format!(
            "note: {} is disabled; a run on request starts all the same",
            entry.called()
        ));
    }
    RunStart::by_request(activity, &entry.display_name, request_id)
}

async fn by_temporal(
    arguments: &TemporalArguments,
    entry: &Entry,
    request_id: &str,
) -> Result<Asked, Problem> {
    let start = run_of(entry, entry.activity()?, request_id);
    let temporal = connections::open_temporal(arguments).await?;
    let started = match answer("Temporal", temporal.start_run(&start)).await? {
        Started::Now => "Now",
        Started::Before => "Before",
    };
    Ok(Asked::new(entry, &start, request_id, started))
}

async fn by_api(api: &ApiClient, entry: &Entry, request_id: &str) -> Result<Asked, Problem> {
    let activity = entry.activity()?;
    let triggered = api.trigger(activity, request_id).await?;
    let start = run_of(entry, activity, &triggered.request_id);
    Ok(Asked {
        run_id: triggered.run_id,
        workflow_id: triggered.workflow_id,
        ..Asked::new(entry, &start, &triggered.request_id, "Requested")
    })
}

async fn by_annotation(
    cluster: &Cluster,
    entry: &Entry,
    request_id: &str,
) -> Result<Asked, Problem> {
    let start = run_of(entry, entry.activity()?, request_id);
    let mut change = json!({"metadata": {"annotations": {}}});
    change["metadata"]["annotations"][names::TRIGGER_ANNOTATION] = json!(request_id);
    let parameters = PatchParams {
        field_manager: Some(cluster::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let definitions = cluster.definitions_in(&entry.namespace);
    cluster::ask(definitions.patch(&entry.name, &parameters, &Patch::Merge(change))).await?;
    Ok(Asked::new(entry, &start, request_id, "Requested"))
}

fn print_start(asked: &Asked) -> std::io::Result<()> {
    let what = match asked.started {
        "Now" => "started",
        "Before" => "had been started before by the same request",
        _ => "asked for",
    };
    output::line(format!("{}/{}: {what}", asked.namespace, asked.name))?;
    output::line(format!("run       {}", asked.run_id))?;
    output::line(format!("workflow  {}", asked.workflow_id))?;
    output::line(format!("request   {}", asked.request_id))
}

/// Looks at the ledger until the run is over.
pub(super) async fn wait(
    history: &History,
    run: RunId,
    limit: Duration,
) -> Result<RunView, Problem> {
    let deadline = Instant::now() + limit;
    let mut last = "not entered in the ledger yet; does a worker run?".to_owned();
    loop {
        if let Some(seen) = history.run(run).await? {
            if seen.run.is_over() {
                return Ok(seen.run);
            }
            last = format!("still {}", seen.run.outcome);
        }
        if Instant::now() >= deadline {
            return Err(Problem::unknown(format!(
                "run {run} was not over within {} s: it is {last}",
                limit.as_secs()
            )));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_what_a_header_and_a_workflow_id_can_hold() {
        assert!(parse_request_id("release-1.2").is_ok());
        for wrong in ["", "a b", "\u{e4}", &"x".repeat(201)] {
            assert!(parse_request_id(wrong).is_err(), "{wrong}");
        }
    }
}
