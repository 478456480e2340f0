//! The event types in Kubernetes: found by namespace and name, written under the condition that
//! nobody else changed them meanwhile.

use axum::http::StatusCode;
use contracts::rest;
use crds::{EventType, EventTypeSpec, ValidationMode};
use domain::OutputSchema;
use kube::api::{DeleteParams, DynamicObject, ObjectMeta, Preconditions};
use kube::core::ApiResource;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::arguments::Namespaces;
use crate::entity_tag::IfMatch;
use crate::error::{Error, Refusal, contended};
use crate::kubernetes::{ATTEMPTS, call, expect, failed, has_code, list_all, post_parameters};

/// What error texts call it.
const KIND: &str = "the event type";

/// The longest description, in characters; the custom resource's limit.
const LONGEST_DESCRIPTION: usize = 4096;

/// The event types of the served namespaces. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EventTypes {
    client: Client,
    namespaces: Namespaces,
}

/// Which event type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name, which is the type.
    pub(crate) name: String,
}

impl EventTypes {
    pub(crate) const fn new(client: Client, namespaces: Namespaces) -> Self {
        Self { client, namespaces }
    }

    /// Where POST creates event types.
    pub(crate) fn home(&self) -> &str {
        &self.namespaces.home
    }

    /// Where the event type `name` is looked for, given the namespace that the caller asks for.
    pub(crate) fn place(&self, namespace: Option<&str>, name: &str) -> Result<Place, Refusal> {
        let namespace = namespace.unwrap_or(self.home());
        self.namespaces.listed(Some(namespace))?;
        Ok(Place {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Every event type of a namespace, or of all, in the order of namespaces and names.
    pub(crate) async fn list(&self, namespace: Option<&str>) -> Result<Vec<EventType>, Error> {
        let api: Api<EventType> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let mut all = list_all(&api, "list event types").await?;
        all.retain(|object| is_there(&object.metadata));
        Ok(all)
    }

    /// The event type at a place, unless there is none or it is being deleted.
    pub(crate) async fn get(&self, place: &Place) -> Result<EventType, Error> {
        let api = self.api(place);
        expect("get an event type", api.get_opt(&place.name))
            .await?
            .filter(|object| is_there(&object.metadata))
            .ok_or_else(|| gone(place).into())
    }

    /// Creates an event type in the home namespace.
    pub(crate) async fn create(&self, new: &rest::NewEventType) -> Result<EventType, Error> {
        let operation = "create an event type";
        check_name(&new.name)?;
        let spec = EventTypeSpec {
            description: new.description.clone(),
            schema: new.schema.clone().map(Value::Object),
            validation: validation(new.validation),
        };
        check(&spec)?;
        let object = EventType {
            metadata: ObjectMeta {
                name: Some(new.name.clone()),
                namespace: Some(self.home().to_owned()),
                ..ObjectMeta::default()
            },
            spec,
            status: None,
        };
        let api: Api<EventType> = Api::namespaced(self.client.clone(), self.home());
        match call(operation, api.create(&post_parameters(), &object)).await? {
            Ok(created) => Ok(created),
            Err(error) if has_code(&error, 409) => Err(taken(&new.name).into()),
            Err(error) => Err(failed(operation)(error)),
        }
    }

    /// Changes an event type, unless it is not what the caller last saw. Tried again when somebody
    /// else writes at the same time.
    pub(crate) async fn update(
        &self,
        place: &Place,
        update: &rest::EventTypeUpdate,
        condition: &IfMatch,
    ) -> Result<EventType, Error> {
        let operation = "update an event type";
        let resource = ApiResource::erase::<EventType>(&());
        // As it is stored: fields that this version does not know are kept.
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &place.namespace, &resource);
        for _ in 0..ATTEMPTS {
            let mut stored = expect("get an event type", api.get_opt(&place.name))
                .await?
                .filter(|object| is_there(&object.metadata))
                .ok_or_else(|| gone(place))?;
            let present = parse(&stored)?;
            let spec = updated_spec(&present.spec, update);
            check(&spec)?;
            // Last, as RFC 9110 (section 13.2.1) has it: what is wrong anyway is said first.
            condition.check(&present.metadata)?;
            if spec == present.spec {
                return Ok(present);
            }
            write_spec(&mut stored.data, &spec)?;
            match call(
                operation,
                api.replace(&place.name, &post_parameters(), &stored),
            )
            .await?
            {
                Ok(written) => return parse(&written),
                Err(error) if has_code(&error, 409) => {}
                Err(error) if has_code(&error, 404) => return Err(gone(place).into()),
                Err(error) => return Err(failed(operation)(error)),
            }
        }
        Err(contended(KIND).into())
    }

    /// Deletes an event type, unless it is not what the caller last saw.
    pub(crate) async fn delete(&self, place: &Place, condition: &IfMatch) -> Result<(), Error> {
        let operation = "delete an event type";
        for _ in 0..ATTEMPTS {
            let present = self.get(place).await?;
            condition.check(&present.metadata)?;
            let parameters = DeleteParams::default().preconditions(Preconditions {
                uid: present.uid(),
                // Without a condition it is deleted however it looks by now.
                resource_version: present.resource_version().filter(|_| condition.is_set()),
            });
            let api = self.api(place);
            match call(operation, api.delete(&place.name, &parameters)).await? {
                Ok(_) => return Ok(()),
                Err(error) if has_code(&error, 404) => return Err(gone(place).into()),
                Err(error) if has_code(&error, 409) => {}
                Err(error) => return Err(failed(operation)(error)),
            }
        }
        Err(contended(KIND).into())
    }

    fn api(&self, place: &Place) -> Api<EventType> {
        Api::namespaced(self.client.clone(), &place.namespace)
    }
}

/// An object that is being deleted is gone for callers: only its mirror is still cleaned up.
fn is_there(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_none()
}

fn parse(stored: &DynamicObject) -> Result<EventType, Error> {
    stored.clone().try_parse().map_err(|error| {
        Error::Internal(format!(
            "the EventType {} can't be read: {error}",
            stored.name_any()
        ))
    })
}

const fn validation(wanted: rest::PayloadValidation) -> ValidationMode {
    match wanted {
        rest::PayloadValidation::Enforce => ValidationMode::Enforce,
        rest::PayloadValidation::Warn => ValidationMode::Warn,
    }
}

fn updated_spec(spec: &EventTypeSpec, update: &rest::EventTypeUpdate) -> EventTypeSpec {
    let mut updated = spec.clone();
    if let Some(description) = &update.description {
        updated.description.clone_from(description);
    }
    if let Some(schema) = &update.schema {
        updated.schema = schema.clone().map(Value::Object);
    }
    if let Some(wanted) = update.validation {
        updated.validation = validation(wanted);
    }
    updated
}

/// Puts the fields that a body can speak of into the stored object, and nothing else.
fn write_spec(stored: &mut Value, after: &EventTypeSpec) -> Result<(), Error> {
    let unwritable =
        |problem: String| Error::Internal(format!("an event type can't be written: {problem}"));
    let after = serde_json::to_value(after).map_err(|error| unwritable(error.to_string()))?;
    let object = stored
        .as_object_mut()
        .ok_or_else(|| unwritable("it is no object".to_owned()))?;
    let spec = object
        .entry("spec")
        .or_insert_with(|| json!({}))
        .as_object_mut()
        .ok_or_else(|| unwritable("its spec is no object".to_owned()))?;
    for field in ["description", "schema", "validation"] {
        match after.get(field) {
            Some(value) => {
                spec.insert(field.to_owned(), value.clone());
            }
            None => {
                spec.remove(field);
            }
        }
    }
    Ok(())
}

/// Refuses what no router could use, before anything is written.
fn check(spec: &EventTypeSpec) -> Result<(), Refusal> {
    let length = spec
        .description
        .as_deref()
        .unwrap_or_default()
        .chars()
        .count();
    if length > LONGEST_DESCRIPTION {
        let problem =
            format!("has {length} characters; at most {LONGEST_DESCRIPTION} are accepted");
        return Err(Refusal::invalid("description", problem));
    }
    match &spec.schema {
        Some(schema) => OutputSchema::compile(schema.clone())
            .map(|_| ())
            .map_err(|invalid| Refusal::invalid("schema", invalid)),
        None => Ok(()),
    }
}

/// Refuses a name that can't be that of a custom resource.
fn check_name(name: &str) -> Result<(), Refusal> {
    if is_type_name(name) {
        return Ok(());
    }
    Err(Refusal::invalid(
        "name",
        format!(
            "\"{name}\" can't be the name of an event type; use at most 253 lower-case letters, \
             digits, hyphens and points, such as user.created"
        ),
    ))
}

/// Whether a text is a DNS subdomain in lower case, as Kubernetes wants the names of objects.
pub(crate) fn is_type_name(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && !word.starts_with('-')
            && !word.ends_with('-')
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_word)
}

fn taken(name: &str) -> Refusal {
    Refusal::new(
        StatusCode::CONFLICT,
        format!("the event type {name} exists already; change it by PUT /event-types/{name}"),
    )
    .about("name")
}

fn gone(place: &Place) -> Refusal {
    let Place { namespace, name } = place;
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!(
            "there is no event type {name} in the namespace {namespace}; GET /event-types/ lists \
             those that there are"
        ),
    )
    .about("name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(value: Value) -> EventTypeSpec {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_update_leaves_alone_what_it_does_not_speak_of_and_takes_away_what_is_null() {
        let before = spec(json!({"description": "a", "schema": {"type": "object"}}));
        let update = serde_json::from_value(json!({"description": null, "validation": "Enforce"}));
        let after = updated_spec(&before, &update.unwrap());
        let expected = spec(json!({"schema": {"type": "object"}, "validation": "Enforce"}));
        assert_eq!(after, expected);
    }

    #[test]
    fn a_write_keeps_fields_of_a_newer_version() {
        let mut stored = json!({"spec": {"description": "a", "fromTheFuture": 1}});
        write_spec(&mut stored, &spec(json!({"validation": "Enforce"}))).unwrap();
        assert_eq!(
            stored,
            json!({"spec": {"validation": "Enforce", "fromTheFuture": 1}})
        );
    }

    #[test]
    fn only_names_that_kubernetes_takes_are_accepted() {
        for name in ["user.created", "a", "a-b.c-1"] {
            assert!(is_type_name(name), "{name}");
        }
        let long = "a".repeat(254);
        for name in [
            "",
            "User.Created",
            ".a",
            "a.",
            "a..b",
            "-a",
            "a/b",
            "a b",
            &long,
        ] {
            assert!(!is_type_name(name), "{name}");
            assert_eq!(check_name(name).unwrap_err().field.as_deref(), Some("name"));
        }
    }

    #[test]
    fn a_schema_of_no_use_is_refused_and_named() {
        let refused = check(&spec(json!({"schema": {"type": "no such type"}}))).unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("schema"));
    }
}
