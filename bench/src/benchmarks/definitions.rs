//! Definitions: applied at once, compared again when nothing changed, and one changed among many.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crds::ActivityDefinition;
use domain::ActivityId;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;
use temporal::ScheduleSpec;
use testkit::{Program, RunningProgram};
use uuid::Uuid;

use super::Size;
use crate::bare;
use crate::figures::{Figure, Limit, milliseconds, quantile, to_f64};
use crate::place::{PATIENCE, Place, Servers};
use crate::scrape::Scrape;
use crate::usage::Usage;

/// Calls at once, ours and the peer's.
const CONCURRENCY: usize = 16;

/// The smaller number of definitions.
const SMALL: usize = 1000;

/// How often one definition is changed.
const CHANGES: usize = 50;

/// A resync often enough to wait for, and seldom enough to be told apart.
const RESYNC_SECONDS: &str = "30";

/// How often it is looked whether there was one.
const SCRAPE_EVERY: Duration = Duration::from_secs(5);

/// How often it is looked whether a change has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(2);

const LAST_RESYNC: &str = "activity_core_operator_last_resync_timestamp_seconds";

pub(super) async fn measure(servers: &Servers, size: Size) -> Result<Vec<Figure>> {
    let place = servers.place("definitions").await?;
    // A namespace of its own: what is bare is not for our operator to list.
    let bare_place = servers.place("definitions-bare").await?;
    let settings = [
        ("RESYNC_SECONDS", RESYNC_SECONDS),
        // What a pass of the audit costs is not the comparison's.
        ("AUDIT_SECONDS", "3600"),
    ];
    let operator = place.start(Program::Operator, &settings).await?;
    sqlx::query("create table bare (id uuid primary key, spec jsonb not null)")
        .execute(bare_place.store.pool())
        .await?;

    let mut figures = Vec::new();
    let mut small = applied(SMALL);
    for round in 0..size.rounds {
        let bare = apply_bare(&bare_place, SMALL).await?;
        servers.temporal_at_rest().await?;
        let ours = apply(&place, &format!("small-{round}"), SMALL).await?;
        small.round(ours.as_secs_f64(), bare.as_secs_f64());
        servers.temporal_at_rest().await?;
    }
    let mut large = applied(size.definitions);
    let bare = apply_bare(&bare_place, size.definitions).await?;
    servers.temporal_at_rest().await?;
    let before = Requests::take(servers, &place).await?;
    let ours = apply(&place, "large", size.definitions).await?;
    let after = Requests::take(servers, &place).await?;
    large.round(ours.as_secs_f64(), bare.as_secs_f64());
    servers.temporal_at_rest().await?;
    let growth = large.ours() / small.ours() / (to_f64(size.definitions) / to_f64(SMALL));
    figures.push(small);
    figures.push(large);
    figures.push(Figure::plain(
        "time per definition, many against a thousand",
        "×",
        growth,
        Limit::AtMost(1.25),
    ));
    let each = |count: f64| count / to_f64(size.definitions);
    figures.push(Figure::plain(
        "calls to Temporal per definition applied",
        "calls",
        each(after.temporal - before.temporal),
        Limit::Stated,
    ));
    figures.push(Figure::plain(
        "requests to the API server per definition applied, the user's own included",
        "requests",
        each(after.kubernetes - before.kubernetes),
        Limit::Stated,
    ));
    figures.extend(resync(servers, &place, &operator).await?);
    figures.extend(change(&place, &bare_place).await?);
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
    let yearly = json!({"expression": "0 0 1 1 *"});
    let creating = place.create((prefix, count), &yearly, CONCURRENCY);
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
        let scrape = Scrape::of(&url).await?;
        anyhow::Ok(scrape.sum(LAST_RESYNC, &[]))
    };
    let earlier = last().await?;
    let began = Instant::now();
    // Seldom: a scrape of so many definitions is work for the operator, and would be counted.
    while last().await? <= earlier {
        anyhow::ensure!(began.elapsed() < PATIENCE, "there was no other resync");
        tokio::time::sleep(SCRAPE_EVERY).await;
    }
    Ok(())
}

