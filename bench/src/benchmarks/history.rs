//! A page of the run history, at the first and at the last of many.

use std::time::Instant;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::json;
use testkit::{Program, RunningProgram};
use uuid::Uuid;

use super::Size;
use crate::figures::{Figure, Limit, milliseconds, quantile, to_f64};
use crate::place::{Place, Servers};

/// Pages read per place and round.
const READS: usize = 200;

/// What may a page take, in milliseconds.
const LIMIT: Limit = Limit::AtMost(50.0);

pub(super) async fn measure(servers: &Servers, size: Size) -> Result<Vec<Figure>> {
    let place = servers.place("history").await?;
    // The reader asks as fast as it can.
    let unlimited = [("API_RATE_LIMIT_PER_SECOND", "0")];
    let api = place.start(Program::Api, &unlimited).await?;
    let definition = place
        .definitions
        .create(
            &kube::api::PostParams::default(),
            &serde_json::from_value(json!({
                "apiVersion": "activity-core.io/v1alpha1", "kind": "ActivityDefinition",
                "metadata": {"name": "long-history"}, "spec": {},
            }))?,
        )
        .await?;
    let activity = definition
        .activity_id()
        .context("a created object has an id")?
        .as_uuid();
    fill(&place, activity, size.history_rows).await?;

    let mut figures = Vec::new();
    let last = last_page(&place, activity).await?;
    let peer = read_rows(&place, activity).await?;
    for (name, after) in [("first", None), ("last", Some(last))] {
        let times = read_pages(&api, activity, after.as_deref()).await?;
        let rows = size.history_rows;
        let what = format!("{name} page of 50 among {rows} rows by HTTP, p99");
        figures.push(Figure::plain(
            what,
            "ms",
            quantile(times.clone(), 0.99),
            LIMIT,
        ));
        let mut against = Figure::against(
            format!("the same, p50 ({name} page)"),
            "one row by primary key, p50",
            "ms",
            Limit::Stated,
        );
        against.round(quantile(times, 0.5), quantile(peer.clone(), 0.5));
        figures.push(against);
    }
    Ok(figures)
}

/// Enters that many runs, a minute apart.
async fn fill(place: &Place, activity: Uuid, rows: usize) -> Result<()> {
    sqlx::query(
        "insert into activity_runs
           (run_id, activity_id, activity_name, trigger_kind, trigger_key, scheduled_for, fired_at,
            completed_at, outcome)
         select gen_random_uuid(), $1, 'long-history', 'schedule', 'schedule/' || number,
                now() - number * interval '1 minute', now() - number * interval '1 minute',
                now() - number * interval '1 minute', 'Succeeded'
         from generate_series(1, $2::bigint) as number",
    )
    .bind(activity)
    .bind(i64::try_from(rows)?)
    .execute(place.store.pool())
    .await
    .context("failed to fill the ledger")?;
    sqlx::query("vacuum analyze activity_runs")
        .execute(place.store.pool())
        .await?;
    Ok(())
}

/// The key after which the last page begins, as the API writes it: microseconds since 1970 and
/// the run's id.
async fn last_page(place: &Place, activity: Uuid) -> Result<String> {
    let (time, run): (DateTime<Utc>, Uuid) = sqlx::query_as(
        "select scheduled_for, run_id from activity_runs where activity_id = $1
         order by scheduled_for, run_id offset 50 limit 1",
    )
    .bind(activity)
    .fetch_one(place.store.pool())
    .await?;
    let mut key = time.timestamp_micros().to_be_bytes().to_vec();
    key.extend(run.as_bytes());
    Ok(URL_SAFE_NO_PAD.encode(key))
}

async fn read_pages(api: &RunningProgram, activity: Uuid, after: Option<&str>) -> Result<Vec<f64>> {
    let client = reqwest::Client::new();
    let after = after.map_or_else(String::new, |after| format!("?after={after}"));
    let url = format!(
        "{}/activity-definitions/{activity}/runs{after}",
        api.api_url()
    );
    let mut times = Vec::new();
    for _ in 0..READS {
        let began = Instant::now();
        let answer = client.get(&url).send().await?.error_for_status()?;
        let page: serde_json::Value = answer.json().await?;
        times.push(milliseconds(began.elapsed()));
        let runs = page["items"].as_array().map_or(0, Vec::len);
        anyhow::ensure!(runs == 50, "the page has {runs} runs: {page}");
    }
    Ok(times)
}

async fn read_rows(place: &Place, activity: Uuid) -> Result<Vec<f64>> {
    let runs: Vec<Uuid> =
        sqlx::query_scalar("select run_id from activity_runs where activity_id = $1 limit $2")
            .bind(activity)
            .bind(i64::try_from(READS)?)
            .fetch_all(place.store.pool())
            .await?;
    anyhow::ensure!(to_f64(runs.len()) > 0.0, "the ledger is empty");
    let mut times = Vec::new();
    for run in runs {
        let began = Instant::now();
        sqlx::query("select * from activity_runs where run_id = $1")
            .bind(run)
            .fetch_one(place.store.pool())
            .await?;
        times.push(milliseconds(began.elapsed()));
    }
    Ok(times)
}
