//! The Kubernetes API: verbs and resources, and watches whose events are deliveries.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, Uri, request};
use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::conductor::Injection;
use super::exchange::{self, Body, Connection, Protocol, Version};
use super::http::{pick, refuse};
use super::listener::Listening;
use super::{Call, Conductor, Effect, Kind, SLOW, Server};
use crate::stand_ins::lock;

/// A proxy before kube-apiserver.
pub(super) struct Kubernetes {
    client: kube::Client,
    memory: Arc<Memory>,
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Kubernetes").finish_non_exhaustive()
    }
}

/// What watches and lists were like: shared by all connections, because the fault of one is felt
/// on the next.
#[derive(Default)]
struct Memory {
    /// For each list that was asked for, its path, query and newest answer that is old by now.
    lists: Mutex<HashMap<String, Bytes>>,
    /// Lists that are to be answered next with an old answer.
    stale: Marks,
}

/// Paths whose next call is struck by the rest of a fault that has begun.
type Marks = Mutex<Vec<(String, Injection)>>;

impl Kubernetes {
    /// A proxy that calls the API through `client`.
    pub(super) fn new(client: kube::Client) -> Arc<Self> {
        Arc::new(Self {
            client,
            memory: Arc::default(),
        })
    }

    /// Listens for the program.
    pub(super) async fn listen(self: &Arc<Self>, conductor: Arc<Conductor>) -> Result<Listening> {
        exchange::listen(Arc::clone(self), conductor).await
    }

    /// Asks for every list again that was ever asked for: it is what a stale one will say.
    pub(super) async fn remember(&self) -> Result<()> {
        let keys: Vec<String> = lock(&self.memory.lists).keys().cloned().collect();
        for key in keys {
            let request = Request::get(&key)
                .body(Bytes::new())
                .context("no request")?;
            let body = self.call(request).await?.into_body();
            let body = body.collect().await?.to_bytes();
            lock(&self.memory.lists).insert(key, body);
        }
        Ok(())
    }

    async fn call(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().context("no path")?.as_str();
        parts.uri = path.parse::<Uri>().context("no path")?;
        parts.extensions = axum::http::Extensions::new();
        exchange::strip(&mut parts.headers);
        let request = Request::from_parts(parts, kube::client::Body::from(body));
        let (mut parts, body) = self.client.send(request).await?.into_parts();
        exchange::strip(&mut parts.headers);
        let body = body.map_err(|error| anyhow::anyhow!(error)).boxed_unsync();
        Ok(Response::from_parts(parts, body))
    }
}

impl Protocol for Kubernetes {
    const VERSION: Version = Version::One;

    fn name(&self, request: &request::Parts) -> Call {
        name(&request.method, &request.uri)
    }

