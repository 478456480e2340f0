//! The REST API of activity-core, for where there is no access to Kubernetes.

use std::time::Duration;

use clap::Args;
use contracts::rest::{
    ActivityDefinition, ActivityDefinitionUpdate, EventType, Feedback, FeedbackList, Health,
    NewActivityDefinition, NewFeedback, Problem as ProblemDocument, RunDetail, RunPage, Triggered,
};
use domain::{ActivityId, RunId};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::connections::PATIENCE;
use crate::exit::Problem;

/// The most bytes that are read of one answer.
const MAXIMUM_BYTES: usize = 32 * 1024 * 1024;

/// The header that makes a repeated trigger harmless.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Where the REST API is.
#[derive(Debug, Clone, Args)]
#[group(id = "api-arguments")]
pub(crate) struct ApiArguments {
    /// The REST API of activity-core, as http://host:port; asked where there is no access to
    /// Kubernetes.
    #[arg(long, env = "API_URL", value_name = "URL", help_heading = "REST API")]
    pub(crate) api_url: Option<String>,

    /// A Kubernetes token for the REST API.
    #[arg(
        long,
        env = "API_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        help_heading = "REST API"
    )]
    pub(crate) api_token: Option<String>,
}

/// Access to the REST API. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ApiClient {
    client: Client,
    base: String,
    token: Option<String>,
}

impl ApiClient {
    /// The API, if it is set; nothing is contacted yet.
    pub(crate) fn configure(arguments: &ApiArguments) -> Result<Option<Self>, Problem> {
        let Some(url) = &arguments.api_url else {
            return Ok(None);
        };
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Problem::usage(
                "API_URL is no URL of the REST API; write http://host:8010",
            ));
        }
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(PATIENCE)
            .build()
            .map_err(|error| Problem::failed(runtime::describe(&error)))?;
        Ok(Some(Self {
            client,
            base: url.trim_end_matches('/').to_owned(),
            token: arguments.api_token.clone(),
        }))
    }

    /// Every definition.
    pub(crate) async fn definitions(
        &self,
        namespace: Option<&str>,
    ) -> Result<Vec<ActivityDefinition>, Problem> {
        let query: Vec<(&str, &str)> = namespace
            .map(|name| ("namespace", name))
            .into_iter()
            .collect();
        let request = self
            .request(Method::GET, "/activity-definitions/")
            .query(&query);
        send(request).await
    }

    /// Every event type.
    pub(crate) async fn event_types(
        &self,
        namespace: Option<&str>,
    ) -> Result<Vec<EventType>, Problem> {
        let query: Vec<(&str, &str)> = namespace
            .map(|name| ("namespace", name))
            .into_iter()
            .collect();
        send(self.request(Method::GET, "/event-types/").query(&query)).await
    }

    /// Creates a definition.
    pub(crate) async fn create(
        &self,
        new: &NewActivityDefinition,
    ) -> Result<ActivityDefinition, Problem> {
        let request = self.request(Method::POST, "/activity-definitions/");
        send(request.json(new)).await
    }

    /// Changes a definition.
    pub(crate) async fn update(
        &self,
        activity: ActivityId,
        update: &ActivityDefinitionUpdate,
    ) -> Result<ActivityDefinition, Problem> {
        let path = format!("/activity-definitions/{activity}");
        send(self.request(Method::PUT, &path).json(update)).await
    }

    /// Starts a run; the same request id twice is one run.
    pub(crate) async fn trigger(
        &self,
        activity: ActivityId,
        request_id: &str,
    ) -> Result<Triggered, Problem> {
        let path = format!("/activity-definitions/{activity}/trigger");
        let request = self.request(Method::POST, &path);
        send(request.header(IDEMPOTENCY_KEY, request_id)).await
    }

    /// One page of an activity's runs, the newest first; `limit` is 500 at most.
    pub(crate) async fn runs(
        &self,
        activity: ActivityId,
        limit: u16,
        after: Option<&str>,
    ) -> Result<RunPage, Problem> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(after.map(|after| ("after", after.to_owned())));
        let path = format!("/activity-definitions/{activity}/runs");
        send(self.request(Method::GET, &path).query(&query)).await
    }

    /// A run; `None` when the ledger does not have it.
    pub(crate) async fn run(&self, run: RunId) -> Result<Option<RunDetail>, Problem> {
        let answer = send(self.request(Method::GET, &format!("/runs/{run}"))).await;
        match answer {
            Ok(detail) => Ok(Some(detail)),
            // The only way to be not found.
            Err(problem) if problem.exit == crate::Exit::Usage => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// Says what is wrong with a run's report; the same key twice is one feedback.
    pub(crate) async fn give_feedback(
        &self,
        (activity, run): (ActivityId, RunId),
        new: &NewFeedback,
        key: Uuid,
    ) -> Result<Feedback, Problem> {
        let path = format!("/activity-definitions/{activity}/runs/{run}/feedback");
        let request = self.request(Method::POST, &path);
        send(request.header(IDEMPOTENCY_KEY, key.to_string()).json(new)).await
    }

    /// What was said about a run's report.
    pub(crate) async fn feedback(
        &self,
        activity: ActivityId,
        run: RunId,
    ) -> Result<FeedbackList, Problem> {
        let path = format!("/activity-definitions/{activity}/runs/{run}/feedback");
        send(self.request(Method::GET, &path)).await
    }

    /// Whether the API's own dependencies are there.
    pub(crate) async fn health(&self) -> Result<Health, Problem> {
        let request = self.request(Method::GET, "/health");
        let answer = request.send().await.map_err(unreachable)?;
        // 503 has the same body, and says which dependency is missing.
        let body = answer.bytes().await.map_err(unreachable)?;
        parse(&body)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

async fn send<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Problem> {
    let mut answer = request.send().await.map_err(unreachable)?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MAXIMUM_BYTES {
            return Err(Problem::unknown(format!(
                "the REST API's answer is longer than {MAXIMUM_BYTES} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        parse(&body)
    } else {
        Err(refusal(status, &body))
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::unknown(format!(
            "the REST API's answer can't be read ({error}); is API_URL that of activity-core?"
        ))
    })
}

fn unreachable(error: reqwest::Error) -> Problem {
    Problem::unknown(format!(
        "the REST API can't be reached: {}",
        runtime::describe(&error.without_url())
    ))
}

/// What the API's refusal means to the user.
fn refusal(status: StatusCode, body: &[u8]) -> Problem {
    let detail = serde_json::from_slice::<ProblemDocument>(body)
        .map_or_else(|_| status.to_string(), |document| document.detail);
    match status.as_u16() {
        404 => Problem::usage(detail),
        401 => Problem::failed(format!("{detail}; set API_TOKEN to a Kubernetes token")),
        500.. => Problem::unknown(format!("the REST API answered {status}: {detail}")),
        _ => Problem::failed(format!("the REST API refused: {detail}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;

    #[test]
    fn a_refusal_is_told_in_the_apis_own_words() {
        let body = br#"{"type":"about:blank","title":"Unprocessable Entity","status":422,
            "detail":"trigger_config.timezone: unknown time zone \"Mars/Base\""}"#;
        let problem = refusal(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(problem.exit, Exit::Failed);
        assert!(problem.to_string().contains("Mars/Base"), "{problem}");
        let away = refusal(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(away.exit, Exit::Unknown);
    }
}
