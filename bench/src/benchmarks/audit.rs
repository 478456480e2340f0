//! The proof of runs: one pass over a week of expected times, and `actcore verify --all`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use audit::{Ledger, Surroundings};
use chrono::{DateTime, Utc};
use domain::ActivityId;
use domain::audit::WindowCause;
use kube::api::ListParams;
use serde_json::json;
use testkit::{Program, wait};
use tokio::process::Command;

use super::Size;
use crate::figures::{Figure, Limit, milliseconds, to_f64};
use crate::place::{PATIENCE, Place, Servers};

/// Calls at once while definitions are created.
const CONCURRENCY: usize = 16;

/// What may a pass, and a verification of all, take, in seconds.
const LIMIT: Limit = Limit::AtMost(5.0);

/// Of so many definitions one has no run on its last day.
const ONE_IN: usize = 100;

/// A leader without maintenance windows.
struct Alone;

impl Surroundings for Alone {
    fn may_write(&self) -> bool {
        true
    }

    fn declared_window(&self, _: ActivityId, _: DateTime<Utc>) -> Option<WindowCause> {
        None
    }
}

pub(super) async fn measure(servers: &Servers, size: Size) -> Result<Vec<Figure>> {
    let small = size.definitions / 10;
    let (one, fewer) = at(servers, "audit-small", small.max(1)).await?;
    let (ten, more) = at(servers, "audit-large", size.definitions).await?;
    let per = to_f64(size.definitions) / to_f64(small.max(1));
    let growth = |large: Duration, small: Duration| large.as_secs_f64() / small.as_secs_f64() / per;
    let what = |text: &str| format!("{text} of {} definitions", size.definitions);
    Ok(vec![
        Figure::plain(
            what("an audit of seven days"),
            "s",
            ten.as_secs_f64(),
            LIMIT,
        ),
        Figure::plain(
            "the same per definition, against a tenth of them",
            "×",
            growth(ten, one),
            Limit::AtMost(1.25),
        ),
        Figure::plain(
            what("`actcore verify --all --live`"),
            "s",
            more.as_secs_f64(),
            LIMIT,
        ),
        Figure::plain(
            "the same per definition, against a tenth of them",
            "×",
            growth(more, fewer),
            Limit::AtMost(1.25),
        ),
        Figure::plain(
            "the same, for one definition",
            "ms",
            milliseconds(more) / to_f64(size.definitions),
            Limit::Stated,
        ),
    ])
}

/// How long a pass and a verification of `count` daily definitions take.
async fn at(servers: &Servers, name: &str, count: usize) -> Result<(Duration, Duration)> {
    let place = servers.place(name).await?;
    let operator = place.start(Program::Operator, &[]).await?;
    place
        .create(
            ("daily", count),
            &json!({"expression": "0 0 * * *"}),
            CONCURRENCY,
        )
        .await?;
    wait::until("the definitions to be in force", PATIENCE, || async {
        let in_force: i64 = sqlx::query_scalar("select count(*) from schedule_periods")
            .fetch_one(place.store.pool())
            .await?;
        let ready = ready(&place).await?;
        anyhow::Ok(usize::try_from(in_force)? == count && ready == count)
    })
    .await?;
    operator.stop().await?;
    a_week_ago(&place).await?;
    servers.temporal_at_rest().await?;

    let mut ledger = Ledger::new(place.store.clone(), place.temporal.clone(), None);
    let began = Instant::now();
    let report = ledger.pass(&Alone, Utc::now()).await?;
    let pass = began.elapsed();
    let expected = 7 * count;
    let entered = count.div_ceil(ONE_IN);
    let (counted, missed) = (report.outcomes.len(), report.entered.len());
    anyhow::ensure!(
        counted == expected && missed == entered,
        "{counted} of {expected} times were decided, {missed} of {entered} were entered; {:?}",
        report.unasked
    );
    Ok((pass, verify_all(&place, count).await?))
}

async fn ready(place: &Place) -> Result<usize> {
    let objects = place.definitions.list(&ListParams::default()).await?;
    let is_ready = |object: &&crds::ActivityDefinition| {
        let conditions = object.status.iter().flat_map(|status| &status.conditions);
        conditions
            .into_iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    Ok(objects.items.iter().filter(is_ready).count())
}

/// Makes the definitions a week old, with a run for each day but a few.
async fn a_week_ago(place: &Place) -> Result<()> {
    let run = format!(
        "insert into activity_runs
           (run_id, activity_id, activity_name, trigger_kind, trigger_key, scheduled_for, fired_at,
            completed_at, outcome)
         select gen_random_uuid(), activity_id, name, 'schedule', 'schedule/' || time, time, time,
                time, 'Succeeded'
         from (select *, row_number() over (order by activity_id) as number
               from audited_activities) as audited
         cross join lateral (
           select date_trunc('day', now(), 'UTC') - day * interval '1 day' as time, day
           from generate_series(0, 6) as day) as days
         where not (day = 0 and number % {ONE_IN} = 1)"
    );
    let statements = [
        "update schedule_periods set effective_from = now() - interval '7 days'",
        "update audited_activities
         set audited_until = now() - interval '7 days', next_look = now()",
        &run,
        "insert into audit_passes (last_pass) values (now())
         on conflict (is_single) do update set last_pass = now()",
        "vacuum analyze activity_runs",
        "vacuum analyze audited_activities",
    ];
    for statement in statements {
        sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(place.store.pool())
            .await
            .with_context(|| format!("failed to {statement}"))?;
    }
    Ok(())
}

/// `actcore verify --all --live`: every definition is looked up in every system.
async fn verify_all(place: &Place, count: usize) -> Result<Duration> {
    let began = Instant::now();
    let running = Command::new(testkit::binary("actcore")?)
        .args(["verify", "--all", "--live", "-o", "json"])
        .envs(place.env())
        .kill_on_drop(true)
        .output();
    let answer = tokio::time::timeout(PATIENCE, running).await??;
    let took = began.elapsed();
    let report: serde_json::Value = serde_json::from_slice(&answer.stdout)
        .with_context(|| String::from_utf8_lossy(&answer.stderr).into_owned())?;
    // One in a hundred has no run, which is what a verification is for.
    match report["definitions"].as_array().map(Vec::len) {
        Some(items) if items == count => Ok(took),
        items => bail!("{items:?} of {count} definitions were verified"),
    }
}
