//! Outbound HTTP: one client, allowed hosts only, redirects not followed, answers bounded.
//!
//! An error never shows more of a URL than its origin, because paths and queries may hold
//! secrets, and never the key that was sent.

mod allow_list;
mod resolver;

pub(crate) use allow_list::AllowList;
pub use allow_list::AllowedHosts;

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Response, redirect};
use runtime::Secret;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::error::printable;

/// The shortest part of a secret that is looked for in what the other side says.
const SHORTEST_SECRET: usize = 6;

/// The largest answer that is read, in bytes. It is also the limit of an instruction's answer,
/// with the JSON around it.
pub(crate) const MAXIMUM_ANSWER_BYTES: usize = 4 * 1024 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a refusal's body is shown, in characters.
const EXCERPT_CHARACTERS: usize = 300;

/// A call that did not lead to a usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{origin} is not an allowed host; add it to EGRESS_ALLOWED_HOSTS")]
    NotAllowed { origin: String },
    #[error("{origin} answered {status}: {excerpt}")]
    Status {
        origin: String,
        status: u16,
        excerpt: String,
    },
    #[error(
        "the answer of {origin} is larger than {MAXIMUM_ANSWER_BYTES} bytes, which is the limit; \
         ask for less"
    )]
    TooLarge { origin: String },
    #[error("the answer of {origin} is not the JSON that was expected")]
    Json {
        origin: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("failed to call {origin}")]
    Transport {
        origin: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("failed to set up the HTTP client")]
    Client(#[source] reqwest::Error),
    #[error("the header {name} can't be sent; a value may hold visible ASCII characters only")]
    Header { name: String },
}

impl Error {
    /// Whether trying the same again is of no use.
    pub(crate) const fn is_permanent(&self) -> bool {
        match self {
            Self::NotAllowed { .. } | Self::TooLarge { .. } | Self::Header { .. } => true,
            Self::Status { status, .. } => is_permanent_status(*status),
            Self::Json { .. } | Self::Transport { .. } | Self::Client(_) => false,
        }
    }

    /// Whether the other side understood the request and refuses what it says.
    pub(crate) const fn is_about_the_body(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: 400 | 422,
                ..
            }
        )
    }
}

/// Redirects are not followed, and a refused request stays refused; the exceptions say "later"
/// themselves: Request Timeout, Too Early, Too Many Requests.
const fn is_permanent_status(status: u16) -> bool {
    status < 500 && !matches!(status, 408 | 425 | 429)
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call<'call> {
    /// Where to.
    pub(crate) url: Url,
    /// What is sent; a call without a body is a GET, one with a body a POST.
    pub(crate) body: Option<Body<'call>>,
    /// How long the call may take, answer included.
    pub(crate) timeout: Duration,
    /// The W3C trace context.
    pub(crate) traceparent: Option<&'call str>,
    /// The key that makes a repeated call harmless.
    pub(crate) idempotency_key: Option<&'call str>,
    /// The key that the other side wants to see.
    pub(crate) bearer: Option<&'call Secret>,
    /// Other headers, some of them secret.
    pub(crate) headers: Vec<(String, Secret)>,
}

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) struct Body<'call> {
    /// Its media type.
    pub(crate) content_type: &'call str,
    /// Its text.
    pub(crate) text: String,
}

impl Call<'_> {
    /// A question.
    pub(crate) const fn get(url: Url, timeout: Duration) -> Self {
        Self {
            url,
            body: None,
            timeout,
            traceparent: None,
            idempotency_key: None,
            bearer: None,
            headers: Vec::new(),
        }
    }

    /// A message in JSON.
    pub(crate) fn post(url: Url, timeout: Duration, json: &Value) -> Self {
        let mut call = Self::get(url, timeout);
        call.body = Some(Body {
            content_type: "application/json",
            text: json.to_string(),
        });
        call
    }
}

/// An answer with a status of success.
#[derive(Debug)]
pub(crate) struct Answer {
    origin: String,
    is_json: bool,
    body: Vec<u8>,
}

impl Answer {
    /// The answer's JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|source| Error::Json {
            origin: self.origin.clone(),
            source,
        })
    }

    /// The answer as JSON where its media type says so, else as a text.
    pub(crate) fn json_or_text(&self) -> Result<Value, Error> {
        if self.is_json {
            self.json()
        } else {
            Ok(Value::String(
                String::from_utf8_lossy(&self.body).into_owned(),
            ))
        }
    }
}

