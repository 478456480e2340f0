//! `/event-types/` and `/event-types/{name}`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use contracts::rest::{EventType, EventTypeUpdate, NewEventType, Problem};

use super::activity_definitions::{Condition, ListQuery};
use super::responses::{Common, OfBody, OfOne, OfWrite};
use crate::access::{Caller, Wish};
use crate::entity_tag::IfMatch;
use crate::error::Error;
use crate::event_types::Place;
use crate::extract::{EventTypePath, EventTypeTarget, JsonBody, NamespaceQuery, Parameters};
use crate::state::ApiState;
use crate::{conversion, entity_tag};

/// The plural of EventType, as roles name it.
const EVENT_TYPES: &str = "eventtypes";

/// List all event types.
///
/// In the order of their namespaces and names. Needs the right to `list` eventtypes.
#[utoipa::path(
    get,
    path = "/event-types/",
    operation_id = "listEventTypes",
    tag = "event types",
    params(ListQuery),
    responses(
        (status = 200, description = "The event types.", body = [EventType]),
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
) -> Result<Json<Vec<EventType>>, Error> {
    let namespace = state.definitions.listed(query.namespace()?)?;
    let wish = Wish {
        verb: "list",
        resource: EVENT_TYPES,
        namespace,
        name: None,
    };
    state.access.authorize(&caller, wish).await?;
    let objects = state.event_types.list(namespace).await?;
    let shown = objects.into_iter().map(conversion::event_type);
    Ok(Json(shown.collect()))
}

/// Create an event type.
///
/// The custom resource is made in the API's namespace (API_NAMESPACE), and is in force in every
/// router a moment later. Needs the right to `create` eventtypes.
#[utoipa::path(
    post,
    path = "/event-types/",
    operation_id = "createEventType",
    tag = "event types",
    request_body(
        content = NewEventType,
        example = json!({
            "name": "user.created",
            "description": "A user signed up.",
            "schema": {"type": "object", "required": ["tier"]},
            "validation": "Enforce"
        })
    ),
    responses(
        (status = 201, description = "The new event type.", body = EventType,
         headers(
            ("Location" = String, description = "Where the event type is"),
            ("ETag" = String, description = "For If-Match"),
         )),
        (status = 409, description = "An event type of this name exists.", body = Problem,
         content_type = "application/problem+json"),
        Common, OfBody,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    JsonBody(new): JsonBody<NewEventType>,
) -> Result<Response, Error> {
    let home = state.event_types.home();
    authorize(&state, &caller, ("create", home, None)).await?;
    let created = state.event_types.create(&new).await?;
    tracing::info!(
        caller = caller.name(),
        event_type = new.name,
        "created an event type"
    );
    let location = format!("/event-types/{}", new.name);
    let mut response = shown(StatusCode::CREATED, created)?;
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Show an event type.
///
/// Needs the right to `get` it.
#[utoipa::path(
    get,
    path = "/event-types/{name}",
    operation_id = "getEventType",
    tag = "event types",
    params(EventTypePath, NamespaceQuery),
    responses(
        (status = 200, description = "The event type.", body = EventType,
         headers(("ETag" = String, description = "For If-Match"))),
        Common, OfOne,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    target: EventTypeTarget,
) -> Result<Response, Error> {
    let place = permitted(&state, &caller, "get", &target).await?;
    shown(StatusCode::OK, state.event_types.get(&place).await?)
}

/// Change an event type.
///
/// What the body leaves out stays as it is; what is null is taken away. With If-Match it is changed
/// only if it is still the one that was read. Needs the right to `update` it.
#[utoipa::path(
    put,
    path = "/event-types/{name}",
    operation_id = "updateEventType",
    tag = "event types",
    params(EventTypePath, NamespaceQuery, Condition),
    request_body(
        content = EventTypeUpdate,
        example = json!({"validation": "Enforce"})
    ),
    responses(
        (status = 200, description = "The event type as it is now.", body = EventType,
         headers(("ETag" = String, description = "For If-Match"))),
        Common, OfBody, OfOne, OfWrite,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn update(
    State(state): State<ApiState>,
    caller: Caller,
    target: EventTypeTarget,
    headers: HeaderMap,
    JsonBody(update): JsonBody<EventTypeUpdate>,
) -> Result<Response, Error> {
    let place = permitted(&state, &caller, "update", &target).await?;
    let condition = IfMatch::of(&headers);
    let updated = state
        .event_types
        .update(&place, &update, &condition)
        .await?;
    tracing::info!(
        caller = caller.name(),
        event_type = place.name,
        "updated an event type"
    );
    shown(StatusCode::OK, updated)
}

/// Delete an event type.
///
/// Its events are let through unchecked from then on. Needs the right to `delete` it.
#[utoipa::path(
    delete,
    path = "/event-types/{name}",
    operation_id = "deleteEventType",
    tag = "event types",
    params(EventTypePath, NamespaceQuery, Condition),
    responses(
        (status = 204, description = "It is deleted."),
        Common, OfOne, OfWrite,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    target: EventTypeTarget,
    headers: HeaderMap,
) -> Result<StatusCode, Error> {
    let place = permitted(&state, &caller, "delete", &target).await?;
    let condition = IfMatch::of(&headers);
    state.event_types.delete(&place, &condition).await?;
    tracing::info!(
        caller = caller.name(),
        event_type = place.name,
        "deleted an event type"
    );
    Ok(StatusCode::NO_CONTENT)
}

/// The place of the event type that a request names, provided that the caller may do `verb` with
/// it.
async fn permitted(
    state: &ApiState,
    caller: &Caller,
    verb: &'static str,
    target: &EventTypeTarget,
) -> Result<Place, Error> {
    let namespace = target.namespace.as_deref();
    let place = state.event_types.place(namespace, &target.name)?;
    authorize(state, caller, (verb, &place.namespace, Some(&place.name))).await?;
    Ok(place)
}

async fn authorize(
    state: &ApiState,
    caller: &Caller,
    (verb, namespace, name): (&'static str, &str, Option<&str>),
) -> Result<(), Error> {
    let wish = Wish {
        verb,
        resource: EVENT_TYPES,
        namespace: Some(namespace),
        name,
    };
    state.access.authorize(caller, wish).await
}

fn shown(status: StatusCode, object: crds::EventType) -> Result<Response, Error> {
    let tag = HeaderValue::from_str(&entity_tag::of(&object.metadata))
        .map_err(|error| Error::Internal(format!("an entity tag is no header: {error}")))?;
    let body = Json(conversion::event_type(object));
    Ok((status, [(header::ETAG, tag)], body).into_response())
}
