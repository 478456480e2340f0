//! `GET /activity-definitions/{id}/verify`: did the run of a day happen?

use std::pin::Pin;

use audit::Auditor;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use chrono::{NaiveDate, Utc};
use contracts::rest::{Verification, VerificationCheck};
use crds::ActivityDefinition;
use domain::verification::{Check, Expectation, time_zone};
use domain::{ActivityId, Definition};
use kube::ResourceExt as _;
use serde::Deserialize;
use utoipa::IntoParams;

use super::responses::{Common, OfOne};
use crate::access::Caller;
use crate::error::{Error, Refusal};
use crate::expectation;
use crate::extract::{ActivityIdPath, Parameters};
use crate::kubernetes_refusal;
use crate::state::ApiState;

/// Which day.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DayQuery {
    /// The day in the definition's time zone, as YYYY-MM-DD; today when left out.
    #[serde(default)]
    #[param(required = false, value_type = NaiveDate, example = "2026-11-24")]
    date: Option<String>,
}

impl DayQuery {
    fn date(&self) -> Result<Option<NaiveDate>, Refusal> {
        self.date.as_deref().map(parse_date).transpose()
    }
}

/// Reads a day as people and browsers write it.
pub(crate) fn parse_date(text: &str) -> Result<NaiveDate, Refusal> {
    // Chrono reads a year of any length; Postgres and people do not.
    let date = text
        .parse()
        .ok()
        .filter(|_| text.len() == "2026-11-24".len());
    date.ok_or_else(|| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("date: \"{text}\" is no day; write YYYY-MM-DD, for example 2026-11-24"),
        )
        .about("date")
    })
}

/// Say whether the run of a day happened.
///
/// Six checks, each from the evidence of another system, looked at now. The answer is 200 whatever
/// they say; `result` holds all of them in one word. Needs the right to `get` the definition.
#[utoipa::path(
    get,
    path = "/activity-definitions/{id}/verify",
    operation_id = "verifyActivityDefinition",
    tag = "activity definitions",
    params(("id" = Uuid, Path, description = "The activity's id"), DayQuery),
    responses(
        (status = 200, description = "The six checks and their result.", body = Verification),
        Common, OfOne,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    ActivityIdPath(id): ActivityIdPath,
    Parameters(query): Parameters<DayQuery>,
) -> Result<impl IntoResponse, Error> {
    let date = query.date()?;
    let found = state.permitted(&caller, "get", id).await?;
    let verification = verify(&state, (id, &found), date).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(verification)))
}

/// Looks at all systems and says what was found.
pub(crate) async fn verify(
    state: &ApiState,
    (id, object): (ActivityId, &ActivityDefinition),
    date: Option<NaiveDate>,
) -> Result<Verification, Error> {
    let name = object.display_name();
    let definition = object
        .spec
        .validate(id, &name)
        .map_err(|invalid| kubernetes_refusal::of_definition(&invalid))?;
    let now = Utc::now();
    let zone = time_zone(&definition);
    let date = date.unwrap_or_else(|| zone.date_at(now));
    let expected = Expectation::of(&definition, date, now);
    let auditor = state.auditor();
    let checks = look(&auditor, (&definition, date), state).await;
    Ok(Verification {
        activity_id: id.as_uuid(),
        name,
        namespace: object.namespace().unwrap_or_default(),
        date,
        time_zone: zone.name().to_owned(),
        result: expectation::result(&expected, &checks),
        expectation: expectation::in_words(&expected, zone),
        checks: checks.into_iter().map(shown).collect(),
    })
}

/// Looks. The future is boxed because the compiler can't see that it is `Send` where it is a part
/// of a handler's (rust-lang/rust#110338).
fn look<'a>(
    auditor: &'a Auditor,
    (definition, date): (&'a Definition, NaiveDate),
    state: &ApiState,
) -> Pin<Box<dyn Future<Output = Vec<Check>> + Send + 'a>> {
    Box::pin(auditor.verify(definition, date, state.definitions.activity_timeout()))
}

fn shown(check: Check) -> VerificationCheck {
    VerificationCheck {
        condition: check.condition.as_str().to_owned(),
        verdict: check.verdict.into(),
        detail: check.detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_of_the_calendar_are_taken() {
        let leap_day = NaiveDate::from_ymd_opt(2028, 2, 29);
        assert_eq!(parse_date("2028-02-29").ok(), leap_day);
        for text in [
            "",
            "today",
            "2026-02-29",
            "2026-2-1",
            "24.11.2026",
            "+12026-11-24",
        ] {
            let refused = parse_date(text).unwrap_err();
            assert_eq!(refused.field.as_deref(), Some("date"), "{text}");
        }
    }
}
