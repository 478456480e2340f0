//! Temporal's gRPC: unary calls on HTTP/2, refused by a status in the trailers. A poll that brings
//! a task is a delivery.

use std::sync::Arc;

use anyhow::Result;
use axum::http::{HeaderMap, HeaderValue, Request, Response, request};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::exchange::{self, Body, Connection, Protocol, Version, WholeBody};
use super::http::{pick, readdress};
use super::listener::Listening;
use super::{Call, Conductor, Effect, Kind, SLOW, Server};

/// The length of what stands before a message; an answer that is longer says something.
const MESSAGE_HEADER: usize = 5;

/// A proxy before Temporal's frontend.
#[derive(Debug)]
pub(super) struct Grpc {
    authority: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Grpc {
    /// Listens for the program, and calls the frontend at `authority`.
    pub(super) async fn listen(authority: &str, conductor: Arc<Conductor>) -> Result<Listening> {
        let protocol = Self {
            authority: authority.to_owned(),
            client: Client::builder(TokioExecutor::new())
                .http2_only(true)
                .build_http(),
        };
        exchange::listen(Arc::new(protocol), conductor).await
    }
}

impl Protocol for Grpc {
    const VERSION: Version = Version::Two;

    fn name(&self, request: &request::Parts) -> Call {
        let method = request.uri.path().rsplit('/').next().unwrap_or_default();
        Call::new(Server::Temporal, method, effect(method))
    }

    async fn forward(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        let request = readdress(request, &self.authority)?;
        let answer = self.client.request(request).await?;
        Ok(answer.map(|body| body.map_err(anyhow::Error::from).boxed_unsync()))
    }

    fn refusal(&self, kind: Kind, variant: u64) -> Response<Body> {
        let code = match kind {
            // PERMISSION_DENIED, INVALID_ARGUMENT
            Kind::Permanent => pick(&["7", "3"], variant),
            // FAILED_PRECONDITION, as for a token that no longer fits; ABORTED
            Kind::Conflict => pick(&["9", "10"], variant),
            // UNAVAILABLE, RESOURCE_EXHAUSTED, INTERNAL
            _ => pick(&["14", "8", "13"], variant),
        };
        refused(code)
    }

    async fn pretend(&self, _: &Call, _: Request<Bytes>) -> Result<Response<Body>> {
        Ok(empty())
    }

    fn nothing(&self, call: &Call) -> Response<Body> {
        if call.name.starts_with("List") {
            return empty();
        }
        // NOT_FOUND
        refused("5")
    }

    async fn deliver(
        &self,
        call: &Call,
        answer: Response<Body>,
        connection: &Connection,
    ) -> Response<Body> {
        let Ok(whole) = exchange::collect(answer).await else {
            connection.hang_up().await
        };
        if whole.body().bytes.len() <= MESSAGE_HEADER {
            return exchange::in_full(whole);
        }
        let task = Call::new(
            Server::Temporal,
            format!("{}.task", call.name),
            Effect::Delivery,
        );
        let Some(injection) = connection.conductor.meet(&task) else {
            return exchange::in_full(whole);
        };
        match injection.kind {
            Kind::CrashBefore => connection.crash().await,
            Kind::CrashAfter => {
                let conductor = Arc::clone(&connection.conductor);
                exchange::then(whole, injection, move || conductor.kill())
            }
            Kind::ReplyLost => connection.hang_up().await,
            Kind::Slow => {
                tokio::time::sleep(SLOW).await;
                exchange::in_full(whole)
            }
            _ => exchange::in_full(whole),
        }
    }
}

/// A message without any field, and OK.
fn empty() -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut answer = Response::new(WholeBody {
        bytes: Bytes::from_static(&[0; MESSAGE_HEADER]),
        trailers: Some(trailers),
    });
    let grpc = HeaderValue::from_static("application/grpc");
    answer.headers_mut().insert("content-type", grpc);
    exchange::in_full(answer)
}

/// No message, and the number of a status.
fn refused(code: &'static str) -> Response<Body> {
    let mut answer = Response::new(exchange::bytes(Bytes::new()));
    let headers = answer.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(code));
    let message = HeaderValue::from_static("the fault proxy says so");
    headers.insert("grpc-message", message);
    answer
}

fn effect(method: &str) -> Effect {
    const EFFECTS: [(&str, Effect); 14] = [
        ("Poll", Effect::Subscribe),
        ("Create", Effect::Create),
        ("Start", Effect::Create),
        ("SignalWithStart", Effect::Create),
        ("AddSearchAttributes", Effect::Update),
        ("Register", Effect::Create),
        ("Update", Effect::Update),
        ("Patch", Effect::Update),
        ("Signal", Effect::Update),
        ("Request", Effect::Update),
        ("Terminate", Effect::Update),
        ("Respond", Effect::Update),
        ("Record", Effect::Update),
        ("Delete", Effect::Delete),
    ];
    EFFECTS
        .into_iter()
        .find(|(start, _)| method.starts_with(start))
        .map_or(Effect::Read, |(_, effect)| effect)
}