/// The one way out.
#[derive(Debug, Clone)]
pub(crate) struct Egress {
    client: reqwest::Client,
    allowed: AllowList,
}

impl Egress {
    /// A client that calls the allowed hosts and nobody else. Proxies of the environment are not
    /// used: a proxy would be one more host.
    pub(crate) fn new(allowed: AllowList) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("activity-core/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .dns_resolver(resolver::GuardedResolver)
            .no_proxy()
            .build()
            .map_err(Error::Client)?;
        Ok(Self { client, allowed })
    }

    /// Calls, and reads the whole answer.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, Error> {
        let origin = call.url.origin().ascii_serialization();
        if !self.allowed.allows(&call.url) {
            return Err(Error::NotAllowed { origin });
        }
        let mut secrets: Vec<Secret> = call.bearer.cloned().into_iter().collect();
        secrets.extend(call.headers.iter().map(|(_, value)| value.clone()));
        let transport = |source: reqwest::Error| Error::Transport {
            origin: origin.clone(),
            source: source.without_url(),
        };
        let response = self.request(call)?.send().await.map_err(transport)?;
        let status = response.status();
        let is_json = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|media| media.contains("json"));
        let body = read_bounded(response, &origin).await?;
        if status.is_success() {
            return Ok(Answer {
                origin,
                is_json,
                body,
            });
        }
        Err(Error::Status {
            origin,
            status: status.as_u16(),
            excerpt: excerpt(&body, &secrets),
        })
    }

    fn request(&self, call: Call<'_>) -> Result<reqwest::RequestBuilder, Error> {
        let method = if call.body.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let mut request = self.client.request(method, call.url).timeout(call.timeout);
        if let Some(traceparent) = call.traceparent {
            request = request.header("traceparent", traceparent);
        }
        if let Some(key) = call.idempotency_key {
            request = request.header(contracts::state_hub::IDEMPOTENCY_KEY, key);
        }
        if let Some(bearer) = call.bearer {
            let value = Secret::new(&format!("Bearer {}", bearer.expose()));
            request = request.header(AUTHORIZATION, header_value("authorization", &value)?);
        }
        for (name, value) in &call.headers {
            let known = HeaderName::from_bytes(name.as_bytes());
            let known = known.map_err(|_| Error::Header { name: name.clone() })?;
            request = request.header(known, header_value(name, value)?);
        }
        if let Some(body) = call.body {
            request = request
                .header(CONTENT_TYPE, body.content_type)
                .body(body.text);
        }
        Ok(request)
    }
}

/// A value that HTTP libraries do not show either.
fn header_value(name: &str, value: &Secret) -> Result<HeaderValue, Error> {
    let value = HeaderValue::from_str(value.expose());
    let mut value = value.map_err(|_| Error::Header {
        name: name.to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read_bounded(mut response: Response, origin: &str) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    loop {
        let chunk = response.chunk().await.map_err(|source| Error::Transport {
            origin: origin.to_owned(),
            source: source.without_url(),
        })?;
        let Some(chunk) = chunk else {
            return Ok(body);
        };
        if body.len() + chunk.len() > MAXIMUM_ANSWER_BYTES {
            return Err(Error::TooLarge {
                origin: origin.to_owned(),
            });
        }
        body.extend_from_slice(&chunk);
    }
}

/// The beginning of a refusal, without the secrets in case that the other side repeats them.
fn excerpt(body: &[u8], secrets: &[Secret]) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    // The scheme before a key is repeated less often than the key.
    let parts = secrets
        .iter()
        .flat_map(|secret| secret.expose().split_whitespace())
        .filter(|part| part.len() >= SHORTEST_SECRET && *part != "Bearer");
    for part in parts {
        text = text.replace(part, "…");
    }
    printable(text.trim(), EXCERPT_CHARACTERS)
}

/// The URL of `path` below a base URL, whether or not the base ends in a slash.
pub(crate) fn endpoint(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let joined = format!(
        "{}/{}",
        base.path().trim_end_matches('/'),
        path.trim_start_matches('/')
    );
    url.set_path(&joined);
    url
}

#[cfg(test)]
mod tests;
