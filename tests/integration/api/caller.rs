//! Somebody who calls the API, and what is answered.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

/// Somebody who calls the API.
pub(super) struct Caller {
    client: Client,
    url: String,
    token: Option<String>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    /// Null where it is no JSON.
    pub(super) body: Value,
}

impl Answer {
    /// The problem document, which every failure must be.
    pub(super) fn problem(&self) -> &Value {
        let kind = self.headers.get("content-type");
        let kind = kind.and_then(|value| value.to_str().ok());
        assert_eq!(kind, Some("application/problem+json"), "{}", self.text);
        assert_eq!(self.body["status"], self.status.as_u16());
        &self.body
    }

    /// What the problem document says is wrong.
    pub(super) fn detail(&self) -> &str {
        self.problem()["detail"].as_str().unwrap()
    }
}

impl Caller {
    /// Calls the API at `url`.
    pub(super) fn new(url: &str) -> Result<Self> {
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_mins(1))
            .build()?;
        Ok(Self {
            client,
            url: url.to_owned(),
            token: None,
        })
    }

    /// The same with a Kubernetes token.
    pub(super) fn with_token(&self, token: &str) -> Self {
        Self {
            client: self.client.clone(),
            url: self.url.clone(),
            token: Some(token.to_owned()),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer> {
        self.ask(self.client.get(self.at(path))).await
    }

    /// As `curl -X POST -H "Content-Type: application/json" -d BODY`.
    pub(super) async fn post(&self, path: &str, body: &str) -> Result<Answer> {
        self.ask(json(self.client.post(self.at(path)), body)).await
    }

    /// As `curl -X PUT -H "Content-Type: application/json" -d BODY`.
    pub(super) async fn put(&self, path: &str, body: &str) -> Result<Answer> {
        self.ask(json(self.client.put(self.at(path)), body)).await
    }

    /// The same on the condition that the definition still has the tag.
    pub(super) async fn put_if(&self, path: &str, tag: &str, body: &str) -> Result<Answer> {
        let request = json(self.client.put(self.at(path)), body);
        self.ask(request.header("If-Match", tag)).await
    }

    /// A request with headers and a body.
    pub(super) async fn send_with(
        &self,
        method: Method,
        path: &str,
        (headers, body): (&[(&str, &str)], &str),
    ) -> Result<Answer> {
        let request = self.client.request(method, self.at(path));
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        self.ask(request.body(body.to_owned())).await
    }

    /// A request without a body.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let request = self.client.request(method, self.at(path));
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        self.ask(request).await
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Answer> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await.context("no answer")?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Answer {
            status,
            headers,
            text,
            body,
        })
    }
}

fn json(request: reqwest::RequestBuilder, body: &str) -> reqwest::RequestBuilder {
    request
        .header("Content-Type", "application/json")
        .body(body.to_owned())
}
