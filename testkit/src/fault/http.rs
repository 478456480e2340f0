//! Plain HTTP: the systems that a worker reports to.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, Uri, request};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use uuid::Uuid;

use super::exchange::{self, Body, Connection, Protocol, Version};
use super::listener::Listening;
use super::{Call, Conductor, Effect, Kind, Server};

/// A proxy before one HTTP server.
#[derive(Debug)]
pub(super) struct Http {
    server: Server,
    authority: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Http {
    /// Listens for the program, and calls `http://{authority}`.
    pub(super) async fn listen(
        server: Server,
        authority: &str,
        conductor: Arc<Conductor>,
    ) -> Result<Listening> {
        let protocol = Self {
            server,
            authority: authority.to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        };
        exchange::listen(Arc::new(protocol), conductor).await
    }
}

impl Protocol for Http {
    const VERSION: Version = Version::One;

    fn name(&self, request: &request::Parts) -> Call {
        let effect = match request.method {
            Method::POST => Effect::Create,
            Method::PUT | Method::PATCH => Effect::Update,
            Method::DELETE => Effect::Delete,
            _ => Effect::Read,
        };
        // The last part that is a word names the resource; ids are not for names.
        let parts = request.uri.path().split('/');
        let mut words =
            parts.filter(|part| part.chars().any(char::is_alphabetic) && part.len() < 30);
        let resource = words.next_back().unwrap_or("root");
        let method = request.method.as_str().to_lowercase();
        Call::new(self.server, format!("{method}-{resource}"), effect)
    }

    async fn forward(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        let request = readdress(request, &self.authority)?;
        let answer = self.client.request(request).await?;
        Ok(answer.map(|body| body.map_err(anyhow::Error::from).boxed_unsync()))
    }

    fn refusal(&self, kind: Kind, variant: u64) -> Response<Body> {
        let status = match kind {
            Kind::Permanent => [StatusCode::UNPROCESSABLE_ENTITY, StatusCode::FORBIDDEN],
            Kind::Conflict => [StatusCode::CONFLICT; 2],
            _ => [
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::INTERNAL_SERVER_ERROR,
            ],
        };
        refuse(pick(&status, variant), "the fault proxy says so")
    }

    async fn pretend(&self, _: &Call, request: Request<Bytes>) -> Result<Response<Body>> {
        let mut said: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        if let Some(said) = said.as_object_mut() {
            said.insert("id".to_owned(), json!(Uuid::new_v4()));
            said.insert("created_at".to_owned(), json!("2026-01-01T00:00:00Z"));
        }
        let mut answer = refuse(StatusCode::CREATED, said.to_string());
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert("content-type", json);
        Ok(answer)
    }

    fn nothing(&self, _: &Call) -> Response<Body> {
        let mut answer = refuse(StatusCode::OK, "[]");
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert("content-type", json);
        answer
    }

    async fn deliver(&self, _: &Call, answer: Response<Body>, _: &Connection) -> Response<Body> {
        answer
    }
}

/// The same request to another server.
pub(super) fn readdress(request: Request<Bytes>, authority: &str) -> Result<Request<Full<Bytes>>> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = format!("http://{authority}{path}")
        .parse::<Uri>()
        .context("no address")?;
    parts.version = axum::http::Version::default();
    parts.extensions = axum::http::Extensions::new();
    exchange::strip(&mut parts.headers);
    Ok(Request::from_parts(parts, Full::new(body)))
}

/// One of several answers.
pub(super) fn pick<T: Copy>(choices: &[T], variant: u64) -> T {
    let count = u64::try_from(choices.len()).unwrap_or(1);
    choices[usize::try_from(variant % count).unwrap_or_default()]
}

/// A refusal with a body.
pub(super) fn refuse(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(exchange::bytes(body));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(method: Method, path: &str) -> String {
        let http = Http {
            server: Server::StateHub,
            authority: String::new(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .unwrap();
        http.name(&request.into_parts().0).to_string()
    }

    #[test]
    fn a_call_is_named_by_its_resource_and_not_by_ids() {
        assert_eq!(name(Method::POST, "/progress/"), "state-hub:post-progress");
        assert_eq!(
            name(
                Method::GET,
                "/issues/0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f?x=1"
            ),
            "state-hub:get-issues"
        );
    }
}
