//! What HTTP/1, HTTP/2 and gRPC have in common: one question, one answer, on a connection that can
//! be cut.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Result;
use axum::http::{HeaderMap, Request, Response, request};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::conductor::Injection;
use super::listener::Listening;
use super::plant::Slip;
use super::{Call, Conductor, Effect, Kind, LATE, LONGEST_HOLD, SLOW};

/// An answer's body.
pub(super) type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

/// A whole answer, with its trailers.
pub(super) type Whole = Response<WholeBody>;

/// A body that has come in whole.
#[derive(Debug, Clone)]
pub(super) struct WholeBody {
    pub(super) bytes: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

impl WholeBody {
    fn into_body(self) -> impl HttpBody<Data = Bytes, Error = Infallible> + Send + 'static {
        let trailers = self.trailers.map(Ok);
        Full::new(self.bytes).with_trailers(std::future::ready(trailers))
    }
}

/// Waits until an answer is there as a whole.
pub(super) async fn collect(answer: Response<Body>) -> Result<Whole> {
    let (parts, body) = answer.into_parts();
    let collected = body.collect().await?;
    let body = WholeBody {
        trailers: collected.trailers().cloned(),
        bytes: collected.to_bytes(),
    };
    Ok(Response::from_parts(parts, body))
}

/// The version of HTTP that a proxy speaks with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// What is particular to a protocol.
pub(super) trait Protocol: Send + Sync + 'static {
    /// What it speaks.
    const VERSION: Version;

    /// Names a call.
    fn name(&self, request: &request::Parts) -> Call;

    /// Has the server answer.
    fn forward(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Body>>> + Send;

    /// How the server refuses: for now, for good, because somebody was faster, or because it has
    /// forgotten.
    fn refusal(&self, kind: Kind, variant: u64) -> Response<Body>;

    /// Hands over what a subscription brings, with the faults of its deliveries.
    fn deliver(
        &self,
        call: &Call,
        answer: Response<Body>,
        connection: &Connection,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// An answer as if the call had been carried out, for a planted bug.
    fn pretend(
        &self,
        call: &Call,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Body>>> + Send;

    /// The answer of a server that has nothing of what is asked for, for a planted bug.
    fn nothing(&self, call: &Call) -> Response<Body>;

    /// An old answer to a call, from before the plan began, if one is kept.
    fn stale(&self, _request: &Request<Bytes>) -> Option<Response<Body>> {
        None
    }
}

/// The connection on which an exchange happens.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) conductor: Arc<Conductor>,
    pub(super) cut: CancellationToken,
}

impl Connection {
    /// Breaks the connection. Never returns: the task ends with it.
    pub(super) async fn hang_up(&self) -> ! {
        self.cut.cancel();
        std::future::pending().await
    }

    /// The program dies, and with it the connection.
    pub(super) async fn crash(&self) -> ! {
        self.conductor.kill();
        self.hang_up().await
    }
}

/// Listens for the program, and calls the server through `protocol`.
pub(super) async fn listen<P: Protocol>(
    protocol: Arc<P>,
    conductor: Arc<Conductor>,
) -> Result<Listening> {
    Listening::start(move |stream, cut| {
        let connection = Connection {
            conductor: Arc::clone(&conductor),
            cut,
        };
        serve(Arc::clone(&protocol), connection, stream)
    })
    .await
}

async fn serve<P: Protocol>(protocol: Arc<P>, connection: Connection, stream: TcpStream) {
    let service = service_fn(move |request| {
        let (protocol, connection) = (Arc::clone(&protocol), connection.clone());
        async move { Ok::<_, Infallible>(answer(&protocol, &connection, request).await) }
    });
    // An error is a connection that broke, which is what happens here.
    match P::VERSION {
        Version::One => {
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
        Version::Two => {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    }
}

async fn answer<P: Protocol>(
    protocol: &Arc<P>,
    connection: &Connection,
    request: Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        connection.hang_up().await
    };
    let call = protocol.name(&parts);
    let request = Request::from_parts(parts, body.to_bytes());
    match connection.conductor.meet(&call) {
        Some(injection) => strike(protocol, connection, (&call, request), injection).await,
        None => pass(protocol, connection, &call, request).await,
    }
}

/// Forwards without a fault, other than those of the deliveries.
async fn pass<P: Protocol>(
    protocol: &Arc<P>,
    connection: &Connection,
    call: &Call,
    request: Request<Bytes>,
) -> Response<Body> {
    // A server that can't be reached looks like one from here too.
    let Ok(answer) = carry(protocol, connection, call, request).await else {
        connection.hang_up().await
    };
    if call.effect == Effect::Subscribe {
        protocol.deliver(call, answer, connection).await
    } else {
        answer
    }
}

/// Forwards and waits for the whole answer.
async fn whole<P: Protocol>(
    protocol: &Arc<P>,
    connection: &Connection,
    call: &Call,
    request: Request<Bytes>,
) -> Whole {
    let collected = async { collect(carry(protocol, connection, call, request).await?).await };
    match collected.await {
        Ok(answer) => answer,
        Err(_) => connection.hang_up().await,
    }
}

/// Has the server answer, or whoever stands in for it when the program has a planted bug.
async fn carry<P: Protocol>(
    protocol: &Arc<P>,
    connection: &Connection,
    call: &Call,
    mut request: Request<Bytes>,
) -> Result<Response<Body>> {
    let Some((slip, number)) = connection.conductor.slip(call) else {
        return protocol.forward(request).await;
    };
    match slip {
        Slip::Never => protocol.pretend(call, request).await,
        Slip::SeesNothing => Ok(protocol.nothing(call)),
        Slip::Late => {
            let (protocol, late) = (Arc::clone(protocol), request.clone());
            let answer = protocol.pretend(call, request).await;
            tokio::spawn(async move {
                tokio::time::sleep(LATE).await;
                // Nobody is there any more to hear of an error.
                let _ = protocol.forward(late).await;
            });
            answer
        }
        Slip::Twice => {
            request.headers_mut().remove("idempotency-key");
            collect(protocol.forward(request.clone()).await?).await?;
            protocol.forward(request).await
        }
        slip => {
            request.headers_mut().remove("content-length");
            protocol
                .forward(request.map(|body| slip.distort(&body, number)))
                .await
        }
    }
}

async fn strike<P: Protocol>(
    protocol: &Arc<P>,
    connection: &Connection,
    (call, request): (&Call, Request<Bytes>),
    injection: Injection,
) -> Response<Body> {
    let Injection { kind, variant, .. } = injection;
    match kind {
        Kind::CrashBefore => connection.crash().await,
        Kind::CrashApplied => {
            whole(protocol, connection, call, request).await;
            connection.crash().await
        }
        Kind::CrashAfter => {
            let answer = whole(protocol, connection, call, request).await;
            let conductor = Arc::clone(&connection.conductor);
            then(answer, injection, move || conductor.kill())
        }
        Kind::TimeOut => {
            tokio::time::sleep(LONGEST_HOLD).await;
            injection.is_endless();
            connection.hang_up().await
        }
        Kind::ReplyLost => {
            whole(protocol, connection, call, request).await;
            connection.hang_up().await
        }
        Kind::Cut => connection.hang_up().await,
        Kind::Conflict if call.effect != Effect::Update => {
            whole(protocol, connection, call, request.clone()).await;
            in_full(whole(protocol, connection, call, request).await)
        }
        Kind::Retryable | Kind::Permanent | Kind::Conflict | Kind::Expired => {
            protocol.refusal(kind, variant)
        }
        Kind::Slow => {
            tokio::time::sleep(SLOW).await;
            pass(protocol, connection, call, request).await
        }
        Kind::Duplicated => {
            let first = whole(protocol, connection, call, request.clone()).await;
            whole(protocol, connection, call, request).await;
            in_full(first)
        }
        Kind::StaleList => match protocol.stale(&request) {
            Some(answer) => answer,
            None => pass(protocol, connection, call, request).await,
        },
    }
}

/// An answer that is complete already.
pub(super) fn in_full(answer: Whole) -> Response<Body> {
    answer.map(|body| {
        body.into_body()
            .map_err(|never: Infallible| match never {})
            .boxed_unsync()
    })
}

/// A body of these bytes.
pub(super) fn bytes(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// An answer after which something happens.
pub(super) fn then(
    answer: Whole,
    injection: Injection,
    action: impl FnOnce() + Send + 'static,
) -> Response<Body> {
    let action: Box<dyn FnOnce() + Send> = Box::new(action);
    answer.map(|body| {
        let body = Then {
            body: body.into_body().boxed_unsync(),
            action: Some((action, injection)),
        };
        body.map_err(|never: Infallible| match never {})
            .boxed_unsync()
    })
}

type Action = (Box<dyn FnOnce() + Send>, Injection);

/// A body that does something when it has been handed over.
struct Then {
    body: UnsyncBoxBody<Bytes, Infallible>,
    action: Option<Action>,
}

impl Drop for Then {
    fn drop(&mut self) {
        if let Some((action, injection)) = self.action.take() {
            // What was handed to the connection is still to be written to the socket.
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                action();
                drop(injection);
            });
        }
    }
}

impl HttpBody for Then {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Headers that are about one connection only, and would be lies on the next.
pub(super) fn strip(headers: &mut HeaderMap) {
    for name in [
        "connection",
        "keep-alive",
        "transfer-encoding",
        "upgrade",
        "host",
        "accept-encoding",
    ] {
        headers.remove(name);
    }
}
