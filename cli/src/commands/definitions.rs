//! `actcore get`, `enable` and `disable`: the definitions.

use chrono::{DateTime, Utc};
use clap::Args;
use contracts::rest::ActivityDefinitionUpdate;
use contracts::workflow::format_time;
use crds::condition::types;
use domain::Trigger;
use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde_json::json;

use crate::catalogue::{Catalogue, CatalogueArguments, Entry, Scope};
use crate::cluster;
use crate::exit::{Exit, Problem};
use crate::output::{self, Format, OutputArguments};

/// The options of `actcore get`.
#[derive(Debug, Args)]
#[command(
    visible_alias = "list",
    after_help = "\
Examples:
  # Everything, with where it stands and when it runs next
  actcore get -A

  # Which definitions are not proven to have run?
  actcore get -A -o json | jq '.[] | select(.verified != \"True\") | .name'

The definitions are read in Kubernetes; where there is no access, through the REST API (API_URL) or
in the mirror in Postgres (ACTCORE_DB_URL), which do not know the status.

Exit codes: 0 done, 2 a system could not be reached, 3 usage or no such definition."
)]
pub(crate) struct GetArguments {
    /// Only the definition of this name, display name or activity id.
    name: Option<String>,

    /// The definitions of all namespaces.
    #[arg(short = 'A', long, conflicts_with_all = ["name", "namespace"])]
    all_namespaces: bool,

    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    catalogue: CatalogueArguments,
}

/// The options of `actcore enable` and `actcore disable`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  actcore disable daily-report -n activity-core
  actcore enable daily-report -n activity-core

Disabling pauses the Schedule and ignores events; runs that fall into the pause are entered as
SkippedDisabled. Doing it twice changes nothing.

Exit codes: 0 done, 1 refused, 2 a system could not be reached, 3 usage or no such definition.")]
pub(crate) struct SwitchArguments {
    /// The definition: its name, its display name or its activity id.
    name: String,

    #[command(flatten)]
    catalogue: CatalogueArguments,
}

/// One definition, in the shape that `-o json` promises. What the source does not know is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct DefinitionView {
    namespace: String,
    name: String,
    display_name: String,
    activity_id: Option<String>,
    enabled: bool,
    trigger: TriggerView,
    ready: Option<String>,
    verified: Option<String>,
    last_run: Option<crds::LastRun>,
    missed_runs: Option<i64>,
    skipped_runs: Option<i64>,
    next_run_time: Option<String>,
    created_at: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum TriggerView {
    #[serde(rename_all = "camelCase")]
    Cron {
        expression: String,
        timezone: String,
    },
    #[serde(rename_all = "camelCase")]
    Event {
        event_type: String,
    },
    Manual,
}

/// Carries out `actcore get`.
pub(crate) async fn get(arguments: GetArguments) -> anyhow::Result<Exit> {
    let catalogue = arguments.catalogue.open_declared().await?;
    let entries = if let Some(name) = &arguments.name {
        vec![catalogue.find(arguments.catalogue.wanted(name)).await?]
    } else {
        let scope = if arguments.all_namespaces {
            Scope::Everywhere
        } else {
            Scope::Namespace
        };
        let namespace = arguments.catalogue.cluster.namespace.as_deref();
        catalogue.list(namespace, scope).await?
    };
    let now = Utc::now();
    let views: Vec<DefinitionView> = entries.iter().map(|entry| view(entry, now)).collect();
    match arguments.output.output {
        Format::Json => output::json(&views)?,
        Format::Yaml => output::yaml(&views)?,
        Format::Table if views.is_empty() => {
            output::note("no definitions here; -A looks in all namespaces");
        }
        Format::Table => print_table(&views, now)?,
    }
    Ok(Exit::Done)
}

fn view(entry: &Entry, now: DateTime<Utc>) -> DefinitionView {
    let status = entry.status.as_ref();
    let trigger = entry.spec.trigger.as_ref();
    let cron = trigger.and_then(|trigger| trigger.cron.as_ref());
    let event = trigger.and_then(|trigger| trigger.event.as_ref());
    DefinitionView {
        namespace: entry.namespace.clone(),
        name: entry.name.clone(),
        display_name: entry.display_name.clone(),
        activity_id: entry.activity.map(|activity| activity.to_string()),
        enabled: entry.spec.enabled,
        trigger: match (cron, event) {
            (Some(cron), _) => TriggerView::Cron {
                expression: cron.expression.clone(),
                timezone: cron.timezone.clone(),
            },
            (None, Some(event)) => TriggerView::Event {
                event_type: event.event_type.clone(),
            },
            (None, None) => TriggerView::Manual,
        },
        ready: condition(entry, types::READY),
        verified: condition(entry, types::RUN_VERIFIED),
        last_run: status.and_then(|status| status.last_run.clone()),
        missed_runs: status.and_then(|status| status.missed_runs),
        skipped_runs: status.and_then(|status| status.skipped_runs),
        next_run_time: next_run(entry, now).map(format_time),
        created_at: entry.created.map(format_time),
    }
}

