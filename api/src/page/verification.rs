//! `/activity/{id}/verify`: the six checks, looked at now.

use axum::extract::{Query, State};
use axum::response::Response;
use contracts::rest::{VerificationResult, VerificationVerdict};
use domain::ActivityId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::PageError;
use super::templates::{self, Frame};
use super::today::filled;
use super::verdict::{Badge, Level, UNKNOWN};
use crate::access::Caller;
use crate::error::Error;
use crate::extract::ActivityIdPath;
use crate::routes::verify::{parse_date, verify};
use crate::state::ApiState;

/// Which day.
#[derive(Debug, Deserialize)]
pub(super) struct VerificationQuery {
    date: Option<String>,
}

#[derive(Serialize)]
struct VerificationView {
    id: Uuid,
    name: String,
    date: chrono::NaiveDate,
    time_zone: String,
    badge: Badge,
    expectation: String,
    checks: Vec<CheckView>,
}

#[derive(Serialize)]
struct CheckView {
    question: &'static str,
    badge: Badge,
    detail: String,
}

/// The page.
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    id: Result<ActivityIdPath, Error>,
    query: Query<VerificationQuery>,
) -> Result<Response, PageError> {
    let shown = async {
        let ActivityIdPath(id) = id?;
        show(&state, (&caller, id), &query).await
    };
    shown.await.map_err(PageError::at("../../"))
}

async fn show(
    state: &ApiState,
    (caller, id): (&Caller, ActivityId),
    query: &VerificationQuery,
) -> Result<Response, Error> {
    let date = filled(query.date.as_ref()).map(parse_date).transpose()?;
    let found = state.permitted(caller, "get", id).await?;
    let verification = verify(state, (id, &found), date).await?;
    let checks = verification.checks.into_iter().map(|check| CheckView {
        question: question(&check.condition),
        badge: verdict_badge(check.verdict),
        detail: check.detail,
    });
    let view = VerificationView {
        id: id.as_uuid(),
        badge: result_badge(verification.result),
        name: verification.name,
        date: verification.date,
        time_zone: verification.time_zone,
        expectation: verification.expectation,
        checks: checks.collect(),
    };
    let title = format!("Verification of {}", view.name);
    let frame = Frame {
        template: "verification.html",
        title: &title,
        root: "../../",
    };
    templates::show(frame, &view)
}

fn question(condition: &str) -> &'static str {
    match condition {
        "schedule" => "Temporal's Schedule is there, not paused, and set up as declared",
        "workflow" => "The latest workflow completed, or is visibly retrying",
        "ledger" => "The ledger has a run of the day that succeeded",
        "progress" => "State Hub has a progress entry of that run",
        "workingMemory" => "The working memory has the report of that run",
        "timeBudget" => "The timeouts fit under the limit of a run",
        _ => "Another check",
    }
}

const fn verdict_badge(verdict: VerificationVerdict) -> Badge {
    match verdict {
        VerificationVerdict::Ok => Badge {
            level: Level::Good,
            sign: "✓",
            word: "Ok",
        },
        VerificationVerdict::NotApplicable => Badge {
            level: Level::Calm,
            sign: "–",
            word: "Not asked for",
        },
        VerificationVerdict::Failed => Badge {
            level: Level::Bad,
            sign: "✗",
            word: "Failed",
        },
        VerificationVerdict::Unknown => UNKNOWN,
    }
}

const fn result_badge(result: VerificationResult) -> Badge {
    match result {
        VerificationResult::Verified => Badge {
            level: Level::Good,
            sign: "✓",
            word: "Verified",
        },
        VerificationResult::NotDue => Badge {
            level: Level::Calm,
            sign: "○",
            word: "Not due",
        },
        VerificationResult::Failed => Badge {
            level: Level::Bad,
            sign: "✗",
            word: "Not verified",
        },
        VerificationResult::Unknown => UNKNOWN,
    }
}
