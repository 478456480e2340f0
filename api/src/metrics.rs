//! How many requests there were, how they were answered and how long that took.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};
use runtime::Registry;

use crate::state::ApiState;

/// The route of requests that match none.
const UNMATCHED: &str = "unmatched";

/// Upper bounds in seconds, around the time that one write to Kubernetes takes.
const BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The counts of requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RequestMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
}

/// One kind of request, for the counts that are to exist before the first of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    /// The method.
    pub(crate) method: &'static str,
    /// The route's template.
    pub(crate) route: String,
}

impl RequestMetrics {
    /// Registers the metrics. The counts of every operation begin at zero, so that the first
    /// failure is an increase.
    pub(crate) fn register(
        registry: &Registry,
        operations: &[Operation],
    ) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(
                "activity_core_api_requests_total",
                "Requests that were answered, by method, route and class of status.",
            ),
            &["method", "route", "status_class"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "activity_core_api_request_duration_seconds",
                "How long requests took to be answered.",
            )
            .buckets(BUCKETS.to_vec()),
            &["method", "route"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        for Operation { method, route } in operations {
            for class in ["2xx", "4xx", "5xx"] {
                requests.with_label_values(&[*method, label(route), class]);
            }
        }
        Ok(Self { requests, duration })
    }

    fn record(&self, method: &Method, route: &str, status: StatusCode, elapsed: Duration) {
        let (method, route) = (method_label(method), label(route));
        self.requests
            .with_label_values(&[method, route, class(status)])
            .inc();
        self.duration
            .with_label_values(&[method, route])
            .observe(elapsed.as_secs_f64());
    }
}

/// The counts of notes to State Hub. Cheap to clone.
#[derive(Clone)]
pub(crate) struct NoteMetrics(IntCounterVec);

impl NoteMetrics {
    /// Registers the metric.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let notes = IntCounterVec::new(
            Opts::new(
                "activity_core_api_feedback_notes_total",
                "Tries to tell State Hub of feedback on runs, by result: sent, exists or failed.",
            ),
            &["result"],
        )?;
        registry.register(Box::new(notes.clone()))?;
        for result in ["sent", "exists", "failed"] {
            notes.with_label_values(&[result]);
        }
        Ok(Self(notes))
    }

    /// Counts one try.
    pub(crate) fn count(&self, result: &'static str) {
        self.0.with_label_values(&[result]).inc();
    }
}

/// Counts and logs each request.
pub(crate) async fn observe(
    State(state): State<ApiState>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let (status, elapsed) = (response.status(), begun.elapsed());
    state.metrics.record(&method, route, status, elapsed);
    tracing::debug!(
        %method,
        route,
        status = status.as_u16(),
        milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        "answered a request"
    );
    response
}

/// One label for a route, with or without the slash at its end.
fn label(route: &str) -> &str {
    match route.trim_end_matches('/') {
        "" => route,
        trimmed => trimmed,
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// Methods are the caller's to choose; only known ones become a label.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_whatever_callers_send() {
        let registry = Registry::new();
        let metrics = RequestMetrics::register(&registry, &[]).unwrap();
        for method in ["GET", "BREW", "FETCH"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            metrics.record(&method, "/a/", StatusCode::OK, Duration::ZERO);
            metrics.record(&method, "/a", StatusCode::OK, Duration::ZERO);
        }
        let families = registry.gather();
        let counts = families
            .iter()
            .find(|family| family.name() == "activity_core_api_requests_total")
            .unwrap();
        assert_eq!(counts.get_metric().len(), 2);
    }

    #[test]
    fn every_count_is_there_before_the_first_request() {
        let registry = Registry::new();
        let operation = Operation {
            method: "POST",
            route: "/activity-definitions/".into(),
        };
        RequestMetrics::register(&registry, &[operation]).unwrap();
        let families = registry.gather();
        let counts = families[0].get_metric();
        assert_eq!(counts.len(), 3);
        assert!(
            counts
                .iter()
                .all(|count| count.get_counter().get_value() == 0.0)
        );
    }
}
