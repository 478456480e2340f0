//! Definitions: applied at once, compared again when nothing changed, and one changed among many.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crds::ActivityDefinition;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;
use testkit::wait;
use testkit::{Program, RunningProgram};
use uuid::Uuid;

use super::Size;
use crate::bare;
use crate::figures::{Figure, Limit, milliseconds, quantile, to_f64};
use crate::place::{PATIENCE, Place, Servers};
use crate::usage::Usage;

/// Calls at once, ours and the peer's.
const CONCURRENCY: usize = 16;

/// The smaller number of definitions.
const SMALL: usize = 1000;

/// How often one definition is changed.
const CHANGES: usize = 50;

/// A resync often enough to wait for, and seldom enough to be told apart.
const RESYNC_SECONDS: &str = "30";

const LAST_RESYNC: &str = "activity_core_operator_last_resync_timestamp_seconds";

pub(super) async fn measure(servers: &Servers, size: Size) -> Result<Vec<Figure>> {
    let place = servers.place("definitions").await?;
    let settings = [("RESYNC_SECONDS", RESYNC_SECONDS)];
    let operator = place.start(Program::Operator, &settings).await?;
    sqlx::query("create table bare (id uuid primary key, spec jsonb not null)")
        .execute(place.store.pool())
        .await?;

    let mut figures = Vec::new();
    let mut small = applied(SMALL);
    for round in 0..size.rounds {
        let bare = apply_bare(&place, SMALL).await?;
        let ours = apply(&place, &format!("small-{round}"), SMALL).await?;
        small.round(ours.as_secs_f64(), bare.as_secs_f64());
    }
    let mut large = applied(size.definitions);
    let bare = apply_bare(&place, size.definitions).await?;
    let ours = apply(&place, "large", size.definitions).await?;
    large.round(ours.as_secs_f64(), bare.as_secs_f64());
    let growth = large.ours() / small.ours() / (to_f64(size.definitions) / to_f64(SMALL));
    figures.push(small);
    figures.push(large);
    figures.push(Figure::plain(
        "time per definition, many against a thousand",
        "×",
        growth,
        Limit::AtMost(1.25),
    ));
    figures.extend(resync(servers, &place, &operator).await?);
    figures.extend(change(&place).await?);
    Ok(figures)
}

fn applied(count: usize) -> Figure {
    Figure::against(
        format!("{count} definitions applied → all Ready"),
        format!("raw CreateSchedule and row insert of as many, {CONCURRENCY} at once"),
        "s",
        Limit::AtMost(1.25),
    )
}

/// Applies `count` definitions and waits until all are Ready.
async fn apply(place: &Place, prefix: &str, count: usize) -> Result<Duration> {
    let version = place
        .definitions
        .list(&ListParams::default().limit(1))
        .await?;
    let version = version.metadata.resource_version.unwrap_or_default();
    let began = Instant::now();
    // Once a year, so that nothing fires while it is measured.
    let creating = place.create((prefix, count), "0 0 1 1 *", CONCURRENCY);
    let ready = until_ready(place, prefix, count, &version);
    let ((), ()) = tokio::time::timeout(PATIENCE, async { tokio::try_join!(creating, ready) })
        .await
        .with_context(|| format!("{count} definitions are not Ready in time"))??;
    Ok(began.elapsed())
}

async fn until_ready(place: &Place, prefix: &str, count: usize, version: &str) -> Result<()> {
    let mut ready = BTreeSet::new();
    let mut version = version.to_owned();
    loop {
        let parameters = WatchParams::default().timeout(290);
        let watching = place.definitions.watch(&parameters, &version).await?;
        futures::pin_mut!(watching);
        while let Some(event) = watching.try_next().await? {
            let (WatchEvent::Added(object) | WatchEvent::Modified(object)) = event else {
                continue;
            };
            version = object.metadata.resource_version.clone().unwrap_or_default();
            let name = object.metadata.name.clone().unwrap_or_default();
            if name.starts_with(prefix) && is_ready(&object) {
                ready.insert(name);
            }
            if ready.len() == count {
                return Ok(());
            }
        }
    }
}

