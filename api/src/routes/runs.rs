//! `/activity-definitions/{id}/runs` and `/runs/{run_id}`: the run history, and one run's evidence.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use contracts::rest::{RunDetail, RunPage};
use serde::Deserialize;
use utoipa::IntoParams;

use super::responses::{Common, OfOne};
use crate::access::Caller;
use crate::error::{Error, Refusal};
use crate::extract::{ActivityIdPath, Parameters, RunIdPath};
use crate::state::ApiState;
use crate::{conversion, cursor, definitions};

/// Runs per page when the caller does not say.
const DEFAULT_LIMIT: u16 = 50;

/// The most runs per page.
const HIGHEST_LIMIT: u16 = 500;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// At most so many runs; 50 when left out.
    #[serde(default)]
    #[param(required = false, value_type = u16, minimum = 1, maximum = 500, default = 50)]
    limit: Option<u16>,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(required = false, value_type = String, pattern = "^[A-Za-z0-9_-]{32}$")]
    after: Option<String>,
}

impl PageQuery {
    fn limit(&self) -> Result<u16, Refusal> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if (1..=HIGHEST_LIMIT).contains(&limit) {
            return Ok(limit);
        }
        Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("limit: {limit} is not between 1 and {HIGHEST_LIMIT}"),
        )
        .about("limit"))
    }

    fn after(&self) -> Result<Option<store::PageKey>, Refusal> {
        let decoded = self.after.as_deref().map(cursor::decode).transpose();
        decoded.map_err(|invalid| {
            Refusal::new(StatusCode::BAD_REQUEST, format!("after: {invalid}")).about("after")
        })
    }
}

/// List an activity's runs, the newest first.
///
/// The runs of a deleted definition can still be read. Needs the right to `get` the definition;
/// that of a deleted one in all namespaces.
#[utoipa::path(
    get,
    path = "/activity-definitions/{id}/runs",
    operation_id = "listRuns",
    tag = "runs",
    params(("id" = Uuid, Path, description = "The activity's id"), PageQuery),
    responses(
        (status = 200, description = "One page of the history.", body = RunPage),
        Common, OfOne,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    ActivityIdPath(id): ActivityIdPath,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<RunPage>, Error> {
    let (limit, after) = (query.limit()?, query.after()?);
    let definition = state.definitions.find(id).await?;
    state
        .authorize_history(&caller, definition.as_ref())
        .await?;
    // One more than asked for shows whether there is a next page.
    let mut runs = state.store.runs(id, after, limit + 1).await?;
    if definition.is_none() && runs.is_empty() {
        return Err(definitions::gone().into());
    }
    let more = runs.len() > usize::from(limit);
    runs.truncate(usize::from(limit));
    let next = runs.last().filter(|_| more).map(|run| {
        cursor::encode(store::PageKey {
            sort_time: run.sort_time,
            run_id: run.run_id,
        })
    });
    let items = runs.into_iter().map(conversion::run).collect();
    Ok(Json(RunPage { items, next }))
}

/// Show a run and what became of its report and tasks.
///
/// Needs the right to `get` the run's definition; that of a deleted one in all namespaces.
#[utoipa::path(
    get,
    path = "/runs/{run_id}",
    operation_id = "getRun",
    tag = "runs",
    params(("run_id" = Uuid, Path, description = "The run (activity_core_run_id)")),
    responses(
        (status = 200, description = "The run.", body = RunDetail),
        Common, OfOne,
    ),
    security((), ("kubernetes-token" = []))
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    RunIdPath(run_id): RunIdPath,
) -> Result<Json<RunDetail>, Error> {
    let run = state.store.run(run_id).await?.ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_FOUND,
            "the ledger has no run with this id; a run is entered when a worker begins it",
        )
        .about("run_id")
    })?;
    let definition = state.definitions.find(run.activity).await?;
    state
        .authorize_history(&caller, definition.as_ref())
        .await?;
    let deliveries = state.store.deliveries(run_id).await?;
    Ok(Json(RunDetail {
        run: conversion::run(run),
        deliveries: deliveries.into_iter().map(conversion::delivery).collect(),
    }))
}
