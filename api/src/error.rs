//! What can go wrong with a request, and how it is answered: by a problem document (RFC 9457),
//! always. Callers learn what they can do; what is internal goes to the log, under the id that
//! the answer carries as its `instance`.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use contracts::rest::Problem;
use uuid::Uuid;

use crate::kubernetes_refusal;

/// When to try again after an outage, in seconds.
const OUTAGE_SECONDS: u32 = 5;

/// The media type of problem documents.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// A request that is not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request is at fault, or somebody else was faster.
    #[error("{}", .0.detail)]
    Refused(Refusal),
    /// Kubernetes refused or could not be reached.
    #[error("failed to {operation} in Kubernetes")]
    Kubernetes {
        /// What was to be done.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// Kubernetes did not answer in time.
    #[error("failed to {operation} in Kubernetes: no answer in time")]
    KubernetesTimeout {
        /// What was to be done.
        operation: &'static str,
    },
    /// The data base failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Temporal failed.
    #[error(transparent)]
    Temporal(#[from] temporal::Error),
    /// There has been no connection to Temporal since the start.
    #[error("not connected to Temporal yet")]
    TemporalAway,
    /// The whole request took too long.
    #[error("no answer within {seconds} s")]
    Timeout {
        /// The limit.
        seconds: u64,
    },
    /// Something that can't be, such as a stored object without a UID.
    #[error("internal error: {0}")]
    Internal(String),
}

/// A negative answer: a status, what is wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// For the caller.
    pub(crate) detail: String,
    /// The field, parameter or header that is wrong.
    pub(crate) field: Option<String>,
    /// A header that belongs to the status.
    pub(crate) header: Option<StatusHeader>,
}

/// A header that belongs to a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusHeader {
    /// When to try again, in seconds.
    RetryAfter(u32),
    /// How to authenticate.
    Challenge,
}

impl StatusHeader {
    fn name_and_value(self) -> (HeaderName, HeaderValue) {
        match self {
            Self::RetryAfter(seconds) => (header::RETRY_AFTER, HeaderValue::from(seconds)),
            Self::Challenge => (
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"activity-core\""),
            ),
        }
    }
}

impl Refusal {
    /// A refusal with a status and a sentence.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            field: None,
            header: None,
        }
    }

    /// A body or parameter with a wrong value.
    pub(crate) fn invalid(field: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("{field}: {problem}"),
        )
        .about(field)
    }

    /// A dependency's outage.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .with(StatusHeader::RetryAfter(OUTAGE_SECONDS))
    }

    /// Names what is wrong.
    #[must_use]
    pub(crate) fn about(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Adds the header that belongs to the status.
    #[must_use]
    pub(crate) const fn with(mut self, header: StatusHeader) -> Self {
        self.header = Some(header);
        self
    }

    /// Adds the header that belongs to the status, if there is one.
    pub(crate) fn add_header(&self, headers: &mut HeaderMap) {
        headers.extend(self.header.map(StatusHeader::name_and_value));
    }

    fn into_response(self, instance: Option<Uuid>) -> Response {
        let header = self.header;
        let problem = Problem {
            problem_type: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            field: self.field,
            instance: instance.map(|id| format!("urn:uuid:{id}")),
        };
        let mut response = (self.status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.extend(header.map(StatusHeader::name_and_value));
        response
    }
}

/// Several who write `what` at the same time, again and again.
pub(crate) fn contended(what: &str) -> Refusal {
    Refusal::new(
        StatusCode::CONFLICT,
        format!("others change {what} all the time; GET it and try again"),
    )
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.into_response(None)
    }
}

impl Error {
    /// What the caller is told. Nothing of an internal cause is in it.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal.clone(),
            Self::Kubernetes { source, .. } => kubernetes_refusal::of(source),
            Self::KubernetesTimeout { .. } => kubernetes_refusal::unreachable(),
            Self::Store(store::Error::Unreadable { .. }) | Self::Internal(_) => Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the API failed; its log has the reason under this problem's instance",
            ),
            Self::Store(_) => Refusal::unavailable(
                "the run ledger (Postgres) is not available; try again, and see GET /health",
            ),
            Self::Temporal(_) | Self::TemporalAway => Refusal::unavailable(
                "Temporal is not available; try again, with the same Idempotency-Key if you sent \
                 one, and see GET /health",
            ),
            Self::Timeout { seconds } => Refusal::new(
                StatusCode::GATEWAY_TIMEOUT,
                format!(
                    "no answer within {seconds} s (API_REQUEST_TIMEOUT_SECONDS); what was asked \
                     for may have happened all the same, so look before you try again"
                ),
            ),
        }
    }
}

impl Error {
    /// What the caller is told, and the id under which the log has the cause where the API itself
    /// failed.
    pub(crate) fn told(&self) -> (Refusal, Option<Uuid>) {
        let refusal = self.refusal();
        if !refusal.status.is_server_error() {
            return (refusal, None);
        }
        let instance = Uuid::new_v4();
        tracing::error!(
            %instance,
            status = refusal.status.as_u16(),
            error = runtime::describe(&self),
            "failed to answer a request"
        );
        (refusal, Some(instance))
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (refusal, instance) = self.told();
        refusal.into_response(instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_document_has_its_media_type_and_headers() {
        let response = Error::TemporalAway.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
    }

    #[test]
    fn internal_causes_are_not_told() {
        let secret = "column \"secret\" of relation x";
        for error in [
            Error::Internal(secret.to_owned()),
            Error::Store(store::Error::Unreadable {
                table: "activity_runs",
                problem: secret.to_owned(),
            }),
        ] {
            let refusal = error.refusal();
            assert_eq!(refusal.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(!refusal.detail.contains("secret"), "{}", refusal.detail);
        }
    }
}
