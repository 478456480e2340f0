//! Manifests of our kinds: read from files, judged before anything is sent.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crds::{
    ActivityDefinition, ActivityDefinitionSpec, EventType, EventTypeSpec, GROUP, MaintenanceWindow,
    MaintenanceWindowSpec,
};
use domain::ActivityId;
use kube::api::{ApiResource, DynamicObject};
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::exit::Problem;

/// The most bytes that one file may have.
const MAXIMUM_BYTES: u64 = 8 * 1024 * 1024;

/// Our kinds, in the order in which they are applied: event types and windows are there before
/// the definitions that they are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `EventType`
    EventType,
    /// `MaintenanceWindow`
    MaintenanceWindow,
    /// `ActivityDefinition`
    ActivityDefinition,
}

/// One object that was read.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    /// The file it stands in.
    pub(crate) source: String,
    pub(crate) kind: Kind,
    /// As it was written: what was left out is left to the API server.
    pub(crate) object: DynamicObject,
}

impl Kind {
    const ALL: [Self; 3] = [
        Self::EventType,
        Self::MaintenanceWindow,
        Self::ActivityDefinition,
    ];

    /// What the API server needs to know of it.
    pub(crate) fn resource(self) -> ApiResource {
        match self {
            Self::EventType => ApiResource::erase::<EventType>(&()),
            Self::MaintenanceWindow => ApiResource::erase::<MaintenanceWindow>(&()),
            Self::ActivityDefinition => ApiResource::erase::<ActivityDefinition>(&()),
        }
    }

    /// The name in `kind:`.
    const fn as_str(self) -> &'static str {
        match self {
            Self::EventType => "EventType",
            Self::MaintenanceWindow => "MaintenanceWindow",
            Self::ActivityDefinition => "ActivityDefinition",
        }
    }
}

impl Manifest {
    /// The object's name.
    pub(crate) fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for Manifest {
    /// As kubectl names objects: `activitydefinition.activity-core.io/daily-triage`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_str().to_ascii_lowercase();
        write!(formatter, "{kind}.{GROUP}/{}", self.name())
    }
}

/// The manifests in one file; `-` is standard input.
pub(crate) fn read_file(path: &Path) -> Result<Vec<Manifest>, Problem> {
    parse(
        &path.display().to_string(),
        &read_text(path, MAXIMUM_BYTES)?,
    )
}

/// The text of one file of `limit` bytes at most; `-` is standard input.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, Problem> {
    let source = path.display().to_string();
    let unreadable = |error: std::io::Error| Problem::usage(format!("{source}: {error}"));
    let mut text = String::new();
    let read = if source == "-" {
        std::io::stdin().take(limit + 1).read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(limit + 1).read_to_string(&mut text)
    };
    let bytes = read.map_err(unreadable)?;
    if u64::try_from(bytes).unwrap_or(u64::MAX) > limit {
        return Err(Problem::usage(format!(
            "{source} is longer than {limit} bytes"
        )));
    }
    Ok(text)
}

/// The manifests in the .yaml, .yml and .json files of a folder, not of the folders in it, in the
/// order in which they are to be applied. A file is read as a folder of one.
pub(crate) fn read_folder(path: &Path) -> Result<Vec<Manifest>, Problem> {
    if !path.is_dir() {
        return ordered(read_file(path)?);
    }
    let unreadable = |error: std::io::Error| Problem::usage(format!("{}: {error}", path.display()));
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in path.read_dir().map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let is_manifest = file
            .extension()
            .is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
        if is_manifest && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    let mut manifests = Vec::new();
    for file in files {
        manifests.extend(read_file(&file)?);
    }
    ordered(manifests)
}

/// In the order of kinds; the same object twice is an error, because one of them would be lost.
fn ordered(mut manifests: Vec<Manifest>) -> Result<Vec<Manifest>, Problem> {
    let mut known = BTreeSet::new();
    for manifest in &manifests {
        let namespace = manifest.object.metadata.namespace.clone();
        if !known.insert((manifest.kind, namespace, manifest.name().to_owned())) {
            return Err(Problem::usage(format!(
                "{}: {manifest} is there twice; keep one",
                manifest.source
            )));
        }
    }
    manifests.sort_by_key(|manifest| manifest.kind);
    Ok(manifests)
}

