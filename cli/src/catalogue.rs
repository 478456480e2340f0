//! The definitions, wherever they can be read: in Kubernetes, through the REST API, or in the
//! mirror in Postgres.

use chrono::{DateTime, Utc};
use clap::Args;
use contracts::rest;
use crds::{ActivityDefinition, ActivityDefinitionSpec, ActivityDefinitionStatus};
use domain::{ActivityId, Definition};
use kube::ResourceExt as _;
use kube::api::ListParams;
use runtime::postgres::PostgresArguments;
use serde_json::json;
use store::{MirrorRow, Store};

use crate::api::{ApiArguments, ApiClient};
use crate::cluster::{self, Cluster, ClusterArguments};
use crate::connections::{self, answer};
use crate::exit::Problem;
use crate::find::{self, Candidate, Wanted};

/// Where definitions can be read.
#[derive(Debug, Clone, Args)]
pub(crate) struct CatalogueArguments {
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,

    #[command(flatten)]
    pub(crate) api: ApiArguments,

    #[command(flatten)]
    pub(crate) postgres: PostgresArguments,
}

/// A place in which definitions can be read.
#[derive(Clone)]
pub(crate) enum Catalogue {
    /// Kubernetes, where they are declared.
    Cluster(Cluster),
    /// The REST API, which shows what its bodies can say.
    Api(ApiClient),
    /// The mirror, which holds what the operator accepted.
    Mirror(Store),
}

/// One definition.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) namespace: String,
    /// The object's name; through the REST API, the display name.
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) activity: Option<ActivityId>,
    pub(crate) spec: ActivityDefinitionSpec,
    pub(crate) status: Option<ActivityDefinitionStatus>,
    pub(crate) created: Option<DateTime<Utc>>,
}

/// Which definitions are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those of the namespace that is meant: `-n`, or the kubeconfig's.
    Namespace,
    /// All.
    Everywhere,
}

impl CatalogueArguments {
    /// For looking at definitions: Kubernetes, else the REST API, else the mirror.
    pub(crate) async fn open_declared(&self) -> Result<Catalogue, Problem> {
        let api = ApiClient::configure(&self.api)?;
        match (Cluster::configure(&self.cluster).await, api) {
            (Ok(cluster), None) => Ok(Catalogue::Cluster(cluster)),
            (Ok(cluster), Some(api)) => {
                // With two ways to go, the one that is open.
                match cluster::ask(cluster.client().apiserver_version()).await {
                    Ok(_) => Ok(Catalogue::Cluster(cluster)),
                    Err(_) => Ok(Catalogue::Api(api)),
                }
            }
            (Err(_), Some(api)) => Ok(Catalogue::Api(api)),
            (Err(_), None) if self.postgres.database_url.is_some() => {
                let store = connections::open_ledger(&self.postgres).await?;
                Ok(Catalogue::Mirror(store))
            }
            (Err(problem), None) => Err(Problem::usage(format!(
                "{problem}, or API_URL to the REST API of activity-core"
            ))),
        }
    }

    /// For what is about runs: the mirror, which is what the worker reads, else as
    /// [`Self::open_declared`].
    pub(crate) async fn open_in_force(&self) -> Result<Catalogue, Problem> {
        if self.postgres.database_url.is_some() {
            let store = connections::open_ledger(&self.postgres).await?;
            return Ok(Catalogue::Mirror(store));
        }
        self.open_declared().await
    }

    /// The definition that is called `name`, in the namespace of `-n`.
    pub(crate) fn wanted<'name>(&'name self, name: &'name str) -> Wanted<'name> {
        Wanted {
            name,
            namespace: self.cluster.namespace.as_deref(),
        }
    }
}

impl Catalogue {
    /// The one definition that is meant.
    pub(crate) async fn find(&self, wanted: Wanted<'_>) -> Result<Entry, Problem> {
        match self {
            Self::Mirror(store) => find::in_mirror(store, wanted).await.and_then(Entry::of_row),
            Self::Api(api) => {
                let listed = api.definitions(wanted.namespace).await?;
                let entries: Result<Vec<Entry>, Problem> =
                    listed.into_iter().map(Entry::of_answer).collect();
                wanted.only(called(entries?, wanted.name), Entry::candidate)
            }
            Self::Cluster(cluster) => find_in_cluster(cluster, wanted).await,
        }
    }

    /// The definitions of a namespace or of all; `namespace` is that of `-n`.
    pub(crate) async fn list(
        &self,
        namespace: Option<&str>,
        scope: Scope,
    ) -> Result<Vec<Entry>, Problem> {
        let namespace = match (self, scope) {
            (_, Scope::Everywhere) => None,
            (Self::Cluster(cluster), Scope::Namespace) => Some(cluster.namespace.as_str()),
            (Self::Api(_) | Self::Mirror(_), Scope::Namespace) => namespace,
        };
        let mut entries: Vec<Entry> = match self {
            Self::Cluster(cluster) => list_in_cluster(cluster, namespace).await?,
            Self::Api(api) => {
                let listed = api.definitions(namespace).await?.into_iter();
                listed.map(Entry::of_answer).collect::<Result<_, _>>()?
            }
            Self::Mirror(store) => {
                let rows = answer("Postgres", store.definitions()).await?.into_iter();
                rows.filter(|row| namespace.is_none_or(|namespace| row.namespace == namespace))
                    .map(Entry::of_row)
                    .collect::<Result<_, _>>()?
            }
        };
        entries.sort_by(|one, other| {
            (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name))
        });
        Ok(entries)
    }
}

