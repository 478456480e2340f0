//! The definitions in Kubernetes: found by activity id, written under the condition that nobody
//! else changed them meanwhile.
//!
//! Reads ask the Kubernetes API, so that what a POST has made is there at once. The mirror in
//! Postgres only hints at the object's name, and the object is asked whether that is true.

use std::time::Duration;

use axum::http::StatusCode;
use contracts::rest;
use crds::{ActivityDefinition, ActivityDefinitionSpec};
use domain::{ActivityId, object_name};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, DynamicObject, ObjectMeta, Preconditions};
use kube::core::ApiResource;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde_json::Value;
use store::Store;

use crate::arguments::Namespaces;
use crate::conversion;
use crate::entity_tag::IfMatch;
use crate::error::{Error, Refusal, contended};
use crate::kubernetes::{ATTEMPTS, call, expect, failed, has_code, list_all, post_parameters};

/// How long the mirror may take for its hint; without it the definitions are listed.
const HINT_TIMEOUT: Duration = Duration::from_millis(500);

/// The definitions and event types of the served namespaces. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Definitions {
    client: Client,
    store: Store,
    namespaces: Namespaces,
    activity_timeout: Duration,
}

impl Definitions {
    pub(crate) const fn new(
        client: Client,
        store: Store,
        namespaces: Namespaces,
        activity_timeout: Duration,
    ) -> Self {
        Self {
            client,
            store,
            namespaces,
            activity_timeout,
        }
    }

    /// How long the steps of one run may take together.
    pub(crate) const fn activity_timeout(&self) -> Duration {
        self.activity_timeout
    }

    /// Where POST creates definitions.
    pub(crate) fn home(&self) -> &str {
        &self.namespaces.home
    }

    /// The namespace to list, given what the caller asks for; `None` is all of them.
    pub(crate) fn listed<'a>(
        &'a self,
        wanted: Option<&'a str>,
    ) -> Result<Option<&'a str>, Refusal> {
        self.namespaces.listed(wanted)
    }

    /// Every definition of a namespace, or of all, in the order of namespaces and names.
    pub(crate) async fn list(
        &self,
        namespace: Option<&str>,
    ) -> Result<Vec<ActivityDefinition>, Error> {
        let mut all = list_all(&self.api(namespace), "list activity definitions").await?;
        all.retain(is_there);
        Ok(all)
    }

    /// The definition with this activity id, if there is one that is not being deleted.
    pub(crate) async fn find(&self, id: ActivityId) -> Result<Option<ActivityDefinition>, Error> {
        if let Some(found) = self.find_by_hint(id).await? {
            return Ok(Some(found));
        }
        let all = self.list(self.namespaces.served.as_deref()).await?;
        Ok(all
            .into_iter()
            .find(|object| object.activity_id() == Some(id)))
    }

    async fn find_by_hint(&self, id: ActivityId) -> Result<Option<ActivityDefinition>, Error> {
        // A mirror that is away or knows nothing costs only the shortcut.
        let asked = tokio::time::timeout(HINT_TIMEOUT, self.store.definition(id)).await;
        let Ok(Ok(Some(row))) = asked else {
            return Ok(None);
        };
        if self.listed(Some(&row.namespace)).is_err() {
            return Ok(None);
        }
        let api: Api<ActivityDefinition> = self.api(Some(&row.namespace));
        let found = expect("get an activity definition", api.get_opt(&row.name)).await?;
        Ok(found.filter(|object| is_there(object) && object.activity_id() == Some(id)))
    }

    /// Creates a definition in the home namespace.
    pub(crate) async fn create(
        &self,
        new: &rest::NewActivityDefinition,
    ) -> Result<ActivityDefinition, Error> {
        let operation = "create an activity definition";
        let spec = conversion::new_spec(new);
        conversion::check(&spec, None, self.activity_timeout)?;
        let name = object_name::of_name(&new.name);
        let object = ActivityDefinition {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(self.home().to_owned()),
                ..ObjectMeta::default()
            },
            spec,
            status: None,
        };
        let api: Api<ActivityDefinition> = self.api(Some(self.home()));
        match call(operation, api.create(&post_parameters(), &object)).await? {
            Ok(created) => Ok(created),
            Err(error) if has_code(&error, 409) => {
                let present = expect("get an activity definition", api.get_opt(&name)).await?;
                Err(taken(&new.name, present.as_ref()).into())
            }
            Err(error) => Err(failed(operation)(error)),
        }
    }

    /// Changes a definition, unless it is not what the caller last saw. Tried again when somebody
    /// else writes at the same time.
    pub(crate) async fn update(
        &self,
        found: &ActivityDefinition,
        update: &rest::ActivityDefinitionUpdate,
        condition: &IfMatch,
    ) -> Result<ActivityDefinition, Error> {
        let operation = "update an activity definition";
        let (namespace, name) = place(found)?;
        let resource = ApiResource::erase::<ActivityDefinition>(&());
        // As it is stored: fields that this version does not know are kept.
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &namespace, &resource);
        for _ in 0..ATTEMPTS {
            let mut stored = expect("get an activity definition", api.get_opt(&name))
                .await?
                .ok_or_else(gone)?;
            let present = parse(&stored)?;
            if !is_same(&present, found) {
                return Err(gone().into());
            }
            let spec = conversion::updated_spec(&present.spec, update);
            conversion::check(&spec, present.activity_id(), self.activity_timeout)?;
            // Last, as RFC 9110 (section 13.2.1) has it: what is wrong anyway is said first.
            condition.check(&present.metadata)?;
            if spec == present.spec {
                return Ok(present);
            }
            write_spec(&mut stored.data, &present.spec, &spec)?;
            match call(operation, api.replace(&name, &post_parameters(), &stored)).await? {
                Ok(written) => return parse(&written),
                Err(error) if has_code(&error, 409) => {}
                Err(error) if has_code(&error, 404) => return Err(gone().into()),
                Err(error) => return Err(failed(operation)(error)),
            }
        }
        Err(contended("the definition").into())
    }

    /// Deletes a definition, unless it is not what the caller last saw.
    pub(crate) async fn delete(
        &self,
        found: &ActivityDefinition,
        condition: &IfMatch,
    ) -> Result<(), Error> {
        let operation = "delete an activity definition";
        let (namespace, name) = place(found)?;
        let api: Api<ActivityDefinition> = self.api(Some(&namespace));
        let mut present = found.clone();
        for _ in 0..ATTEMPTS {
            condition.check(&present.metadata)?;
            let parameters = DeleteParams::default().preconditions(Preconditions {
                uid: present.uid(),
                // Without a condition it is deleted however it looks by now.
                resource_version: present.resource_version().filter(|_| condition.is_set()),
            });
            match call(operation, api.delete(&name, &parameters)).await? {
                Ok(_) => return Ok(()),
                Err(error) if has_code(&error, 404) => return Err(gone().into()),
                Err(error) if has_code(&error, 409) => {}
                Err(error) => return Err(failed(operation)(error)),
            }
            present = expect("get an activity definition", api.get_opt(&name))
                .await?
                .filter(|object| is_same(object, found))
                .ok_or_else(gone)?;
        }
        Err(contended("the definition").into())
    }

    fn api<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }
}

