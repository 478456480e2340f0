//! Runs per worker, against a bare workflow with as many activities.

use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use domain::ActivityId;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use temporal::RunStart;
use testkit::Program;
use testkit::wait::{self, Seen};
use uuid::Uuid;

use super::{Size, in_turn};
use crate::bare::{self, BareWorker, Ends};
use crate::figures::{Figure, Limit, to_f64};
use crate::place::{PATIENCE, Place, Servers};
use crate::usage::Usage;

/// Starts at once.
const CONCURRENCY: usize = 16;

/// Runs a round.
const RUNS: usize = 300;

/// Runs whose actions are counted.
const COUNTED: usize = 100;

/// Temporal's own count of what it bills (<https://docs.temporal.io/cloud/actions>).
const ACTIONS: &str = "action";

pub(super) async fn measure(servers: &Servers, size: Size) -> Result<Vec<Figure>> {
    let place = servers.place("runs").await?;
    let mut figures = Vec::new();
    for (reports, name) in [(0, "no report"), (1, "one report")] {
        figures.extend(compare(servers, &place, size, (reports, name)).await?);
    }
    Ok(figures)
}

async fn compare(
    servers: &Servers,
    place: &Place,
    size: Size,
    (reports, name): (u32, &str),
) -> Result<Vec<Figure>> {
    let activity = define(place, reports).await?;
    let worker = place.start(Program::Worker, &[]).await?;
    let bare = BareWorker::start(&place.temporal).await?;
    let mut rate = Figure::against(
        format!("runs to their end, {name}, per worker"),
        "bare workflow with as many activities",
        "1/s",
        Limit::AtLeast(0.95),
    );
    run(place, activity, 20).await?;
    run_bare(place, &bare, 20, reports).await?;
    let before = Usage::of(worker.pid())?;
    for round in 0..size.rounds {
        let raw = run_bare(place, &bare, RUNS, reports);
        let (raw, ours) = in_turn(round, raw, run(place, activity, RUNS)).await?;
        rate.round(
            to_f64(RUNS) / ours.as_secs_f64(),
            to_f64(RUNS) / raw.as_secs_f64(),
        );
    }
    let after = Usage::of(worker.pid())?;
    let used = after.cpu.saturating_sub(before.cpu);
    let runs = to_f64(RUNS * size.rounds);
    let cost = Figure::plain(
        format!("processor time of the worker per run, {name}"),
        "ms",
        used.as_secs_f64() * 1000.0 / runs,
        Limit::Stated,
    );
    let actions = Figure::plain(
        format!("billable Temporal actions per run, {name}"),
        "actions",
        actions_per_run(servers, place, activity).await?,
        Limit::Stated,
    );
    worker.stop().await?;
    Ok(vec![rate, cost, actions])
}

async fn actions_per_run(servers: &Servers, place: &Place, activity: ActivityId) -> Result<f64> {
    let before = actions(servers, place).await?;
    run(place, activity, COUNTED).await?;
    let counted = actions(servers, place).await? - before;
    Ok(counted / to_f64(COUNTED))
}

/// The billable actions so far in the place's Temporal namespace. The ledger has a run's end before
/// Temporal counts the last of it.
async fn actions(servers: &Servers, place: &Place) -> Result<f64> {
    servers.temporal_at_rest().await?;
    let scrape = servers.temporal_metrics().await?;
    // Temporal writes its labels so.
    let namespace = place.environment.namespace().replace('-', "_");
    let label = format!("namespace=\"{namespace}\"");
    let counted = scrape.sum(ACTIONS, &[&label]);
    anyhow::ensure!(counted > 0.0, "Temporal counts no actions in {namespace}");
    Ok(counted)
}

async fn define(place: &Place, reports: u32) -> Result<ActivityId> {
    let id = Uuid::new_v4();
    let reports: Vec<_> = (0..reports)
        .map(|number| {
            let name = format!("memory-{number}");
            json!({"name": name, "workingMemory": {"prefix": name}})
        })
        .collect();
    let row = store::MirrorRow {
        activity_id: id,
        namespace: "bench".to_owned(),
        name: format!("bench-{id}"),
        uid: id,
        generation: 1,
        display_name: "bench".to_owned(),
        enabled: true,
        event_type: None,
        spec: json!({"reports": reports}),
    };
    place.store.write_definition(&row).await?;
    Ok(ActivityId::new(id))
}

/// Starts runs by request and waits until the ledger has the end of all: the time until the last
/// has ended, whenever that is seen.
async fn run(place: &Place, activity: ActivityId, count: usize) -> Result<Duration> {
    let wanted = ends(place).await?.count + count;
    let began = Utc::now();
    let starting = (0..count).map(|_| async move {
        let request = Uuid::new_v4().to_string();
        let start = RunStart::by_request(activity, "bench", &request);
        place.temporal.start_run(&start).await?;
        anyhow::Ok(())
    });
    let mut starting = stream::iter(starting).buffer_unordered(CONCURRENCY);
    while starting.try_next().await?.is_some() {}
    let last = wait::until("the runs to end", PATIENCE, || async {
        anyhow::Ok(seen(ends(place).await?, wanted))
    })
    .await?;
    Ok((last - began).to_std()?)
}

/// The runs that have ended.
async fn ends(place: &Place) -> Result<Ends> {
    let (count, last): (i64, Option<DateTime<Utc>>) = sqlx::query_as(
        "select count(*), max(completed_at) from activity_runs where outcome = 'Succeeded'",
    )
    .fetch_one(place.store.pool())
    .await?;
    Ok(Ends {
        count: usize::try_from(count)?,
        last: last.unwrap_or_default(),
    })
}

fn seen(ends: Ends, wanted: usize) -> Seen<DateTime<Utc>> {
    if ends.count >= wanted {
        Seen::Done(ends.last)
    } else {
        Seen::not_yet(format!("{} of {wanted}", ends.count))
    }
}

async fn run_bare(
    place: &Place,
    worker: &BareWorker,
    count: usize,
    remote: u32,
) -> Result<Duration> {
    let wanted = worker.ends().count + count;
    let began = Utc::now();
    bare::start_many(&place.temporal, count, CONCURRENCY, remote).await?;
    let ended = || async { seen(worker.ends(), wanted) };
    let last = wait::until("the bare workflows to end", PATIENCE, ended)
        .await
        .context("the bare worker is stuck")?;
    Ok((last - began).to_std()?)
}