impl Entry {
    pub(crate) fn of_object(object: ActivityDefinition) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            display_name: object.display_name(),
            activity: object.activity_id(),
            created: object
                .metadata
                .creation_timestamp
                .as_ref()
                .and_then(|time| time.0.to_string().parse().ok()),
            spec: object.spec,
            status: object.status,
        }
    }

    fn of_row(row: MirrorRow) -> Result<Self, Problem> {
        let spec = serde_json::from_value(row.spec).map_err(|error| {
            Problem::failed(format!(
                "the mirror row of {}/{} can't be read: {error}",
                row.namespace, row.name
            ))
        })?;
        Ok(Self {
            namespace: row.namespace,
            name: row.name,
            display_name: row.display_name,
            activity: Some(ActivityId::new(row.activity_id)),
            spec,
            status: None,
            created: None,
        })
    }

    /// What the REST API shows; its spec holds only what a body can say.
    fn of_answer(shown: rest::ActivityDefinition) -> Result<Self, Problem> {
        let trigger = match &shown.trigger_config {
            rest::TriggerConfig::Cron {
                cron_expression,
                timezone,
                misfire_policy,
            } => json!({"cron": {
                "expression": cron_expression,
                "timezone": timezone,
                "misfirePolicy": match misfire_policy {
                    rest::MisfirePolicy::Skip => "Skip",
                    rest::MisfirePolicy::CatchUp => "CatchUp",
                },
            }}),
            rest::TriggerConfig::Event {
                event_type,
                filters,
            } => json!({"event": {"eventType": event_type, "filters": filters}}),
            rest::TriggerConfig::Manual => json!(null),
        };
        let spec = json!({"enabled": shown.enabled, "trigger": trigger});
        let spec = serde_json::from_value(spec)
            .map_err(|error| Problem::failed(format!("the REST API's answer is odd: {error}")))?;
        Ok(Self {
            namespace: shown.namespace,
            name: shown.name.clone(),
            display_name: shown.name,
            activity: Some(ActivityId::new(shown.id)),
            spec,
            status: None,
            created: Some(shown.created_at),
        })
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            activity: self.activity,
        }
    }

    /// How it is called in messages.
    pub(crate) fn called(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Its activity id; an object has none before the API server has stored it.
    pub(crate) fn activity(&self) -> Result<ActivityId, Problem> {
        self.activity
            .ok_or_else(|| Problem::failed(format!("{} has no activity id yet", self.called())))
    }

    /// The validated definition.
    pub(crate) fn definition(&self) -> Result<Definition, Problem> {
        self.spec
            .validate(self.activity()?, &self.name)
            .map_err(|error| {
                Problem::failed(format!(
                    "{} is invalid: {}",
                    self.called(),
                    runtime::describe(&error)
                ))
            })
    }
}

/// Those that have this name, display name or activity id.
fn called(entries: Vec<Entry>, name: &str) -> Vec<Entry> {
    let activity = name.parse::<ActivityId>().ok();
    entries
        .into_iter()
        .filter(|entry| {
            entry.name == name
                || entry.display_name == name
                || (activity.is_some() && entry.activity == activity)
        })
        .collect()
}

async fn list_in_cluster(
    cluster: &Cluster,
    namespace: Option<&str>,
) -> Result<Vec<Entry>, Problem> {
    let objects = cluster.objects::<ActivityDefinition>(namespace);
    let listed = cluster::ask(objects.list(&ListParams::default())).await?;
    Ok(listed.items.into_iter().map(Entry::of_object).collect())
}

/// By object name, the usual case, with one request; else by display name or id in the namespace.
async fn find_in_cluster(cluster: &Cluster, wanted: Wanted<'_>) -> Result<Entry, Problem> {
    let namespace = wanted.namespace.unwrap_or(&cluster.namespace);
    let wanted = Wanted {
        namespace: Some(namespace),
        ..wanted
    };
    if is_object_name(wanted.name) {
        let definitions = cluster.definitions_in(namespace);
        let found = cluster::ask(definitions.get_opt(wanted.name)).await?;
        if let Some(object) = found {
            return Ok(Entry::of_object(object));
        }
    }
    let entries = list_in_cluster(cluster, Some(namespace)).await?;
    wanted.only(called(entries, wanted.name), Entry::candidate)
}

/// Whether an object can have this name, so that it may stand in a URL (RFC 1123 subdomain).
fn is_object_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
        })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn shown(name: &str, id: u128) -> rest::ActivityDefinition {
        serde_json::from_value(json!({
            "id": Uuid::from_u128(id), "name": name, "namespace": "a", "enabled": true,
            "trigger_config": {"trigger_type": "cron", "cron_expression": "0 9 * * 1-5",
                               "timezone": "Europe/Berlin", "misfire_policy": "skip"},
            "created_at": "2026-11-24T00:00:00Z"
        }))
        .unwrap()
    }

    #[test]
    fn what_the_rest_api_shows_is_a_definition() {
        let entry = Entry::of_answer(shown("Daily report", 1)).unwrap();
        let definition = entry.definition().unwrap();
        assert_eq!(
            domain::verification::time_zone(&definition).name(),
            "Europe/Berlin"
        );
    }

    #[test]
    fn a_definition_is_found_by_name_and_by_id() {
        let entries: Vec<Entry> = [("Daily report", 1), ("other", 2)]
            .into_iter()
            .map(|(name, id)| Entry::of_answer(shown(name, id)).unwrap())
            .collect();
        assert_eq!(called(entries.clone(), "Daily report").len(), 1);
        let id = Uuid::from_u128(2).to_string();
        assert_eq!(called(entries.clone(), &id)[0].name, "other");
        assert!(called(entries, "none").is_empty());
    }
}
