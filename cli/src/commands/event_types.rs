//! `actcore eventtypes`: the types of events that payloads are checked against.

use clap::Args;
use contracts::rest;
use crds::{EventType, ValidationMode};
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde::Serialize;
use store::EventTypeRow;

use crate::catalogue::{Catalogue, CatalogueArguments};
use crate::cluster;
use crate::connections::answer;
use crate::exit::{Exit, Problem};
use crate::output::{self, Format, OutputArguments};

/// The options of `actcore eventtypes`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  actcore eventtypes -A

Exit codes: 0 done, 2 a system could not be reached, 3 usage.")]
pub(crate) struct EventTypesArguments {
    /// The event types of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,

    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    catalogue: CatalogueArguments,
}

/// One event type, in the shape that `-o json` promises.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventTypeView {
    namespace: String,
    name: String,
    validation: String,
    description: Option<String>,
    schema: Option<serde_json::Value>,
}

/// Carries out `actcore eventtypes`.
pub(crate) async fn list(arguments: EventTypesArguments) -> anyhow::Result<Exit> {
    let views = read(&arguments).await?;
    match arguments.output.output {
        Format::Json => output::json(&views)?,
        Format::Yaml => output::yaml(&views)?,
        Format::Table if views.is_empty() => {
            output::note("no event types here; -A looks in all namespaces");
        }
        Format::Table => {
            let rows = views.into_iter().map(|view| {
                vec![
                    view.namespace,
                    view.name,
                    view.validation,
                    if view.schema.is_some() { "yes" } else { "no" }.to_owned(),
                    output::shortened(view.description.as_deref().unwrap_or_default(), 80),
                ]
            });
            let headers = ["NAMESPACE", "NAME", "VALIDATION", "SCHEMA", "DESCRIPTION"];
            output::table(&headers, rows.collect())?;
        }
    }
    Ok(Exit::Done)
}

async fn read(arguments: &EventTypesArguments) -> Result<Vec<EventTypeView>, Problem> {
    let catalogue = arguments.catalogue.open_declared().await?;
    let namespace = arguments.catalogue.cluster.namespace.as_deref();
    let mut views: Vec<EventTypeView> = match catalogue {
        Catalogue::Cluster(cluster) => {
            let namespace = (!arguments.all_namespaces).then_some(cluster.namespace.as_str());
            let objects = cluster.event_types(namespace);
            let listed = cluster::ask(objects.list(&ListParams::default())).await?;
            listed.items.into_iter().map(EventTypeView::from).collect()
        }
        Catalogue::Api(api) => {
            let listed = api.event_types(namespace).await?;
            listed.into_iter().map(EventTypeView::from).collect()
        }
        Catalogue::Mirror(store) => {
            let rows = answer("Postgres", store.event_types()).await?;
            rows.into_iter()
                .filter(|row| namespace.is_none_or(|namespace| row.namespace == namespace))
                .map(EventTypeView::from)
                .collect()
        }
    };
    views.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    Ok(views)
}

impl From<EventType> for EventTypeView {
    fn from(object: EventType) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            validation: match object.spec.validation {
                ValidationMode::Enforce => "Enforce",
                ValidationMode::Warn => "Warn",
            }
            .to_owned(),
            description: object.spec.description,
            schema: object.spec.schema,
        }
    }
}

impl From<rest::EventType> for EventTypeView {
    fn from(shown: rest::EventType) -> Self {
        Self {
            namespace: shown.namespace,
            name: shown.name,
            validation: shown.validation,
            description: shown.description,
            schema: shown.schema,
        }
    }
}

impl From<EventTypeRow> for EventTypeView {
    fn from(row: EventTypeRow) -> Self {
        Self {
            namespace: row.namespace,
            name: row.name,
            validation: row.validation,
            description: row.description,
            schema: row.schema,
        }
    }
}