fn is_ready(object: &ActivityDefinition) -> bool {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The bare work: as many Schedules and rows.
async fn apply_bare(place: &Place, count: usize) -> Result<Duration> {
    let began = Instant::now();
    let creating = (0..count).map(|_| async move {
        let spec = bare::schedule(Uuid::new_v4())?;
        place.temporal.create_schedule(&spec).await?;
        sqlx::query("insert into bare values ($1, $2)")
            .bind(spec.object_uid)
            .bind(json!({"trigger": {"cron": {"expression": "0 0 1 1 *"}}}))
            .execute(place.store.pool())
            .await?;
        anyhow::Ok(())
    });
    let mut creating = stream::iter(creating).buffer_unordered(CONCURRENCY);
    while creating.try_next().await?.is_some() {}
    Ok(began.elapsed())
}

/// One comparison of everything when nothing has changed.
async fn resync(
    servers: &Servers,
    place: &Place,
    operator: &RunningProgram,
) -> Result<Vec<Figure>> {
    next_resync(operator).await?;
    let before = Counts::take(servers, place, operator).await?;
    next_resync(operator).await?;
    let after = Counts::take(servers, place, operator).await?;
    let definitions = place.store.definitions().await?.len();
    let of = |what: &str| format!("resync of {definitions} unchanged definitions: {what}");
    Ok(vec![
        Figure::plain(
            of("calls to Temporal"),
            "calls",
            after.temporal_calls - before.temporal_calls,
            Limit::AtMost(20.0),
        ),
        Figure::plain(
            of("statements in Postgres"),
            "statements",
            after.statements - before.statements,
            Limit::Stated,
        ),
        Figure::plain(
            of("rows written in Postgres"),
            "rows",
            after.rows_written - before.rows_written,
            Limit::AtMost(0.0),
        ),
        Figure::plain(
            of("processor time"),
            "s",
            after
                .usage
                .cpu
                .saturating_sub(before.usage.cpu)
                .as_secs_f64(),
            Limit::AtMost(1.0),
        ),
        Figure::plain(
            of("resident memory"),
            "MiB",
            after.usage.resident,
            Limit::AtMost(150.0),
        ),
    ])
}

async fn next_resync(operator: &RunningProgram) -> Result<()> {
    let url = format!("{}/metrics", operator.metrics_url());
    let last = || async {
        let scrape = crate::scrape::Scrape::of(&url).await?;
        anyhow::Ok(scrape.sum(LAST_RESYNC, &[]))
    };
    let earlier = last().await?;
    wait::until("the next resync", PATIENCE, || async {
        anyhow::Ok(last().await? > earlier)
    })
    .await?;
    Ok(())
}

/// What has been used so far.
struct Counts {
    temporal_calls: f64,
    statements: f64,
    rows_written: f64,
    usage: Usage,
}

impl Counts {
    async fn take(servers: &Servers, place: &Place, operator: &RunningProgram) -> Result<Self> {
        let scrape = servers.temporal_metrics().await?;
        let calls = ["List", "Describe", "Create", "Update", "Delete"].map(|verb| {
            ["Schedules", "Schedule"].map(|noun| {
                let label = format!("operation=\"{verb}{noun}\"");
                scrape.sum("service_requests", &[&label, "service_name=\"frontend\""])
            })
        });
        let (statements, written): (i64, i64) = sqlx::query_as(
            "select xact_commit, tup_inserted + tup_updated + tup_deleted
             from pg_stat_database where datname = current_database()",
        )
        .fetch_one(place.store.pool())
        .await?;
        Ok(Self {
            temporal_calls: calls.iter().flatten().sum(),
            statements: f64::from(i32::try_from(statements)?),
            rows_written: f64::from(i32::try_from(written)?),
            usage: Usage::of(operator.pid())?,
        })
    }
}

/// One definition changed among all, again and again, against raw updates in turn.
async fn change(place: &Place) -> Result<Vec<Figure>> {
    let bare = bare::schedule(Uuid::new_v4())?;
    place.temporal.create_schedule(&bare).await?;
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for number in 0..CHANGES {
        let began = Instant::now();
        place.temporal.replace_schedule(&bare).await?;
        raw.push(milliseconds(began.elapsed()));
        ours.push(milliseconds(change_one(place, number).await?));
    }
    let mut middle = Figure::against(
        "one definition changed among all → Schedule updated, p50",
        "raw UpdateSchedule, p50",
        "ms",
        Limit::AtMost(1.5),
    );
    middle.round(quantile(ours.clone(), 0.5), quantile(raw.clone(), 0.5));
    let mut tail = Figure::against("the same, p99", "the same, p99", "ms", Limit::Stated);
    tail.round(quantile(ours, 0.99), quantile(raw, 0.99));
    Ok(vec![middle, tail])
}

async fn change_one(place: &Place, number: usize) -> Result<Duration> {
    let name = format!("large-{number}");
    let object = place.definitions.get(&name).await?;
    let activity = object.activity_id().context("the definition has no id")?;
    let digest = || async {
        let observed = place.temporal.schedule(activity).await?;
        anyhow::Ok(observed.and_then(|schedule| schedule.digest))
    };
    let earlier = digest().await?;
    let patch = json!({"spec": {"trigger": {"cron": {"expression": "0 0 2 1 *"}}}});
    let began = Instant::now();
    place
        .definitions
        .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    while digest().await? == earlier {
        anyhow::ensure!(began.elapsed() < PATIENCE, "{name} is not updated");
    }
    Ok(began.elapsed())
}
