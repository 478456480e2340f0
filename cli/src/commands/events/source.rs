//! What events are decided on: the mirror in Postgres, or manifests in files.

use std::path::Path;

use runtime::postgres::PostgresArguments;
use serde_json::Value;
use store::{EventTypeRow, MirrorRow};
use uuid::Uuid;

use crate::connections::{self, answer};
use crate::exit::Problem;
use crate::manifests::{self, Kind, Manifest};

/// The namespace of a manifest that names none.
const NAMESPACE: &str = "default";

/// Definitions and event types as the mirror holds them.
#[derive(Debug)]
pub(super) struct Declared {
    /// Every definition, those that wait for no event too.
    pub(super) definitions: Vec<MirrorRow>,
    pub(super) event_types: Vec<EventTypeRow>,
}

impl Declared {
    /// What the router goes by.
    pub(super) async fn in_mirror(postgres: &PostgresArguments) -> Result<Self, Problem> {
        let store = connections::open_ledger(postgres).await?;
        Ok(Self {
            definitions: answer("Postgres", store.definitions()).await?,
            event_types: answer("Postgres", store.event_types()).await?,
        })
    }

    /// What stands in a file or folder. A manifest without a namespace is in `namespace`.
    pub(super) fn in_files(path: &Path, namespace: Option<&str>) -> Result<Self, Problem> {
        let mut declared = Self {
            definitions: Vec::new(),
            event_types: Vec::new(),
        };
        for manifest in manifests::read_folder(path)? {
            let own = manifest.object.metadata.namespace.clone();
            let namespace = own.as_deref().or(namespace).unwrap_or(NAMESPACE);
            match manifest.kind {
                Kind::ActivityDefinition => {
                    declared.definitions.push(definition(&manifest, namespace));
                }
                Kind::EventType => declared.event_types.push(event_type(&manifest, namespace)),
                Kind::MaintenanceWindow => {}
            }
        }
        Ok(declared)
    }

    /// Leaves out what is in other namespaces.
    pub(super) fn retain(&mut self, namespace: Option<&str>) {
        if let Some(namespace) = namespace {
            self.definitions.retain(|row| row.namespace == namespace);
            self.event_types.retain(|row| row.namespace == namespace);
        }
    }
}

fn spec(manifest: &Manifest) -> Value {
    match &manifest.object.data["spec"] {
        Value::Null => Value::Object(serde_json::Map::new()),
        spec => spec.clone(),
    }
}

/// The row that the operator would write. The activity's id is that of the spec, or nil: an object
/// has none before it is created.
fn definition(manifest: &Manifest, namespace: &str) -> MirrorRow {
    let spec = spec(manifest);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let activity_id = text(&spec["activityId"]).and_then(|id| id.parse().ok());
    MirrorRow {
        activity_id: activity_id.unwrap_or_default(),
        namespace: namespace.to_owned(),
        name: manifest.name().to_owned(),
        uid: Uuid::nil(),
        generation: 1,
        display_name: text(&spec["displayName"]).unwrap_or_else(|| manifest.name().to_owned()),
        enabled: spec["enabled"].as_bool().unwrap_or(true),
        event_type: text(&spec["trigger"]["event"]["eventType"]),
        spec,
    }
}

fn event_type(manifest: &Manifest, namespace: &str) -> EventTypeRow {
    let spec = spec(manifest);
    let schema = &spec["schema"];
    EventTypeRow {
        name: manifest.name().to_owned(),
        namespace: namespace.to_owned(),
        uid: Uuid::nil(),
        generation: 1,
        description: None,
        schema: (!schema.is_null()).then(|| schema.clone()),
        validation: spec["validation"].as_str().unwrap_or("Warn").to_owned(),
    }
}
