//! The named inputs of a prompt.

use std::time::Duration;

use domain::{ActivityId, ContextKind, ContextSource, HeaderSource, HttpHeader, StateHubQuery};
use futures::future::try_join_all;
use runtime::Secret;
use serde_json::{Map, Value};

use crate::egress::Call;
use crate::error::StepError;
use crate::services::Services;
use crate::sinks::state_hub;

/// What fetching needs.
pub(crate) struct ContextCalls<'run> {
    /// What the process shares.
    pub(crate) services: &'run Services,
    /// The activity whose previous report may be asked for.
    pub(crate) activity: ActivityId,
    /// The W3C trace context of the calls.
    pub(crate) traceparent: Option<&'run str>,
    /// How long one call may take.
    pub(crate) timeout: Duration,
}

impl ContextCalls<'_> {
    /// All sources at once, by their names.
    pub(crate) async fn fetch(
        &self,
        sources: &[ContextSource],
    ) -> Result<Map<String, Value>, StepError> {
        let fetched = try_join_all(sources.iter().map(|source| async move {
            let value = self
                .fetch_one(&source.kind)
                .await
                .map_err(|error| StepError::Context {
                    name: source.name.clone(),
                    source: Box::new(error),
                })?;
            Ok::<_, StepError>((source.name.clone(), value))
        }))
        .await?;
        Ok(fetched.into_iter().collect())
    }

    async fn fetch_one(&self, kind: &ContextKind) -> Result<Value, StepError> {
        match kind {
            ContextKind::StateHub(query) => self.state_hub(query).await,
            ContextKind::Http { url, headers } => self.http(url, headers).await,
            ContextKind::PreviousReport => {
                let report = self.services.store.previous_report(self.activity).await?;
                Ok(Value::String(report.unwrap_or_default()))
            }
        }
    }

    async fn state_hub(&self, query: &StateHubQuery) -> Result<Value, StepError> {
        let mut url = state_hub::progress_url(self.services.settings.state_hub.as_ref())?;
        {
            let mut pairs = url.query_pairs_mut();
            if let Some(event_type) = &query.event_type {
                pairs.append_pair("event_type", event_type);
            }
            pairs.append_pair("limit", &query.limit.to_string());
        }
        self.get(
            Call::get(url, self.timeout),
            "read State Hub's progress entries",
        )
        .await
    }

    async fn http(&self, url: &str, headers: &[HttpHeader]) -> Result<Value, StepError> {
        let url = url.parse().map_err(|_| StepError::InvalidUrl("http.url"))?;
        let mut call = Call::get(url, self.timeout);
        for header in headers {
            let value = match &header.value {
                HeaderSource::Plain(text) => Secret::new(text),
                HeaderSource::Secret(reference) => self.services.secrets.read(reference).await?,
            };
            call.headers.push((header.name.clone(), value));
        }
        self.get(call, "read the URL").await
    }

    async fn get<'call>(
        &'call self,
        mut call: Call<'call>,
        action: &'static str,
    ) -> Result<Value, StepError> {
        call.traceparent = self.traceparent;
        let answer = self.services.egress.send(call).await;
        answer
            .and_then(|answer| answer.json_or_text())
            .map_err(StepError::call(action))
    }
}
