//! `GET /docs` (Swagger UI, from files in the program) and `GET /openapi.json`.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use crate::error::{Error, Refusal};
use crate::state::ApiState;

/// Where the document is, seen from the pages of the user interface: relative, so that a proxy may
/// serve the API below a path.
const DOCUMENT_URL: &str = "../openapi.json";

/// The routes of the documentation.
pub(super) fn router(document: OpenApi) -> Router<ApiState> {
    let document = Arc::new(document);
    let config = Arc::new(
        Config::from(DOCUMENT_URL)
            .display_operation_id(true)
            .try_it_out_enabled(true)
            .persist_authorization(false),
    );
    let file = move |name: String| {
        let config = Arc::clone(&config);
        async move { serve(&name, config) }
    };
    let index = file.clone();
    Router::new()
        .route(
            "/openapi.json",
            get(async move || Json(Arc::clone(&document)).into_response()),
        )
        .route("/docs", get(to_index))
        .route("/docs/", get(async move || index(String::new()).await))
        .route(
            "/docs/{*file}",
            get(async move |Path(name): Path<String>| file(name).await),
        )
}

/// The pages refer to each other relative to `/docs/`.
async fn to_index() -> impl IntoResponse {
    (StatusCode::SEE_OTHER, [(header::LOCATION, "docs/")])
}

fn serve(name: &str, config: Arc<Config<'_>>) -> Result<Response, Error> {
    let file = utoipa_swagger_ui::serve(name, config)
        .map_err(|error| Error::Internal(format!("the documentation can't be shown: {error}")))?;
    match file {
        Some(file) => Ok((
            [(header::CONTENT_TYPE, file.content_type)],
            file.bytes.into_owned(),
        )
            .into_response()),
        None => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "there is no such file; see GET /docs/",
        )
        .into()),
    }
}
