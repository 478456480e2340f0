//! Workloads of the operator alone.

use anyhow::{Context as _, Result};
use chrono::{TimeDelta, Utc};
use crds::{EventType, MaintenanceWindow};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::{Program, Signal};

use super::{Stage, Workload};
use crate::spec;

const SYNCED: &str = "Synced";
const SUSPENDED: &str = "Suspended";

/// How many definitions the bulk workload makes.
const MANY: usize = 20;

pub(super) async fn prepare(workload: Workload, stage: &mut Stage<'_>) -> Result<()> {
    match workload {
        Workload::Create | Workload::Correct | Workload::EventType | Workload::Bulk => Ok(()),
        Workload::Enable => {
            let spec = disabled(spec::weekdays());
            stage.define("daily", spec, SUSPENDED).await
        }
        Workload::Rename => {
            let spec = with_id(spec::weekdays(), &stage.prefix);
            stage.define("old", spec, SYNCED).await
        }
        _ => stage.define("daily", spec::weekdays(), SYNCED).await,
    }
}

pub(super) async fn act(workload: Workload, stage: &mut Stage<'_>) -> Result<()> {
    match workload {
        Workload::Create => stage.define("daily", spec::weekdays(), SYNCED).await,
        Workload::ChangeSchedule => stage.merge("daily", json!({"spec": spec::monthly()})).await,
        Workload::Disable => {
            let name = stage.name("daily");
            stage.expected.define(&name, SUSPENDED);
            stage
                .merge("daily", json!({"spec": {"enabled": false}}))
                .await
        }
        Workload::Enable => {
            let name = stage.name("daily");
            stage.expected.define(&name, SYNCED);
            stage
                .merge("daily", json!({"spec": {"enabled": true}}))
                .await
        }
        Workload::Flip => {
            for enabled in [false, true] {
                stage
                    .merge("daily", json!({"spec": {"enabled": enabled}}))
                    .await?;
            }
            Ok(())
        }
        Workload::Delete => stage.delete("daily").await,
        Workload::Recreate => {
            stage.delete("daily").await?;
            stage.gone("daily").await?;
            stage.define("daily", spec::weekdays(), SYNCED).await
        }
        Workload::Rename => {
            stage.delete("old").await?;
            // It is there before the old one has let go.
            let spec = with_id(spec::weekdays(), &stage.prefix);
            stage.define("new", spec, SYNCED).await
        }
        Workload::Correct => {
            stage.define("daily", spec::impossible(), SYNCED).await?;
            stage.condition("daily", "Stalled", "True").await?;
            stage
                .merge("daily", json!({"spec": spec::weekdays()}))
                .await?;
            stage.define("other", spec::monthly(), SYNCED).await
        }
        Workload::Retrigger => {
            let event = json!({"cron": null, "event": {"eventType": "user.created"}});
            stage
                .merge("daily", json!({"spec": {"trigger": event}}))
                .await
        }
        Workload::Maintenance => maintenance(stage).await,
        Workload::EventType => event_type(stage).await,
        Workload::Restart => {
            let operator = stage.lane.program(Program::Operator)?;
            let running = operator.running().context("the operator does not run")?;
            running.kill(Signal::TERM)?;
            stage.merge("daily", json!({"spec": spec::monthly()})).await
        }
        Workload::Bulk => bulk(stage).await,
        other => anyhow::bail!("{other} is not the operator's alone"),
    }
}

fn disabled(mut spec: Value) -> Value {
    spec["enabled"] = json!(false);
    spec
}

/// An activity id that depends on the name, so that both objects have the same.
fn with_id(mut spec: Value, prefix: &str) -> Value {
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, prefix.as_bytes());
    spec["activityId"] = json!(id);
    spec
}

async fn maintenance(stage: &mut Stage<'_>) -> Result<()> {
    let name = stage.name("upgrade");
    let now = Utc::now();
    let window = json!({
        "startTime": (now - TimeDelta::minutes(1)).to_rfc3339(),
        "endTime": (now + TimeDelta::hours(1)).to_rfc3339(),
        "selector": {}, "reason": "upgrade", "approvedBy": "Ada",
    });
    stage.create::<MaintenanceWindow>(&name, window).await?;
    let daily = stage.name("daily");
    stage.expected.define(&daily, SUSPENDED);
    stage.expected.in_maintenance = true;
    stage.settle().await?;
    stage
        .lane
        .windows
        .delete(&name, &DeleteParams::default())
        .await?;
    stage.expected.define(&daily, SYNCED);
    stage.expected.in_maintenance = false;
    Ok(())
}

async fn event_type(stage: &mut Stage<'_>) -> Result<()> {
    let (kept, gone) = (stage.name("kept"), stage.name("gone"));
    let described = |text: &str| json!({"description": text, "validation": "Warn"});
    stage.create::<EventType>(&kept, described("first")).await?;
    stage.create::<EventType>(&gone, described("first")).await?;
    let change = Patch::Merge(json!({"spec": {"description": "second"}}));
    stage
        .lane
        .event_types
        .patch(&kept, &PatchParams::default(), &change)
        .await?;
    stage
        .lane
        .event_types
        .delete(&gone, &DeleteParams::default())
        .await?;
    stage.expected.event_types.push(kept);
    Ok(())
}

async fn bulk(stage: &mut Stage<'_>) -> Result<()> {
    for number in 0..MANY {
        stage
            .define(&format!("bulk-{number}"), spec::weekdays(), SYNCED)
            .await?;
    }
    for number in 0..MANY {
        let suffix = format!("bulk-{number}");
        if number % 2 == 0 {
            stage
                .merge(&suffix, json!({"spec": spec::monthly()}))
                .await?;
        } else {
            stage.delete(&suffix).await?;
        }
    }
    Ok(())
}
