//! `/activity-definitions/{id}/runs/{run_id}/feedback`: what people say about a run's report.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use contracts::rest::{Feedback, FeedbackList, NewFeedback, Problem};
use domain::RunId;
use store::Entered;
use uuid::Uuid;

use super::responses::{Common, OfBody, OfOne};
use super::trigger::{IDEMPOTENCY_KEY, RequestHeader, request_id};
use crate::access::Caller;
use crate::conversion;
use crate::error::{Error, Refusal};
use crate::extract::{ActivityRunPath, JsonBody};
use crate::state::ApiState;

/// The longest comment, in characters.
const LONGEST_COMMENT: usize = 4000;

/// Say what is wrong with a run's report.
///
/// The feedback becomes a State Hub progress note of the type `calibration_feedback`, whose
/// `detail.activity_core_run_id` is the run, and never a page. It is stored first and then sent,
/// again and again until State Hub has it. The same `Idempotency-Key` twice is one feedback. Needs
/// the right to `update` the definition.
#[utoipa::path(
    post,
    path = "/activity-definitions/{id}/runs/{run_id}/feedback",
    operation_id = "giveFeedback",
    tag = "runs",
    params(
        ("id" = Uuid, Path, description = "The activity's id"),
        ("run_id" = Uuid, Path, description = "The run (activity_core_run_id)"),
        RequestHeader,
    ),
    request_body(
        content = NewFeedback,
        example = json!({
            "kind": "Noisy",
            "comment": "Three of the five recommendations were parked on purpose."
        })
    ),
    responses(
        (status = 200, description = "This feedback was given before.", body = Feedback),
        (status = 201, description = "The feedback is stored.", body = Feedback),
        Common, OfBody, OfOne,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn give(
    State(state): State<ApiState>,
    caller: Caller,
    path: ActivityRunPath,
    headers: HeaderMap,
    JsonBody(new): JsonBody<NewFeedback>,
) -> Result<(StatusCode, Json<Feedback>), Error> {
    let key = request_id(&headers)?;
    check_comment(&new)?;
    state.permitted(&caller, "update", path.activity).await?;
    let (status, feedback) = enter(&state, &caller, path, (key.as_deref(), new)).await?;
    Ok((status, Json(feedback)))
}

/// Stores feedback and has its note sent.
pub(crate) async fn enter(
    state: &ApiState,
    caller: &Caller,
    path: ActivityRunPath,
    (key, new): (Option<&str>, NewFeedback),
) -> Result<(StatusCode, Feedback), Error> {
    run_of(state, path).await?;
    let wanted = store::NewFeedback {
        id: identity(path.run, key),
        run: path.run,
        kind: new.kind.into(),
        comment: new.comment,
        author: match caller {
            Caller::Anybody => None,
            Caller::User(_) => Some(caller.name().to_owned()),
        },
    };
    let (status, feedback) = match state.store.enter_feedback(&wanted).await? {
        Entered::New(feedback) => (StatusCode::CREATED, feedback),
        Entered::Before(feedback)
            if (feedback.kind, &feedback.comment) == (wanted.kind, &wanted.comment) =>
        {
            (StatusCode::OK, feedback)
        }
        Entered::Before(_) => {
            return Err(Refusal::invalid(
                IDEMPOTENCY_KEY,
                "other feedback on this run has it; send a new one for another feedback",
            )
            .into());
        }
    };
    state.notes.wake();
    tracing::info!(
        caller = caller.name(),
        activity = %path.activity,
        run = %path.run,
        feedback = %feedback.id,
        "stored feedback"
    );
    Ok((
        status,
        conversion::feedback(feedback, state.notes.are_sent()),
    ))
}

/// List the feedback on a run.
///
/// The oldest first. Needs the right to `get` the definition; that of a deleted one in all
/// namespaces.
#[utoipa::path(
    get,
    path = "/activity-definitions/{id}/runs/{run_id}/feedback",
    operation_id = "listFeedback",
    tag = "runs",
    params(
        ("id" = Uuid, Path, description = "The activity's id"),
        ("run_id" = Uuid, Path, description = "The run (activity_core_run_id)"),
    ),
    responses(
        (status = 200, description = "The feedback.", body = FeedbackList),
        (status = 404, description = "The activity has no such run.", body = Problem,
         content_type = "application/problem+json"),
        Common,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    path: ActivityRunPath,
) -> Result<Json<FeedbackList>, Error> {
    let definition = state.definitions.find(path.activity).await?;
    state
        .authorize_history(&caller, definition.as_ref())
        .await?;
    run_of(&state, path).await?;
    let items = given(&state, path.run).await?;
    Ok(Json(FeedbackList { items }))
}

/// The feedback on a run.
pub(crate) async fn given(state: &ApiState, run: RunId) -> Result<Vec<Feedback>, Error> {
    let stored = state.store.feedback(run).await?;
    let are_sent = state.notes.are_sent();
    let shown = stored
        .into_iter()
        .map(|feedback| conversion::feedback(feedback, are_sent));
    Ok(shown.collect())
}

/// Refuses a run that the ledger does not have, or has of another activity.
async fn run_of(state: &ApiState, path: ActivityRunPath) -> Result<(), Error> {
    let run = state.store.run(path.run).await?;
    if run.is_some_and(|run| run.activity == path.activity) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::NOT_FOUND,
        "the ledger has no run with this id of this activity; \
         GET /activity-definitions/{id}/runs lists those that there are",
    )
    .about("run_id")
    .into())
}

