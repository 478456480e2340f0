//! The definitions and event types at one moment, indexed by event type. Deciding needs nothing
//! else. Keeping a snapshot up to date is left to whoever holds it.

use std::collections::HashMap;
use std::fmt;

use crds::{ActivityDefinitionSpec, ValidationMode};
use domain::{ActivityId, Definition, EventOrdering, Tier, Trigger};
use serde_json::Value;
use store::{EventTypeRow, MirrorRow};

/// The name of an object: `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// A definition that waits for an event type.
#[derive(Debug)]
pub struct Subscriber {
    /// The definition's object.
    pub object: ObjectName,
    /// Whether runs are started, by the mirror's word; it is known even of an unreadable one.
    pub enabled: bool,
    /// Who is told when something is wrong with it; Standard where that can't be read.
    pub tier: Tier,
    /// The definition, or why this version of the program can't read it.
    pub definition: Result<Definition, String>,
}

/// What the payload of an event type is to look like, by the word of one namespace.
#[derive(Debug)]
pub struct PayloadSchema {
    /// The EventType's object.
    pub object: ObjectName,
    /// What becomes of an event that breaks it.
    pub validation: ValidationMode,
    validator: Option<Result<jsonschema::Validator, String>>,
}

/// How a payload stands to a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conformity {
    /// It satisfies it, or there is no schema.
    Conforms,
    /// It breaks it; at most three violations are named.
    Violates(String),
    /// The schema itself can't be used.
    UnreadableSchema(String),
}

impl PayloadSchema {
    /// Holds a payload against the schema.
    pub fn check(&self, payload: &Value) -> Conformity {
        let validator = match &self.validator {
            None => return Conformity::Conforms,
            Some(Err(problem)) => return Conformity::UnreadableSchema(problem.clone()),
            Some(Ok(validator)) => validator,
        };
        let violations: Vec<String> = validator
            .iter_errors(payload)
            .take(3)
            .map(|error| format!("payload{}: {error}", error.instance_path()))
            .collect();
        if violations.is_empty() {
            Conformity::Conforms
        } else {
            Conformity::Violates(violations.join("; "))
        }
    }
}

#[derive(Debug, Default)]
struct Entry {
    subscribers: Vec<Subscriber>,
    schemas: Vec<PayloadSchema>,
}

/// An object in the mirror that this version of the program can't read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The object.
    pub object: ObjectName,
    /// What can't be read.
    pub problem: String,
}

/// The definitions and event types at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    types: HashMap<String, Entry>,
    keeps_order: bool,
}

impl Snapshot {
    /// Reads the mirror's rows. A row that can't be read stays in the snapshot as such: an event
    /// that it concerns must not pass as if nobody had waited for it.
    pub fn build(definitions: Vec<MirrorRow>, event_types: Vec<EventTypeRow>) -> Self {
        let mut types: HashMap<String, Entry> = HashMap::new();
        for row in definitions {
            let Some(event_type) = row.event_type.clone() else {
                continue;
            };
            let entry = types.entry(event_type).or_default();
            entry.subscribers.push(subscriber(row));
        }
        for row in event_types {
            let entry = types.entry(row.name.clone()).or_default();
            entry.schemas.push(payload_schema(row));
        }
        let subscribers = types.values().flat_map(|entry| &entry.subscribers);
        let keeps_order = subscribers
            .filter_map(|subscriber| subscriber.definition.as_ref().ok())
            .any(keeps_order);
        Self { types, keeps_order }
    }

    /// The definitions that wait for an event type, in the order of their ids.
    pub fn subscribers(&self, event_type: &str) -> &[Subscriber] {
        self.types
            .get(event_type)
            .map_or(&[], |entry| &entry.subscribers)
    }

    /// The schemas of an event type, at most one for each namespace.
    pub fn schemas(&self, event_type: &str) -> &[PayloadSchema] {
        self.types
            .get(event_type)
            .map_or(&[], |entry| &entry.schemas)
    }

    /// Every definition in it.
    pub fn all_subscribers(&self) -> impl Iterator<Item = &Subscriber> {
        self.types.values().flat_map(|entry| &entry.subscribers)
    }

    /// Whether any definition asks for the order of its events.
    pub const fn keeps_order(&self) -> bool {
        self.keeps_order
    }

    /// What can't be read, in the order of the names.
    pub fn unreadable(&self) -> Vec<Unreadable> {
        let definitions = self.all_subscribers().filter_map(|subscriber| {
            let problem = subscriber.definition.as_ref().err()?;
            Some((&subscriber.object, problem))
        });
        let schemas = self.types.values().flat_map(|entry| &entry.schemas);
        let schemas = schemas.filter_map(|schema| {
            let problem = schema.validator.as_ref()?.as_ref().err()?;
            Some((&schema.object, problem))
        });
        let mut unreadable: Vec<Unreadable> = definitions
            .chain(schemas)
            .map(|(object, problem)| Unreadable {
                object: object.clone(),
                problem: problem.clone(),
            })
            .collect();
        unreadable.sort_by(|left, right| left.object.cmp(&right.object));
        unreadable
    }
}

fn keeps_order(definition: &Definition) -> bool {
    matches!(&definition.trigger, Trigger::Event(trigger)
        if trigger.ordering == EventOrdering::BySubject)
}

fn subscriber(row: MirrorRow) -> Subscriber {
    let definition = serde_json::from_value::<ActivityDefinitionSpec>(row.spec)
        .map_err(|error| format!("the spec does not have the expected form: {error}"))
        .and_then(|spec| {
            spec.validate(ActivityId::new(row.activity_id), &row.name)
                .map_err(|error| error.to_string())
        });
    Subscriber {
        object: ObjectName {
            namespace: row.namespace,
            name: row.name,
        },
        enabled: row.enabled,
        tier: definition
            .as_ref()
            .map_or(Tier::Standard, |definition| definition.tier),
        definition,
    }
}

fn payload_schema(row: EventTypeRow) -> PayloadSchema {
    // The data base lets only the two names in.
    let validation = if row.validation == "Enforce" {
        ValidationMode::Enforce
    } else {
        ValidationMode::Warn
    };
    PayloadSchema {
        object: ObjectName {
            namespace: row.namespace,
            name: row.name,
        },
        validation,
        // References to other documents can't be followed and make the schema unreadable.
        validator: row.schema.map(|schema| {
            jsonschema::validator_for(&schema)
                .map_err(|error| format!("schema: not a JSON Schema: {error}"))
        }),
    }
}