/// The requests that were made so far, by whomever.
struct Requests {
    temporal: f64,
    kubernetes: f64,
}

impl Requests {
    async fn take(servers: &Servers, place: &Place) -> Result<Self> {
        let client = place.environment.kube_client().await?;
        let metrics = http::Request::get("/metrics").body(Vec::new())?;
        let kubernetes = Scrape::from(client.request_text(metrics).await?);
        let writing = ["activitydefinitions", "events"].map(|resource| {
            kubernetes.sum(
                "apiserver_request_total",
                &[&format!("resource=\"{resource}\"")],
            )
        });
        Ok(Self {
            temporal: schedule_calls(&servers.temporal_metrics().await?),
            kubernetes: writing.iter().sum(),
        })
    }
}

/// The calls about Schedules that Temporal has had.
fn schedule_calls(scrape: &Scrape) -> f64 {
    let calls = ["List", "Describe", "Create", "Update", "Delete"].map(|verb| {
        ["Schedules", "Schedule"].map(|noun| {
            let label = format!("operation=\"{verb}{noun}\"");
            scrape.sum("service_requests", &[&label, "service_name=\"frontend\""])
        })
    });
    calls.iter().flatten().sum()
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
        let (statements, written): (i64, i64) = sqlx::query_as(
            "select xact_commit, tup_inserted + tup_updated + tup_deleted
             from pg_stat_database where datname = current_database()",
        )
        .fetch_one(place.store.pool())
        .await?;
        Ok(Self {
            temporal_calls: schedule_calls(&servers.temporal_metrics().await?),
            statements: f64::from(i32::try_from(statements)?),
            rows_written: f64::from(i32::try_from(written)?),
            usage: Usage::of(operator.pid())?,
        })
    }
}

/// One definition changed among all, again and again, against raw updates in turn: from the call
/// until Temporal shows the change.
async fn change(place: &Place, bare_place: &Place) -> Result<Vec<Figure>> {
    let mut bare = bare::schedule(Uuid::new_v4())?;
    bare_place.temporal.create_schedule(&bare).await?;
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for number in 0..CHANGES {
        bare.object_uid = Uuid::new_v4();
        raw.push(milliseconds(change_bare(bare_place, &bare).await?));
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

async fn change_bare(place: &Place, bare: &ScheduleSpec) -> Result<Duration> {
    let activity = bare.action.activity;
    let earlier = digest(place, activity).await?;
    let began = Instant::now();
    // Looked at from the call on, as ours is: the looks cost Temporal something.
    let changing = async { Ok(place.temporal.replace_schedule(bare).await?) };
    let seen = until_changed(place, activity, earlier.as_deref());
    tokio::try_join!(changing, seen)?;
    Ok(began.elapsed())
}

async fn change_one(place: &Place, number: usize) -> Result<Duration> {
    let name = format!("large-{number}");
    let object = place.definitions.get(&name).await?;
    let activity = object.activity_id().context("the definition has no id")?;
    let earlier = digest(place, activity).await?;
    let patch = json!({"spec": {"trigger": {"cron": {"expression": "0 0 2 1 *"}}}});
    let began = Instant::now();
    place
        .definitions
        .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    until_changed(place, activity, earlier.as_deref()).await?;
    Ok(began.elapsed())
}

async fn digest(place: &Place, activity: ActivityId) -> Result<Option<String>> {
    let observed = place.temporal.schedule(activity).await?;
    Ok(observed.and_then(|schedule| schedule.digest))
}

async fn until_changed(place: &Place, activity: ActivityId, earlier: Option<&str>) -> Result<()> {
    let began = Instant::now();
    while digest(place, activity).await?.as_deref() == earlier {
        anyhow::ensure!(began.elapsed() < PATIENCE, "{activity} is not updated");
        // Each look is a query that Temporal answers by the Schedule's workflow.
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}
