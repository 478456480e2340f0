//! State Hub's progress entries, and how they are read.

use std::time::Duration;

use contracts::state_hub::Progress;
use domain::RunId;
use domain::verification::Seen;
use reqwest::{Client, Response, StatusCode};
use runtime::describe;
use url::Url;

use crate::PATIENCE;

/// The most bytes that are read of one answer.
const MAXIMUM_BYTES: usize = 4 * 1024 * 1024;

/// The most entries that are asked for: more than one of a run means that it was entered twice.
const MAXIMUM_ENTRIES: &str = "100";

/// A text that is no URL of a State Hub.
#[derive(Debug, thiserror::Error)]
pub enum InvalidStateHubUrl {
    /// No URL at all.
    #[error("STATE_HUB_URL is no URL; write http://host:port")]
    Syntax(#[source] url::ParseError),
    /// Not HTTP.
    #[error("STATE_HUB_URL begins with {scheme}:; write http://host:port or https://host:port")]
    Scheme {
        /// What it begins with.
        scheme: String,
    },
    /// The HTTP client can't be made.
    #[error("failed to set up the HTTP client for State Hub")]
    Client(#[source] reqwest::Error),
}

/// Access to State Hub. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StateHub {
    pub(crate) client: Client,
    pub(crate) base: Url,
}

impl StateHub {
    /// Access to the State Hub at `url` (`STATE_HUB_URL`); nothing is contacted yet.
    pub fn new(url: &str) -> Result<Self, InvalidStateHubUrl> {
        let mut base = Url::parse(url).map_err(InvalidStateHubUrl::Syntax)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(InvalidStateHubUrl::Scheme {
                scheme: base.scheme().to_owned(),
            });
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(PATIENCE)
            .build()
            .map_err(InvalidStateHubUrl::Client)?;
        Ok(Self { client, base })
    }

    /// The runs in State Hub's entries of `event_type` that are about `run`. Whether the filters
    /// were heeded is not taken on trust: the event type is looked at here, the run by the caller.
    pub async fn runs_with_progress(&self, event_type: &str, run: RunId) -> Seen<Vec<RunId>> {
        let entries = self.progress(event_type, run).await?;
        Ok(entries
            .iter()
            .filter(|entry| entry.event_type == event_type)
            .filter_map(|entry| entry.run_id().map(RunId::new))
            .collect())
    }

    /// Asks State Hub whether it is well (`GET /health`); an error says why not.
    pub async fn health(&self) -> Seen<()> {
        let answer = self.get("health", &[]).await?;
        refuse_failure(&answer, "GET /health")
    }

    /// The entries that State Hub lists for an event type and a run; filters that it does not know
    /// it leaves out.
    pub(crate) async fn progress(&self, event_type: &str, run: RunId) -> Seen<Vec<Progress>> {
        let answer = self
            .get(
                "progress/",
                &[
                    ("event_type", event_type),
                    ("activity_core_run_id", &run.to_string()),
                    ("limit", MAXIMUM_ENTRIES),
                ],
            )
            .await?;
        refuse_failure(&answer, "GET /progress/")?;
        let body = read_bounded(answer).await?;
        serde_json::from_slice(&body).map_err(|error| {
            format!("State Hub's answer to GET /progress/ is no list of progress entries: {error}")
        })
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Seen<Response> {
        let url = self.base.join(path).map_err(|error| describe(&error))?;
        self.client
            .get(url)
            .query(query)
            .send()
            .await
            .map_err(|error| self.unreachable(error))
    }

    pub(crate) fn unreachable(&self, error: reqwest::Error) -> String {
        format!(
            "State Hub at {} can't be reached: {}",
            self.address(),
            describe(&error.without_url())
        )
    }

    /// Where it is, without credentials.
    fn address(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        match self.base.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}

pub(crate) fn refuse_failure(answer: &Response, request: &str) -> Seen<()> {
    let status: StatusCode = answer.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("State Hub answered {status} to {request}"))
    }
}

pub(crate) async fn read_bounded(mut answer: Response) -> Seen<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let chunk = answer.chunk().await;
        let chunk = chunk.map_err(|error| {
            format!(
                "State Hub's answer broke off: {}",
                describe(&error.without_url())
            )
        })?;
        let Some(chunk) = chunk else {
            return Ok(body);
        };
        if body.len() + chunk.len() > MAXIMUM_BYTES {
            return Err(format!(
                "State Hub's answer is longer than {MAXIMUM_BYTES} bytes"
            ));
        }
        body.extend_from_slice(&chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_the_url_is_kept() {
        runtime::install_cryptography();
        let hub = StateHub::new("http://hub.example/tools/hub").unwrap();
        assert_eq!(
            hub.base.join("progress/").unwrap().as_str(),
            "http://hub.example/tools/hub/progress/"
        );
    }

    #[test]
    fn a_wrong_url_is_named_by_its_variable_without_its_value() {
        runtime::install_cryptography();
        for wrong in ["hub:secret", "nonsense", "ftp://user:secret@hub"] {
            let error = StateHub::new(wrong).unwrap_err().to_string();
            assert!(error.contains("STATE_HUB_URL"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