    async fn forward(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        let (uri, is_get) = (request.uri().clone(), request.method() == Method::GET);
        if is_get && is_watch(&uri) {
            let answer = self.call(request).await?;
            // How the events are handed over has to know whose they are.
            return Ok(with_path(answer, uri.path()));
        }
        let is_list = is_get && name(&Method::GET, &uri).name.starts_with("list-");
        if !is_list {
            return self.call(request).await;
        }
        if take(&self.memory.stale, uri.path())
            && let Some(answer) = self.stale(&request)
        {
            return Ok(answer);
        }
        let (parts, body) = self.call(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        if parts.status.is_success() {
            let key = uri.to_string();
            lock(&self.memory.lists)
                .entry(key)
                .or_insert_with(|| body.clone());
        }
        Ok(Response::from_parts(parts, exchange::bytes(body)))
    }

    fn refusal(&self, kind: Kind, variant: u64) -> Response<Body> {
        let (status, reason) = match kind {
            Kind::Permanent => pick(
                &[
                    (StatusCode::FORBIDDEN, "Forbidden"),
                    (StatusCode::UNPROCESSABLE_ENTITY, "Invalid"),
                ],
                variant,
            ),
            Kind::Conflict => (StatusCode::CONFLICT, "Conflict"),
            Kind::Expired => {
                // A watch begins well, and ends with its first event.
                let mut answer = Response::new(exchange::bytes(gone()));
                let json = HeaderValue::from_static("application/json");
                answer.headers_mut().insert("content-type", json);
                return answer;
            }
            _ => pick(
                &[
                    (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
                    (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
                    (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
                ],
                variant,
            ),
        };
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "the fault proxy says so", "reason": reason, "code": status.as_u16(),
        });
        let mut answer = refuse(status, body.to_string());
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert("content-type", json);
        answer
    }

    async fn pretend(&self, call: &Call, request: Request<Bytes>) -> Result<Response<Body>> {
        match call.effect {
            Effect::Update => {
                let path = request.uri().path();
                let object = path.strip_suffix("/status").unwrap_or(path);
                let asking = Request::get(object).body(Bytes::new());
                self.call(asking.context("no request")?).await
            }
            Effect::Delete => Ok(answer(json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))),
            _ => {
                let mut object: Value = serde_json::from_slice(request.body())?;
                object["metadata"]["uid"] = json!(Uuid::new_v4());
                Ok(answer(object))
            }
        }
    }

    fn nothing(&self, _: &Call) -> Response<Body> {
        let mut nothing = answer(json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "not found", "reason": "NotFound", "code": 404}));
        *nothing.status_mut() = StatusCode::NOT_FOUND;
        nothing
    }

    async fn deliver(
        &self,
        call: &Call,
        answer: Response<Body>,
        connection: &Connection,
    ) -> Response<Body> {
        let path = path_of(&answer);
        let (parts, body) = answer.into_parts();
        let (sender, receiver) = mpsc::channel(16);
        let events = Events {
            resource: call.name.trim_start_matches("watch-").to_owned(),
            path,
            memory: Arc::clone(&self.memory),
            connection: connection.clone(),
            sender,
        };
        tokio::spawn(events.hand_over(body));
        let frames = stream::unfold(receiver, |mut receiver| async move {
            let line: Bytes = receiver.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(line)), receiver))
        });
        let body = StreamBody::new(frames)
            .map_err(|never: Infallible| match never {})
            .boxed_unsync();
        Response::from_parts(parts, body)
    }

    fn stale(&self, request: &Request<Bytes>) -> Option<Response<Body>> {
        let body = lock(&self.memory.lists)
            .get(&request.uri().to_string())?
            .clone();
        let mut answer = Response::new(exchange::bytes(body));
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert("content-type", json);
        Some(answer)
    }
}

/// An answer in JSON.
fn answer(body: Value) -> Response<Body> {
    let mut answer = Response::new(exchange::bytes(body.to_string()));
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert("content-type", json);
    answer
}

/// The event of a watch whose place in history the server has forgotten.
fn gone() -> Bytes {
    let event = json!({"type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version", "reason": "Expired", "code": 410}});
    Bytes::from(format!("{event}\n"))
}

/// Takes a mark off; true if there was one.
fn take(marks: &Marks, path: &str) -> bool {
    let mut marks = lock(marks);
    let found = marks.iter().position(|(marked, _)| marked == path);
    found.map(|index| marks.swap_remove(index)).is_some()
}

/// The path of a watch, carried from the call to its events.
#[derive(Clone)]
struct WatchPath(String);

fn with_path(mut answer: Response<Body>, path: &str) -> Response<Body> {
    answer.extensions_mut().insert(WatchPath(path.to_owned()));
    answer
}

fn path_of(answer: &Response<Body>) -> String {
    let path = answer.extensions().get::<WatchPath>();
    path.map(|path| path.0.clone()).unwrap_or_default()
}

/// Hands over the events of one watch, line by line.
struct Events {
    resource: String,
    path: String,
    memory: Arc<Memory>,
    connection: Connection,
    sender: mpsc::Sender<Bytes>,
}

