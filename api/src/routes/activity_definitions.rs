//! `/activity-definitions/` and `/activity-definitions/{id}`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use contracts::rest::{
    ActivityDefinition, ActivityDefinitionUpdate, NewActivityDefinition, Problem,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::responses::{Common, OfBody, OfOne, OfWrite};
use crate::access::{Caller, Wish};
use crate::entity_tag::IfMatch;
use crate::error::{Error, Refusal};
use crate::extract::{ActivityIdPath, JsonBody, Parameters, namespace_name};
use crate::state::{ACTIVITY_DEFINITIONS, ApiState};
use crate::{conversion, entity_tag};

/// What to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only this Kubernetes namespace; all that are served when left out.
    #[serde(default)]
    #[param(
        required = false,
        value_type = String,
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
    )]
    namespace: Option<String>,
}

impl ListQuery {
    /// The namespace, unless it is no name of one.
    pub(super) fn namespace(&self) -> Result<Option<&str>, Refusal> {
        self.namespace.as_deref().map(namespace_name).transpose()
    }
}

/// The condition of a write.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by utoipa only; see `IfMatch::of`")]
pub(super) struct Condition {
    /// The ETag that it must still have.
    #[param(rename = "If-Match", required = false)]
    if_match: String,
}

/// List all activity definitions.
///
/// In the order of their namespaces and names. Needs the right to `list` activitydefinitions.
#[utoipa::path(
    get,
    path = "/activity-definitions/",
    operation_id = "listActivityDefinitions",
    tag = "activity definitions",
    params(ListQuery),
    responses(
        (status = 200, description = "The definitions.", body = [ActivityDefinition]),
        (status = 404, description = "The namespace is not served.", body = Problem,
         content_type = "application/problem+json"),
        Common,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<Vec<ActivityDefinition>>, Error> {
    let namespace = state.definitions.listed(query.namespace()?)?;
    let wish = Wish {
        verb: "list",
        resource: ACTIVITY_DEFINITIONS,
        namespace,
        name: None,
    };
    state.access.authorize(&caller, wish).await?;
    let objects = state.definitions.list(namespace).await?;
    let shown: Result<Vec<_>, _> = objects.iter().map(conversion::definition).collect();
    Ok(Json(shown?))
}

/// Create an activity definition.
///
/// The custom resource is made in the API's namespace (API_NAMESPACE). Where `name` is no DNS
/// label, the resource is called by the nearest label and a hash, and `name` is its display name.
/// The definition can be read as soon as this has answered; its Schedule follows. Needs the right
/// to `create` activitydefinitions.
#[utoipa::path(
    post,
    path = "/activity-definitions/",
    operation_id = "createActivityDefinition",
    tag = "activity definitions",
    request_body(
        content = NewActivityDefinition,
        examples(
            ("cron" = (
                summary = "Every weekday at 09:00 Berlin time",
                value = json!({
                    "name": "daily-report",
                    "trigger_config": {
                        "trigger_type": "cron",
                        "cron_expression": "0 9 * * 1-5",
                        "timezone": "Europe/Berlin",
                        "misfire_policy": "skip"
                    }
                })
            )),
            ("event" = (
                summary = "For each new user of a tier",
                value = json!({
                    "name": "user-onboarding",
                    "trigger_config": {
                        "trigger_type": "event",
                        "event_type": "user.created",
                        "filters": {"tier": "pro"}
                    }
                })
            )),
            ("manual" = (
                summary = "On request only",
                value = json!({
                    "name": "clean-up",
                    "trigger_config": {"trigger_type": "manual"}
                })
            ))
        )
    ),
    responses(
        (status = 201, description = "The new definition.", body = ActivityDefinition,
         headers(
            ("Location" = String, description = "Where the definition is"),
            ("ETag" = String, description = "For If-Match"),
         )),
        (status = 409, description = "A definition of this name exists.", body = Problem,
         content_type = "application/problem+json"),
        Common, OfBody,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    JsonBody(new): JsonBody<NewActivityDefinition>,
) -> Result<Response, Error> {
    let wish = Wish {
        verb: "create",
        resource: ACTIVITY_DEFINITIONS,
        namespace: Some(state.definitions.home()),
        name: None,
    };
    state.access.authorize(&caller, wish).await?;
    let created = state.definitions.create(&new).await?;
    let mut response = shown(StatusCode::CREATED, &created)?;
    if let Some(id) = created.activity_id() {
        tracing::info!(caller = caller.name(), activity = %id, name = new.name, "created a definition");
        let location = format!("/activity-definitions/{id}");
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
    }
    Ok(response)
}

/// Show an activity definition.
///
/// Needs the right to `get` it.
#[utoipa::path(
    get,
    path = "/activity-definitions/{id}",
    operation_id = "getActivityDefinition",
    tag = "activity definitions",
    params(("id" = Uuid, Path, description = "The activity's id")),
    responses(
        (status = 200, description = "The definition.", body = ActivityDefinition,
         headers(("ETag" = String, description = "For If-Match"))),
        Common, OfOne,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    ActivityIdPath(id): ActivityIdPath,
) -> Result<Response, Error> {
    let found = state.permitted(&caller, "get", id).await?;
    shown(StatusCode::OK, &found)
}

/// Change an activity definition.
///
/// What the body leaves out stays as it is. With If-Match it is changed only if it is still the
/// one that was read. Needs the right to `update` it.
#[utoipa::path(
    put,
    path = "/activity-definitions/{id}",
    operation_id = "updateActivityDefinition",
    tag = "activity definitions",
    params(
        ("id" = Uuid, Path, description = "The activity's id"),
        Condition,
    ),
    request_body(
        content = ActivityDefinitionUpdate,
        examples(
            ("disable" = (summary = "Pause it", value = json!({"enabled": false}))),
            ("time" = (
                summary = "Another time",
                value = json!({
                    "trigger_config": {
                        "trigger_type": "cron",
                        "cron_expression": "30 7 * * *",
                        "timezone": "Europe/Berlin"
                    }
                })
            ))
        )
    ),
    responses(
        (status = 200, description = "The definition as it is now.", body = ActivityDefinition,
         headers(("ETag" = String, description = "For If-Match"))),
        Common, OfBody, OfOne, OfWrite,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn update(
    State(state): State<ApiState>,
    caller: Caller,
    ActivityIdPath(id): ActivityIdPath,
    headers: HeaderMap,
    JsonBody(update): JsonBody<ActivityDefinitionUpdate>,
) -> Result<Response, Error> {
    let found = state.permitted(&caller, "update", id).await?;
    let condition = IfMatch::of(&headers);
    let updated = state
        .definitions
        .update(&found, &update, &condition)
        .await?;
    tracing::info!(caller = caller.name(), activity = %id, "updated a definition");
    shown(StatusCode::OK, &updated)
}

/// Delete an activity definition.
///
/// Its Schedule goes with it; its runs stay in the ledger. Needs the right to `delete` it.
#[utoipa::path(
    delete,
    path = "/activity-definitions/{id}",
    operation_id = "deleteActivityDefinition",
    tag = "activity definitions",
    params(
        ("id" = Uuid, Path, description = "The activity's id"),
        Condition,
    ),
    responses(
        (status = 204, description = "It is deleted."),
        Common, OfOne, OfWrite,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    ActivityIdPath(id): ActivityIdPath,
    headers: HeaderMap,
) -> Result<StatusCode, Error> {
    let found = state.permitted(&caller, "delete", id).await?;
    let condition = IfMatch::of(&headers);
    state.definitions.delete(&found, &condition).await?;
    tracing::info!(caller = caller.name(), activity = %id, "deleted a definition");
    Ok(StatusCode::NO_CONTENT)
}

fn shown(status: StatusCode, object: &crds::ActivityDefinition) -> Result<Response, Error> {
    let tag = HeaderValue::from_str(&entity_tag::of(&object.metadata))
        .map_err(|error| Error::Internal(format!("an entity tag is no header: {error}")))?;
    let body = Json(conversion::definition(object)?);
    Ok((status, [(header::ETAG, tag)], body).into_response())
}
