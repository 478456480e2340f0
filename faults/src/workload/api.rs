//! Workloads of the REST API.

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};
use temporal::RunStart;

use super::{Stage, Workload};
use crate::expected::ExpectedRun;

const SYNCED: &str = "Synced";

/// The end of a definition's name.
const DAILY: &str = "daily";

pub(super) async fn prepare(workload: Workload, stage: &mut Stage<'_>) -> Result<()> {
    if workload == Workload::ApiCreate {
        return Ok(());
    }
    create(stage).await
}

pub(super) async fn act(workload: Workload, stage: &mut Stage<'_>) -> Result<()> {
    if workload == Workload::ApiCreate {
        return create(stage).await;
    }
    let activity = stage.activity(DAILY).await?;
    let path = format!("/activity-definitions/{activity}");
    match workload {
        Workload::ApiUpdate => {
            let body = json!({"trigger_config": {
                "trigger_type": "cron", "cron_expression": "30 6 1 * *",
                "timezone": "America/New_York", "misfire_policy": "catch_up"}});
            stage.call(Method::PUT, &path, &body).await?;
            let object = stage.lane.definitions.get(&stage.name(DAILY)).await?;
            let spec = serde_json::to_value(&object.spec)?;
            let expression = spec.pointer("/trigger/cron/expression");
            anyhow::ensure!(
                expression == Some(&json!("30 6 1 * *")),
                "the API said yes, and the object says {expression:?}"
            );
        }
        Workload::ApiTrigger => {
            let request_id = stage.prefix.clone();
            let answer = stage
                .call(Method::POST, &format!("{path}/trigger"), &Value::Null)
                .await?;
            let start = RunStart::by_request(activity, &stage.name(DAILY), &request_id);
            anyhow::ensure!(
                answer["run_id"] == json!(start.run_id.to_string()),
                "the API answered {answer}, and the run is {}",
                start.run_id
            );
            let definition = stage.name(DAILY);
            stage.expected.runs.push(ExpectedRun {
                definition,
                run: start.run_id,
                workflow_id: start.workflow_id,
                completes: false,
                is_forgotten: false,
            });
        }
        Workload::ApiDelete => {
            stage.call(Method::DELETE, &path, &Value::Null).await?;
            let name = stage.name(DAILY);
            stage.expected.forget(&name);
        }
        other => anyhow::bail!("{other} is not the API's"),
    }
    Ok(())
}

async fn create(stage: &mut Stage<'_>) -> Result<()> {
    let name = stage.name(DAILY);
    let body = json!({"name": name, "trigger_config": {
        "trigger_type": "cron", "cron_expression": "0 9 * * 1-5",
        "timezone": "Europe/Berlin", "misfire_policy": "skip"}});
    stage
        .call(Method::POST, "/activity-definitions/", &body)
        .await?;
    let object = stage.lane.definitions.get_opt(&name).await?;
    object.context("the API said yes, and there is no definition")?;
    stage.expected.define(&name, SYNCED);
    Ok(())
}