/// The identity of feedback: the same for the same key, else new.
fn identity(run: RunId, key: Option<&str>) -> Uuid {
    key.map_or_else(Uuid::new_v4, |key| {
        Uuid::new_v5(&run.as_uuid(), format!("feedback/{key}").as_bytes())
    })
}

/// Refuses a comment that can't be kept, or is missing.
pub(crate) fn check_comment(new: &NewFeedback) -> Result<(), Refusal> {
    let Some(comment) = &new.comment else {
        return match new.kind {
            contracts::rest::FeedbackKind::Other => Err(Refusal::invalid(
                "comment",
                "is missing; with the kind Other it says what is wrong",
            )),
            _ => Ok(()),
        };
    };
    let length = comment.chars().count();
    let is_text = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\r' | '\t');
    if comment.trim().is_empty() {
        Err(Refusal::invalid(
            "comment",
            "is empty; leave it out instead",
        ))
    } else if length > LONGEST_COMMENT {
        Err(Refusal::invalid(
            "comment",
            format!("has {length} characters; at most {LONGEST_COMMENT} are accepted"),
        ))
    } else if !comment.chars().all(is_text) {
        Err(Refusal::invalid(
            "comment",
            "has a control character; only line breaks and tabulators are accepted",
        ))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use contracts::rest::FeedbackKind;

    use super::*;

    fn refused(kind: FeedbackKind, comment: Option<&str>) -> Option<String> {
        let comment = comment.map(str::to_owned);
        let refusal = check_comment(&NewFeedback { kind, comment }).err()?;
        refusal.field
    }

    #[test]
    fn a_comment_is_text_and_needed_where_nothing_else_says_what_is_wrong() {
        assert_eq!(refused(FeedbackKind::Noisy, None), None);
        assert_eq!(refused(FeedbackKind::TooLong, Some("two\nlines")), None);
        assert_eq!(refused(FeedbackKind::Other, Some("日報")), None);
        let long = "x".repeat(4001);
        for comment in [Some(""), Some(" \n"), Some("a\0b"), Some(long.as_str())] {
            let field = refused(FeedbackKind::Noisy, comment);
            assert_eq!(field.as_deref(), Some("comment"), "{comment:?}");
        }
        assert_eq!(
            refused(FeedbackKind::Other, None).as_deref(),
            Some("comment")
        );
    }

    #[test]
    fn the_same_key_is_the_same_feedback_on_the_same_run_only() {
        let (one, other) = (
            RunId::new(Uuid::from_u128(1)),
            RunId::new(Uuid::from_u128(2)),
        );
        assert_eq!(identity(one, Some("a")), identity(one, Some("a")));
        assert_ne!(identity(one, Some("a")), identity(one, Some("b")));
        assert_ne!(identity(one, Some("a")), identity(other, Some("a")));
        assert_ne!(identity(one, None), identity(one, None));
    }
}