fn parse(source: &str, text: &str) -> Result<Vec<Manifest>, Problem> {
    let mut manifests = Vec::new();
    for (index, document) in serde_norway::Deserializer::from_str(text).enumerate() {
        let wrong = |problem: String| {
            Problem::usage(format!("{source}, document {}: {problem}", index + 1))
        };
        let value = Value::deserialize(document).map_err(|error| wrong(error.to_string()))?;
        if value.is_null() {
            continue;
        }
        let (kind, object) = judge(value).map_err(wrong)?;
        manifests.push(Manifest {
            source: source.to_owned(),
            kind,
            object,
        });
    }
    Ok(manifests)
}

/// One object that was made by a program, judged like one from a file.
pub(crate) fn of_value(source: &str, value: Value) -> Result<Manifest, String> {
    let (kind, object) = judge(value)?;
    Ok(Manifest {
        source: source.to_owned(),
        kind,
        object,
    })
}

/// Takes an object for one of ours, or says which field is wrong. The API server has the last
/// word; this is so that half a folder is not applied before a typing error is found.
fn judge(value: Value) -> Result<(Kind, DynamicObject), String> {
    let version = value["apiVersion"].as_str().unwrap_or_default().to_owned();
    let named = value["kind"].as_str().unwrap_or_default().to_owned();
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == named);
    let Some(kind) = kind.filter(|kind| kind.resource().api_version == version) else {
        return Err(format!(
            "kind \"{named}\" of apiVersion \"{version}\" is none of ours; write {GROUP}/v1alpha1 \
             and ActivityDefinition, EventType or MaintenanceWindow, and apply other kinds with \
             kubectl"
        ));
    };
    let object: DynamicObject = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let name = object.metadata.name.clone().unwrap_or_default();
    if name.is_empty() {
        return Err("metadata.name is missing".to_owned());
    }
    judge_spec(kind, &name, object.data["spec"].clone())
        .map_err(|problem| format!("{} {name}: spec.{problem}", kind.as_str()))?;
    Ok((kind, object))
}

fn judge_spec(kind: Kind, name: &str, spec: Value) -> Result<(), String> {
    let spec = if spec.is_null() {
        Value::Object(serde_json::Map::new())
    } else {
        spec
    };
    match kind {
        Kind::EventType => read_spec::<EventTypeSpec>(spec).map(|_| ()),
        Kind::MaintenanceWindow => read_spec::<MaintenanceWindowSpec>(spec)?
            .validate()
            .map(|_| ())
            .map_err(|error| runtime::describe(&error)),
        Kind::ActivityDefinition => {
            let spec = read_spec::<ActivityDefinitionSpec>(spec)?;
            let id = ActivityId::new(spec.activity_id.unwrap_or_else(Uuid::nil));
            spec.validate(id, name)
                .map(|_| ())
                .map_err(|error| runtime::describe(&error))
        }
    }
}

fn read_spec<T: DeserializeOwned>(spec: Value) -> Result<T, String> {
    serde_json::from_value(spec).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFINITION: &str = "\
apiVersion: activity-core.io/v1alpha1
kind: ActivityDefinition
metadata: {name: daily}
spec: {trigger: {cron: {expression: 0 9 * * 1-5}}}
";
    const EVENT_TYPE: &str = "\
apiVersion: activity-core.io/v1alpha1
kind: EventType
metadata: {name: user.created}
spec: {}
";

    fn refusal(text: &str) -> String {
        parse("x.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn event_types_come_before_the_definitions_that_wait_for_them() {
        let text = format!("---\n{DEFINITION}---\n{EVENT_TYPE}---\n");
        let read = ordered(parse("x.yaml", &text).unwrap()).unwrap();
        let names: Vec<String> = read.iter().map(Manifest::to_string).collect();
        assert_eq!(
            names,
            [
                "eventtype.activity-core.io/user.created",
                "activitydefinition.activity-core.io/daily"
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_file_document_and_field() {
        let text = format!("{EVENT_TYPE}---\n{}", DEFINITION.replace("0 9", "61 9"));
        let text = refusal(&text);
        assert!(text.contains("x.yaml, document 2"), "{text}");
        assert!(text.contains("spec.trigger.cron.expression"), "{text}");
        let other = refusal("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n");
        assert!(other.contains("ConfigMap"), "{other}");
        assert!(refusal("a: [").contains("document 1"));
    }

    #[test]
    fn the_same_object_twice_is_refused() {
        let text = format!("{DEFINITION}---\n{DEFINITION}");
        let error = ordered(parse("x.yaml", &text).unwrap()).unwrap_err();
        assert!(error.to_string().contains("twice"), "{error}");
    }
}
