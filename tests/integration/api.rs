//! The REST API's claims: the runbook's bodies to the letter, on a real API server, Temporal and
//! Postgres.

mod access;
mod caller;
mod event_types;
mod feedback;
mod outages;
mod runbook;
mod runs;
mod tenants;
mod writes;

use anyhow::Result;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{Program, RunningProgram};

use self::caller::Caller;
use crate::place::{PATIENCE, Place};

/// The runbook's weekday report.
const DAILY_REPORT: &str = r#"{
    "name": "daily-report",
    "trigger_config": {
      "trigger_type": "cron",
      "cron_expression": "0 9 * * 1-5",
      "timezone": "Europe/Berlin",
      "misfire_policy": "skip"
    }
  }"#;

/// The runbook's onboarding of users.
const USER_ONBOARDING: &str = r#"{
    "name": "user-onboarding",
    "trigger_config": {
      "trigger_type": "event",
      "event_type": "user.created",
      "filters": {"tier": "pro"}
    }
  }"#;

/// A place with a running API.
async fn place(name: &str) -> Result<(Place, RunningProgram, Caller)> {
    let place = Place::new(name).await?;
    let api = place.environment.start(Program::Api, []).await?;
    let caller = Caller::new(api.api_url())?;
    Ok((place, api, caller))
}

/// A body for a definition that runs on request only.
fn manual(name: &str) -> Value {
    json!({"name": name, "trigger_config": {"trigger_type": "manual"}})
}

/// The path of the definition that an answer shows.
fn path_of(definition: &Value) -> String {
    format!(
        "/activity-definitions/{}",
        definition["id"].as_str().unwrap()
    )
}

#[tokio::test]
async fn the_runbooks_commands_work_to_the_letter() -> Result<()> {
    let (place, _api, caller) = place("runbook").await?;
    let _operator = place.environment.start(Program::Operator, []).await?;
    let health = caller.get("/health").await?;
    assert_eq!(health.status, StatusCode::OK);
    assert_eq!(health.text, r#"{"status":"ok","db":true,"temporal":true}"#);

    let cron = caller.post("/activity-definitions/", DAILY_REPORT).await?;
    assert_eq!(cron.status, StatusCode::CREATED, "{}", cron.text);
    assert_eq!(cron.body["name"], "daily-report");
    assert_eq!(cron.body["enabled"], true);
    let sent: Value = serde_json::from_str(DAILY_REPORT)?;
    assert_eq!(cron.body["trigger_config"], sent["trigger_config"]);
    assert_eq!(cron.headers["location"], *path_of(&cron.body));

    let event = caller
        .post("/activity-definitions/", USER_ONBOARDING)
        .await?;
    assert_eq!(event.status, StatusCode::CREATED, "{}", event.text);
    let sent: Value = serde_json::from_str(USER_ONBOARDING)?;
    assert_eq!(event.body["trigger_config"], sent["trigger_config"]);

    let listed = caller.get("/activity-definitions/").await?;
    assert_eq!(listed.body, json!([cron.body, event.body]));

    // Right after the POST, as a script would.
    let path = path_of(&cron.body);
    let triggered = caller
        .send(Method::POST, &format!("{path}/trigger"), &[])
        .await?;
    assert_eq!(triggered.status, StatusCode::ACCEPTED, "{}", triggered.text);
    let workflow = triggered.body["workflow_id"].as_str().unwrap();
    let id = cron.body["id"].as_str().unwrap();
    assert!(
        workflow.starts_with(&format!("activity-manual-{id}-")),
        "{workflow}"
    );

    let disabled = caller.put(&path, r#"{"enabled": false}"#).await?;
    assert_eq!(disabled.status, StatusCode::OK, "{}", disabled.text);
    assert_eq!(disabled.body["enabled"], false);
    assert_eq!(disabled.body["trigger_config"], cron.body["trigger_config"]);
    place
        .condition("daily-report", "Ready", ("True", "Suspended"))
        .await?;
    let documentation = caller.get("/docs").await?;
    assert!(
        documentation.text.contains("swagger-ui"),
        "{}",
        documentation.text
    );
    Ok(())
}

#[tokio::test]
async fn the_same_idempotency_key_is_the_same_run() -> Result<()> {
    let (place, _api, caller) = place("idempotency").await?;
    let _operator = place.environment.start(Program::Operator, []).await?;
    let created = caller
        .post("/activity-definitions/", &manual("once").to_string())
        .await?;
    let path = format!("{}/trigger", path_of(&created.body));
    let key = [("Idempotency-Key", "deploy-42")];
    let first = caller.send(Method::POST, &path, &key).await?;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    assert_eq!(first.body["request_id"], "deploy-42");
    let second = caller.send(Method::POST, &path, &key).await?;
    assert_eq!(second.status, StatusCode::ACCEPTED);
    assert_eq!(second.body, first.body);

    let other = caller.send(Method::POST, &path, &[]).await?;
    assert_ne!(other.body["run_id"], first.body["run_id"]);
    let third = caller.send(Method::POST, &path, &[]).await?;
    assert_ne!(third.body["run_id"], other.body["run_id"]);
    Ok(())
}

#[tokio::test]
async fn requests_are_counted_by_template_and_never_by_path() -> Result<()> {
    let (_place, api, caller) = place("metrics").await?;
    let metrics = format!("{}/metrics", api.metrics_url());
    let before = reqwest::get(&metrics).await?.text().await?;
    let failed = |count: u32| {
        format!(
            "activity_core_api_requests_total{{method=\"GET\",route=\"/activity-definitions/{{id}}\",\
             status_class=\"4xx\"}} {count}\n"
        )
    };
    assert!(before.contains(&failed(0)), "{before}");
    let unknown = "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f";
    caller
        .get(&format!("/activity-definitions/{unknown}"))
        .await?;
    caller.get(&format!("/nothing/{unknown}")).await?;
    let after = reqwest::get(&metrics).await?.text().await?;
    assert!(after.contains(&failed(1)), "{after}");
    assert!(after.contains("route=\"unmatched\""), "{after}");
    assert!(!after.contains(unknown), "{after}");
    Ok(())
}
