//! The pages for people, at `/`: "did everything run today?", answered from the ledger.
//!
//! Rendered here, without a script; what is shown is decided in the pure modules below, and each
//! page is put together in one file: [`today`], [`definition`], [`verification`], [`run`]. Callers
//! are told apart and authorised as at the REST API.

mod definition;
mod link;
mod moment;
mod overview;
mod run;
mod standing;
mod templates;
mod today;
mod trigger;
mod verdict;
mod verification;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use uuid::Uuid;

use self::templates::Frame;
use crate::access::{identify, origin_of};
use crate::error::Error;
use crate::metrics::Operation;
use crate::state::ApiState;

/// What a browser may do with a page: show it with our own style, and nothing else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
                                       form-action 'self'; base-uri 'none'; \
                                       frame-ancestors 'none'";

/// How long a browser may keep the style, in seconds.
const STYLE_AGE: &str = "max-age=300";

/// Where the pages are, and their methods.
const ROUTES: [(&str, &str); 5] = [
    ("GET", "/"),
    ("GET", "/activity/{id}"),
    ("GET", "/activity/{id}/verify"),
    ("GET", "/run/{run_id}"),
    ("POST", "/run/{run_id}/feedback"),
];

/// Every operation of the pages, for the metrics.
pub(crate) fn operations() -> impl Iterator<Item = Operation> {
    ROUTES.into_iter().map(|(method, route)| Operation {
        method,
        route: route.to_owned(),
    })
}

/// The routes of the pages.
pub(crate) fn router(state: &ApiState) -> Router<ApiState> {
    let pages = Router::new()
        .route("/", get(today::get))
        .route("/activity/{id}", get(definition::get))
        .route("/activity/{id}/verify", get(verification::get))
        .route("/run/{run_id}", get(run::get))
        .route("/run/{run_id}/feedback", post(run::give_feedback))
        .route_layer(middleware::from_fn_with_state(
            state.clone(),
            require_caller,
        ));
    let style = include_str!("page/templates/page.css");
    let icon = include_str!("page/templates/icon.svg");
    pages
        .route(
            "/page.css",
            get(async || file("text/css; charset=utf-8", style)),
        )
        .route("/icon.svg", get(async || file("image/svg+xml", icon)))
        .layer(middleware::map_response(protect))
}

fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, STYLE_AGE),
    ];
    (headers, text)
}

/// Adds what keeps a page to itself.
async fn protect(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ];
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Lets only callers with a good token through, as [`crate::access::require_caller`] does; who has
/// none is told so in words for people.
async fn require_caller(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Result<Response, PageError> {
    let root = root_of(request.uri().path());
    let origin = origin_of(&request);
    let caller = identify(&state, request.headers(), origin).await;
    let caller = caller.map_err(|error| PageError { error, root })?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// The way from a page to the root.
fn root_of(path: &str) -> &'static str {
    match path.matches('/').count() {
        0 | 1 => "./",
        2 => "../",
        _ => "../../",
    }
}

/// A request for a page that is not carried out.
#[derive(Debug)]
struct PageError {
    error: Error,
    /// The way to the root, seen from the page.
    root: &'static str,
}

impl PageError {
    /// Makes errors of the page that is `root` away from the root.
    fn at(root: &'static str) -> impl Fn(Error) -> Self {
        move |error| Self { error, root }
    }
}

#[derive(Serialize)]
struct ProblemView {
    status: u16,
    title: &'static str,
    detail: String,
    instance: Option<Uuid>,
    needs_token: bool,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (refusal, instance) = self.error.told();
        let title = refusal.status.canonical_reason().unwrap_or("Error");
        let problem = ProblemView {
            status: refusal.status.as_u16(),
            title,
            detail: refusal.detail.clone(),
            instance,
            needs_token: refusal.status == axum::http::StatusCode::UNAUTHORIZED,
        };
        let frame = Frame {
            template: "problem.html",
            title,
            root: self.root,
        };
        let page = templates::render(frame, &problem);
        let page = page.unwrap_or_else(|_| refusal.detail.clone());
        let mut response = (refusal.status, Html(page)).into_response();
        refusal.add_header(response.headers_mut());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_finds_its_way_to_the_root() {
        assert_eq!(root_of("/"), "./");
        assert_eq!(root_of("/activity/1"), "../");
        assert_eq!(root_of("/activity/1/verify"), "../../");
    }
}
