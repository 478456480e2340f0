//! A thousand definitions at once: all ready, nothing doubled, and then silence.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use chrono::{TimeDelta, Timelike as _, Utc};
use crds::ActivityDefinition;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::ListParams;
use serde_json::json;
use testkit::wait::Seen;
use testkit::{Program, RunningProgram};

use crate::place::{PATIENCE, Place};

const DEFINITIONS: usize = 1000;

#[tokio::test]
async fn a_thousand_definitions_are_ready_and_then_nothing_is_written() -> Result<()> {
    let place = Place::new("scale").await?;
    let fast = [("RESYNC_SECONDS", "2")];
    let operator = place.environment.start(Program::Operator, fast).await?;
    // Half a day away, whenever that is: a run that falls due would write, and be right to.
    let hour = (Utc::now() + TimeDelta::hours(12)).hour();
    let creating = (0..DEFINITIONS).map(|number| {
        let expression = format!("{} {hour} * * *", number % 60);
        let spec = json!({"trigger": {"cron": {"expression": expression}}});
        let place = &place;
        async move { place.create(&format!("daily-{number}"), spec).await }
    });
    stream::iter(creating)
        .buffer_unordered(16)
        .try_collect::<Vec<_>>()
        .await?;
    testkit::wait::until("all to be ready", 4 * PATIENCE, || async {
        let objects = place.definitions.list(&ListParams::default()).await?;
        let ready = objects.iter().filter(|object| {
            let conditions = object.status.iter().flat_map(|status| &status.conditions);
            conditions
                .filter(|condition| condition.type_ == "Ready")
                .any(|condition| condition.status == "True")
        });
        let ready = ready.count();
        Ok::<_, kube::Error>(if ready == DEFINITIONS {
            Seen::Done(())
        } else {
            Seen::not_yet(format!("{ready} ready"))
        })
    })
    .await?;

    let declared: BTreeSet<_> = place
        .definitions
        .list(&ListParams::default())
        .await?
        .iter()
        .filter_map(ActivityDefinition::activity_id)
        .collect();
    assert_eq!(declared.len(), DEFINITIONS);
    let schedules = place.temporal.list_schedules().await?;
    assert_eq!(schedules.len(), DEFINITIONS);
    let with_schedule: BTreeSet<_> = schedules.iter().map(|listed| listed.activity).collect();
    assert_eq!(with_schedule, declared);
    assert_eq!(place.store.definitions().await?.len(), DEFINITIONS);

    let before = writes(&place, &operator).await?;
    let resync = metric(
        &operator,
        "activity_core_operator_last_resync_timestamp_seconds",
    );
    let resync = resync.await?;
    // Three comparisons are two seconds and their own time apart.
    testkit::wait::until("three resyncs", PATIENCE, || async {
        let last = metric(
            &operator,
            "activity_core_operator_last_resync_timestamp_seconds",
        );
        Ok::<_, anyhow::Error>(last.await? >= resync + 6)
    })
    .await?;
    let after = writes(&place, &operator).await?;
    let written = before.0.iter().zip(&after.0).find(|(before, after)| {
        before.metadata.resource_version != after.metadata.resource_version
    });
    assert!(written.is_none(), "an object was written: {written:#?}");
    assert_eq!(before.1, after.1, "Schedules were written");
    assert_eq!(before.2, after.2, "mirror rows were written");
    Ok(())
}

/// Everything that a write would change: in Kubernetes, in Temporal, in Postgres.
async fn writes(
    place: &Place,
    operator: &RunningProgram,
) -> Result<(Vec<ActivityDefinition>, i64, String)> {
    let objects = place.definitions.list(&ListParams::default()).await?;
    let schedules = metric(operator, "activity_core_operator_schedule_writes_total").await?;
    Ok((objects.items, schedules, place.mirror_versions().await?))
}

/// The sum over all series of a metric.
async fn metric(operator: &RunningProgram, name: &str) -> Result<i64> {
    let url = format!("{}/metrics", operator.metrics_url());
    let text = reqwest::get(&url).await?.text().await?;
    text.lines()
        .filter(|line| line.starts_with(name))
        .map(|line| line.rsplit(' ').next().context("no value"))
        .map(|value| Ok(value?.parse::<i64>()?))
        .sum()
}