fn condition(entry: &Entry, kind: &str) -> Option<String> {
    let conditions = &entry.status.as_ref()?.conditions;
    let found = conditions
        .iter()
        .find(|condition| condition.type_ == kind)?;
    Some(found.status.clone())
}

/// Computed by ourselves, so that a Schedule that went silent shows no comforting time.
fn next_run(entry: &Entry, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let definition = entry.definition().ok()?;
    match &definition.trigger {
        Trigger::Cron(cron) if definition.enabled => cron.schedule.next_after(now),
        Trigger::Cron(_) | Trigger::Event(_) | Trigger::Manual => None,
    }
}

fn print_table(views: &[DefinitionView], now: DateTime<Utc>) -> std::io::Result<()> {
    let unknown = || "<unknown>".to_owned();
    let rows = views.iter().map(|view| {
        let last = view.last_run.as_ref();
        let ended = last.and_then(|run| run.completed_at);
        vec![
            view.namespace.clone(),
            view.name.clone(),
            view.ready.clone().unwrap_or_else(unknown),
            view.verified.clone().unwrap_or_else(unknown),
            view.enabled.to_string(),
            match &view.trigger {
                TriggerView::Cron { expression, .. } => expression.clone(),
                TriggerView::Event { event_type } => format!("on {event_type}"),
                TriggerView::Manual => "on request".to_owned(),
            },
            ended.map_or_else(String::new, |ended| output::distance(now, ended)),
            last.map_or_else(String::new, |run| run.result.clone()),
            view.next_run_time.clone().unwrap_or_default(),
        ]
    });
    output::table(
        &[
            "NAMESPACE",
            "NAME",
            "READY",
            "VERIFIED",
            "ENABLED",
            "TRIGGER",
            "LAST RUN",
            "RESULT",
            "NEXT RUN",
        ],
        rows.collect(),
    )
}

/// Carries out `actcore enable`.
pub(crate) async fn enable(arguments: SwitchArguments) -> anyhow::Result<Exit> {
    switch(&arguments, true).await
}

/// Carries out `actcore disable`.
pub(crate) async fn disable(arguments: SwitchArguments) -> anyhow::Result<Exit> {
    switch(&arguments, false).await
}

async fn switch(arguments: &SwitchArguments, enabled: bool) -> anyhow::Result<Exit> {
    let catalogue = arguments.catalogue.open_declared().await?;
    let wanted = arguments.catalogue.wanted(&arguments.name);
    let entry = catalogue.find(wanted).await?;
    let state = if enabled { "enabled" } else { "disabled" };
    if entry.spec.enabled == enabled {
        output::line(format!("{} unchanged: it is {state}", entry.called()))?;
        return Ok(Exit::Done);
    }
    match &catalogue {
        Catalogue::Cluster(cluster) => {
            let parameters = PatchParams {
                field_manager: Some(cluster::FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let change = Patch::Merge(json!({"spec": {"enabled": enabled}}));
            let definitions = cluster.definitions_in(&entry.namespace);
            cluster::ask(definitions.patch(&entry.name, &parameters, &change)).await?;
        }
        Catalogue::Api(api) => {
            let update = ActivityDefinitionUpdate {
                enabled: Some(enabled),
                ..ActivityDefinitionUpdate::default()
            };
            api.update(entry.activity()?, &update).await?;
        }
        Catalogue::Mirror(_) => return Err(no_write_access().into()),
    }
    output::line(format!("{} {state}", entry.called()))?;
    Ok(Exit::Done)
}

/// The mirror is written by the operator alone.
pub(crate) fn no_write_access() -> Problem {
    Problem::usage(
        "definitions are changed in Kubernetes: give access by KUBECONFIG, or set API_URL to the \
         REST API of activity-core",
    )
}
