//! `POST /activity-definitions/{id}/trigger`: a run on request.

use std::pin::Pin;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use contracts::rest::Triggered;
use crds::ActivityDefinition;
use domain::ActivityId;
use temporal::{RunStart, Started, Temporal};
use tokio::time::Instant;
use utoipa::IntoParams;
use uuid::Uuid;

use super::responses::{Common, OfOne};
use crate::access::Caller;
use crate::error::{Error, Refusal};
use crate::extract::ActivityIdPath;
use crate::state::ApiState;

/// The header with the request's id.
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The longest request id, in characters: it becomes part of a workflow's id.
const LONGEST_KEY: usize = 200;

/// How long a definition that was made a moment ago may take to reach the workers' mirror.
const MIRROR_TIMEOUT: Duration = Duration::from_secs(5);

/// The time between two looks at the mirror.
const MIRROR_INTERVAL: Duration = Duration::from_millis(50);

/// Which request it is.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by utoipa only; see `request_id`")]
pub(super) struct RequestHeader {
    /// The request's id, such as a UUID.
    #[param(
        rename = "Idempotency-Key",
        required = false,
        min_length = 1,
        max_length = 200,
        pattern = "^[!-~]+$"
    )]
    idempotency_key: String,
}

/// Run an activity now.
///
/// Disabled definitions run, too. The same `Idempotency-Key` twice is one run, however much time
/// lies between; without it each request is a run of its own. Needs the right to `update` the
/// definition: whoever may change what runs, may have it run.
#[utoipa::path(
    post,
    path = "/activity-definitions/{id}/trigger",
    operation_id = "triggerActivityDefinition",
    tag = "activity definitions",
    params(
        ("id" = Uuid, Path, description = "The activity's id"),
        RequestHeader,
    ),
    responses(
        (status = 202, description = "The run is started, or was before.", body = Triggered),
        Common, OfOne,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn trigger(
    State(state): State<ApiState>,
    caller: Caller,
    ActivityIdPath(id): ActivityIdPath,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Triggered>), Error> {
    let request_id = match request_id(&headers)? {
        Some(given) => given,
        None => Uuid::new_v4().to_string(),
    };
    let found = state.permitted(&caller, "update", id).await?;
    let temporal = state.temporal.get()?;
    await_mirror(&state, id, &found).await?;
    let start = RunStart::by_request(id, &found.display_name(), &request_id);
    let started = start_run(temporal, &start).await?;
    tracing::info!(
        caller = caller.name(),
        activity = %id,
        run = %start.run_id,
        request_id,
        ?started,
        "triggered a run"
    );
    let triggered = Triggered {
        workflow_id: start.workflow_id,
        run_id: start.run_id.as_uuid(),
        request_id,
    };
    Ok((StatusCode::ACCEPTED, Json(triggered)))
}

/// Starts the run. The future is boxed because the compiler can't see that it is `Send` where it is
/// a part of a handler's (rust-lang/rust#110338).
fn start_run<'a>(
    temporal: &'a Temporal,
    start: &'a RunStart,
) -> Pin<Box<dyn Future<Output = Result<Started, temporal::Error>> + Send + 'a>> {
    Box::pin(temporal.start_run(start))
}

/// The caller's id for the request, if there is one.
pub(super) fn request_id(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    // The header is a structured string by its draft standard, that is in quotes; few send them.
    let key = value.to_str().unwrap_or_default().trim();
    let key = key
        .strip_prefix('"')
        .and_then(|key| key.strip_suffix('"'))
        .unwrap_or(key);
    let is_right =
        (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_right {
        Ok(Some(key.to_owned()))
    } else {
        Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            format!(
                "{IDEMPOTENCY_KEY}: send 1 to {LONGEST_KEY} visible ASCII characters, such as a \
                 UUID, or leave it out"
            ),
        )
        .about(IDEMPOTENCY_KEY))
    }
}

/// How far the mirror is, from which workers read what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mirror {
    /// As far as the definition.
    Current,
    /// It has an older form of the definition.
    Older,
    /// It does not have the definition.
    Absent,
}

fn mirror(row: Option<&store::MirrorRow>, found: &ActivityDefinition) -> Mirror {
    match row {
        None => Mirror::Absent,
        Some(row) if row.generation >= found.metadata.generation.unwrap_or_default() => {
            Mirror::Current
        }
        Some(_) => Mirror::Older,
    }
}

/// Waits until a worker would find the definition, so that a run right after a POST does not fail.
async fn await_mirror(
    state: &ApiState,
    id: ActivityId,
    found: &ActivityDefinition,
) -> Result<(), Error> {
    let deadline = Instant::now() + MIRROR_TIMEOUT;
    loop {
        let row = match state.store.definition(id).await {
            Ok(row) => row,
            // A worker waits for Postgres as well, and Temporal keeps the run until then.
            Err(error) => {
                let error = runtime::describe(&error);
                tracing::warn!(error, activity = %id, "triggers a run without the mirror");
                return Ok(());
            }
        };
        let seen = mirror(row.as_ref(), found);
        if seen == Mirror::Current {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return match seen {
                // The operator may refuse the spec; the last good one is in force.
                Mirror::Current | Mirror::Older => Ok(()),
                Mirror::Absent => Err(not_in_force().into()),
            };
        }
        tokio::time::sleep(MIRROR_INTERVAL).await;
    }
}

fn not_in_force() -> Refusal {
    Refusal::unavailable(
        "the definition is not in force yet: the operator has not taken it up, or refuses it; see \
         `kubectl describe actdef`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: &str) -> Result<Option<String>, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, value.parse().unwrap());
        request_id(&headers)
    }

    #[test]
    fn a_request_id_is_taken_with_and_without_quotes() {
        assert_eq!(request_id(&HeaderMap::new()), Ok(None));
        assert_eq!(key("deploy-42"), Ok(Some("deploy-42".into())));
        assert_eq!(key("\"deploy-42\""), Ok(Some("deploy-42".into())));
    }

    #[test]
    fn an_unusable_request_id_is_refused_and_named() {
        for value in ["", " ", "a b", "\"\"", "\u{e4}", &"x".repeat(201)] {
            let refused = key(value).unwrap_err();
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{value}");
            assert_eq!(refused.field.as_deref(), Some(IDEMPOTENCY_KEY));
        }
    }
}