impl Events {
    async fn hand_over(self, mut body: Body) {
        let mut buffer = BytesMut::new();
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = self.sender.closed() => return,
            };
            let Some(Ok(frame)) = frame else { return };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            buffer.extend_from_slice(&data);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(end + 1).freeze();
                if self.hand_over_one(line).await.is_none() {
                    return;
                }
            }
        }
    }

    /// Hands over one event; `None` when the watch ends with it.
    async fn hand_over_one(&self, line: Bytes) -> Option<()> {
        let event: Value = serde_json::from_slice(&line).unwrap_or_default();
        let kind = event["type"].as_str().unwrap_or_default().to_lowercase();
        let injection = match kind.as_str() {
            "added" | "modified" | "deleted" => {
                let name = format!("event-{}.{kind}", self.resource);
                let call = Call::new(Server::Kubernetes, name, Effect::Delivery);
                if self.connection.conductor.slip(&call).is_some() {
                    return Some(());
                }
                self.connection.conductor.meet(&call)
            }
            _ => None,
        };
        let cut = &self.connection.cut;
        let Some(injection) = injection else {
            return self.sender.send(line).await.ok();
        };
        match injection.kind {
            Kind::CrashBefore => {
                self.connection.conductor.kill();
                cut.cancel();
                None
            }
            Kind::CrashAfter => {
                let sent = self.sender.send(line).await.ok();
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                self.connection.conductor.kill();
                sent
            }
            Kind::Cut => {
                cut.cancel();
                None
            }
            Kind::Expired | Kind::StaleList => {
                if injection.kind == Kind::StaleList {
                    lock(&self.memory.stale).push((self.path.clone(), injection));
                }
                // It is told in the stream, as the API server does. Whether anybody still listens
                // makes no difference: the watch is over.
                let _ = self.sender.send(gone()).await;
                None
            }
            Kind::Slow => {
                tokio::time::sleep(SLOW).await;
                self.sender.send(line).await.ok()
            }
            _ => self.sender.send(line).await.ok(),
        }
    }
}

fn is_watch(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    query
        .split('&')
        .any(|part| matches!(part, "watch=true" | "watch=1"))
}

/// Names a call: verb, resource and subresource.
fn name(method: &Method, uri: &Uri) -> Call {
    let parts: Vec<&str> = uri
        .path()
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => &[],
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    let (resource, object) = match rest {
        [] => (parts.first().copied().unwrap_or("root").to_owned(), None),
        [resource] => ((*resource).to_owned(), None),
        [resource, object] => ((*resource).to_owned(), Some(*object)),
        [resource, object, subresource, ..] => (format!("{resource}.{subresource}"), Some(*object)),
    };
    let (verb, effect) = match *method {
        Method::POST => ("create", Effect::Create),
        Method::PUT => ("replace", Effect::Update),
        Method::PATCH => ("patch", Effect::Update),
        Method::DELETE => ("delete", Effect::Delete),
        _ if is_watch(uri) => ("watch", Effect::Subscribe),
        _ if object.is_none() && !rest.is_empty() => ("list", Effect::Read),
        _ => ("get", Effect::Read),
    };
    Call::new(Server::Kubernetes, format!("{verb}-{resource}"), effect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_by_verb_resource_and_subresource() {
        let named = |method: Method, uri: &str| name(&method, &uri.parse().unwrap()).name;
        let base = "/apis/activity-core.io/v1alpha1/namespaces/one/activitydefinitions";
        assert_eq!(named(Method::GET, base), "list-activitydefinitions");
        assert_eq!(
            named(Method::GET, &format!("{base}?watch=true&x=1")),
            "watch-activitydefinitions"
        );
        assert_eq!(
            named(Method::PATCH, &format!("{base}/daily/status?force=true")),
            "patch-activitydefinitions.status"
        );
        assert_eq!(named(Method::GET, "/version"), "get-version");
        assert_eq!(
            named(Method::GET, "/api/v1/namespaces/one"),
            "get-namespaces"
        );
        let configuration = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
        assert_eq!(
            named(Method::PATCH, &format!("{configuration}/activity-core")),
            "patch-validatingwebhookconfigurations"
        );
    }
}
