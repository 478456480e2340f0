//! The routes, one file per resource, and what all of them have in common.

mod activity_definitions;
mod documentation;
mod event_types;
pub(crate) mod feedback;
mod health;
mod responses;
mod runs;
mod trigger;
pub(crate) mod verify;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use utoipa::OpenApi as _;
use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::access::require_caller;
use crate::browser;
use crate::error::{Error, Refusal};
use crate::metrics::{Operation, observe};
use crate::page;
use crate::state::ApiState;

/// The security scheme's name in the OpenAPI document.
const TOKEN: &str = "kubernetes-token";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "activity-core",
        description = "Activities that run by the clock, on events and on request, and can prove \
                       that they ran. A façade: definitions are Kubernetes custom resources, runs \
                       are read from the ledger.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&TokenScheme),
    tags(
        (name = "activity definitions", description = "What runs, and when."),
        (name = "runs", description = "What ran, and the evidence."),
        (name = "event types", description = "What events look like."),
        (name = "health", description = "Whether the API can do its work."),
    )
)]
struct Document;

/// Describes the token that API_AUTHENTICATION=kubernetes asks for.
struct TokenScheme;

impl utoipa::Modify for TokenScheme {
    fn modify(&self, document: &mut OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some(
            "A Kubernetes token, with API_AUTHENTICATION=kubernetes; none is needed otherwise."
                .to_owned(),
        );
        document
            .components
            .get_or_insert_default()
            .add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
    }
}

fn documented() -> (Router<ApiState>, Router<ApiState>, OpenApi) {
    let (guarded, mut document) = [
        routes!(activity_definitions::list, activity_definitions::create),
        routes!(
            activity_definitions::get,
            activity_definitions::update,
            activity_definitions::delete
        ),
        routes!(trigger::trigger),
        routes!(verify::get),
        routes!(runs::list),
        routes!(runs::get),
        routes!(feedback::give, feedback::list),
        routes!(event_types::list, event_types::create),
        routes!(event_types::get, event_types::update, event_types::delete),
    ]
    .into_iter()
    .fold(
        OpenApiRouter::with_openapi(Document::openapi()),
        with_either_slash,
    )
    .split_for_parts();
    let (open, of_open) =
        with_either_slash(OpenApiRouter::default(), routes!(health::get)).split_for_parts();
    document.merge(of_open);
    forbid_other_fields(&mut document);
    (guarded, open, document)
}

/// Says of each kind of trigger what holds for it and what utoipa does not say by itself: that
/// there are no other fields.
fn forbid_other_fields(document: &mut OpenApi) {
    let schemas = document.components.as_mut().map(|all| &mut all.schemas);
    let Some(RefOr::T(Schema::OneOf(kinds))) =
        schemas.and_then(|schemas| schemas.get_mut("TriggerConfig"))
    else {
        return;
    };
    for kind in &mut kinds.items {
        if let RefOr::T(Schema::Object(object)) = kind {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

/// The description of the API that `/openapi.json` serves.
pub(crate) fn document() -> OpenApi {
    documented().2
}

/// Every operation of the API, for its metrics.
pub(crate) fn operations() -> Vec<Operation> {
    let document = document();
    let mut operations = Vec::new();
    for (route, item) in document.paths.paths {
        for (method, present) in [
            ("GET", item.get.is_some()),
            ("POST", item.post.is_some()),
            ("PUT", item.put.is_some()),
            ("DELETE", item.delete.is_some()),
        ] {
            if present {
                let route = route.clone();
                operations.push(Operation { method, route });
            }
        }
    }
    operations.extend(page::operations());
    operations
}

/// The whole API.
pub(crate) fn router(state: ApiState, maximum_body: usize) -> Router {
    let (guarded, open, document) = documented();
    guarded
        .route_layer(middleware::from_fn_with_state(
            state.clone(),
            require_caller,
        ))
        .merge(open)
        .merge(documentation::router(document))
        .merge(page::router(&state))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(maximum_body))
        .layer(middleware::from_fn_with_state(state.clone(), limit_time))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            browser::guard,
        ))
        .layer(middleware::from_fn_with_state(state.clone(), observe))
        .with_state(state)
}

/// Serves a path with and without a slash at its end. The document names the one form.
fn with_either_slash(
    router: OpenApiRouter<ApiState>,
    methods: UtoipaMethodRouter<ApiState>,
) -> OpenApiRouter<ApiState> {
    let (_, paths, handlers) = &methods;
    let (paths, handlers) = (paths.paths.clone(), handlers.clone());
    paths.keys().fold(router.routes(methods), |router, path| {
        let other = match path.strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{path}/"),
        };
        router.route(&other, handlers.clone())
    })
}

async fn unknown_path(uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!(
            "there is nothing at {}; GET /docs shows what there is",
            uri.path()
        ),
    )
}

async fn wrong_method(uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!(
            "{} does not know this method; the header Allow lists those that it knows",
            uri.path()
        ),
    )
}

async fn limit_time(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let limit = state.request_timeout;
    tokio::time::timeout(limit, next.run(request))
        .await
        .map_err(|_| Error::Timeout {
            seconds: limit.as_secs(),
        })
}

#[cfg(test)]
mod tests;
