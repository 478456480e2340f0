//! `/event-types/`.

use axum::Json;
use axum::extract::State;
use contracts::rest::{EventType, Problem};

use super::activity_definitions::ListQuery;
use super::responses::Common;
use crate::access::{Caller, Wish};
use crate::conversion;
use crate::error::Error;
use crate::extract::Parameters;
use crate::state::ApiState;

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
        resource: "eventtypes",
        namespace,
        name: None,
    };
    state.access.authorize(&caller, wish).await?;
    let objects = state.definitions.event_types(namespace).await?;
    Ok(Json(
        objects.into_iter().map(conversion::event_type).collect(),
    ))
}