/// An object that is being deleted is gone for callers: only its Schedule is still cleaned up.
fn is_there(object: &ActivityDefinition) -> bool {
    object.metadata.deletion_timestamp.is_none()
}

/// Whether it is the object that was found, and not a namesake made later.
fn is_same(object: &ActivityDefinition, found: &ActivityDefinition) -> bool {
    is_there(object) && object.metadata.uid == found.metadata.uid
}

fn place(object: &ActivityDefinition) -> Result<(String, String), Error> {
    let namespace = object
        .namespace()
        .ok_or_else(|| Error::Internal("an ActivityDefinition has no namespace".to_owned()))?;
    Ok((namespace, object.name_any()))
}

fn parse(stored: &DynamicObject) -> Result<ActivityDefinition, Error> {
    stored.clone().try_parse().map_err(|error| {
        Error::Internal(format!(
            "the ActivityDefinition {} can't be read: {error}",
            stored.name_any()
        ))
    })
}

/// Puts what has changed into the stored object, and nothing else.
fn write_spec(
    stored: &mut Value,
    before: &ActivityDefinitionSpec,
    after: &ActivityDefinitionSpec,
) -> Result<(), Error> {
    let json = |spec: &ActivityDefinitionSpec| {
        serde_json::to_value(spec)
            .map_err(|error| Error::Internal(format!("a spec can't be written: {error}")))
    };
    let (before, after) = (json(before)?, json(after)?);
    let Some(spec) = stored.get_mut("spec").and_then(Value::as_object_mut) else {
        return Err(Error::Internal(
            "an ActivityDefinition has no spec".to_owned(),
        ));
    };
    for field in ["displayName", "enabled", "trigger"] {
        match after.get(field) {
            value if value == before.get(field) => {}
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

fn taken(name: &str, present: Option<&ActivityDefinition>) -> Refusal {
    let detail = match present {
        None => "it has been deleted this moment; try again".to_owned(),
        Some(object) if !is_there(object) => {
            "it is being deleted; try again in a moment".to_owned()
        }
        Some(object) => match object.activity_id() {
            Some(id) => format!(
                "its id is {id}; change it by PUT /activity-definitions/{id}, or give the new one \
                 another name"
            ),
            None => "give the new one another name".to_owned(),
        },
    };
    Refusal::new(
        StatusCode::CONFLICT,
        format!("an activity definition named \"{name}\" exists already: {detail}"),
    )
    .about("name")
}

/// The answer where no definition has the id.
pub(crate) fn gone() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "there is no activity definition with this id; GET /activity-definitions/ lists those that \
         there are",
    )
    .about("id")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_write_keeps_fields_of_a_newer_version() {
        let spec = |value: Value| serde_json::from_value::<ActivityDefinitionSpec>(value).unwrap();
        let mut stored = json!({"spec": {
            "enabled": true, "trigger": {"event": {"eventType": "a"}},
            "fromTheFuture": {"a": 1},
        }});
        write_spec(
            &mut stored,
            &spec(json!({"trigger": {"event": {"eventType": "a"}}})),
            &spec(json!({"enabled": false})),
        )
        .unwrap();
        assert_eq!(
            stored,
            json!({"spec": {"enabled": false, "fromTheFuture": {"a": 1}}})
        );
    }
}
