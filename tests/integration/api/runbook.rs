//! The runbook's curl commands, line by line and to the letter, run by a shell; only the address
//! and the id are those of the test.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{Program, RunningProgram};
use tokio::process::Command;

use super::{PATIENCE, place};

/// How long one command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(1);

/// Where the runbook's API is.
const ADDRESS: &str = "http://localhost:8010";

/// What the runbook writes for the id of a definition.
const ID: &str = "<id>";

const LIST: &str = "curl http://localhost:8010/activity-definitions/";

const CREATE_CRON: &str = r#"curl -s -X POST http://localhost:8010/activity-definitions/ \
  -H "Content-Type: application/json" -d '{
    "name": "daily-report",
    "trigger_config": {
      "trigger_type": "cron",
      "cron_expression": "0 9 * * 1-5",
      "timezone": "Europe/Berlin",
      "misfire_policy": "skip"
    }
  }'"#;

const CREATE_EVENT: &str = r#"curl -s -X POST http://localhost:8010/activity-definitions/ \
  -H "Content-Type: application/json" -d '{
    "name": "user-onboarding",
    "trigger_config": {
      "trigger_type": "event",
      "event_type": "user.created",
      "filters": {"tier": "pro"}
    }
  }'"#;

const TRIGGER: &str = "curl -s -X POST http://localhost:8010/activity-definitions/<id>/trigger";

const DISABLE: &str = r#"curl -s -X PUT http://localhost:8010/activity-definitions/<id> \
  -H "Content-Type: application/json" -d '{"enabled": false}'"#;

const HEALTHY: &str = "curl -sf http://localhost:8010/health";

const HEALTHY_FOR_PEOPLE: &str = "curl -s http://localhost:8010/health | python3 -m json.tool";

/// A shell in which the runbook's address is that of the test.
struct Shell<'a> {
    api: &'a RunningProgram,
}

impl Shell<'_> {
    /// Runs a command and gives what it prints.
    async fn run(&self, command: &str, id: &str) -> Result<String> {
        assert!(command.contains(ADDRESS), "{command}");
        let script = command.replace(ADDRESS, self.api.api_url()).replace(ID, id);
        let running = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .env("no_proxy", "*")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let ended = tokio::time::timeout(COMMAND_TIMEOUT, running).await;
        let ended = ended.context("it did not end in time")??;
        let error = String::from_utf8_lossy(&ended.stderr);
        anyhow::ensure!(ended.status.success(), "{command}\n{error}");
        Ok(String::from_utf8(ended.stdout)?)
    }

    async fn answer(&self, command: &str, id: &str) -> Result<Value> {
        let text = self.run(command, id).await?;
        serde_json::from_str(&text).with_context(|| format!("{command}\n{text}"))
    }
}

#[tokio::test]
async fn every_command_of_the_runbook_works_as_it_stands() -> Result<()> {
    let (place, api, caller) = place("curl").await?;
    let _operator = place.environment.start(Program::Operator, []).await?;
    let _worker = place.environment.start(Program::Worker, []).await?;
    let shell = Shell { api: &api };
    let health = r#"{"status":"ok","db":true,"temporal":true}"#;
    assert_eq!(shell.run(HEALTHY, "").await?, health);
    let health = shell.answer(HEALTHY_FOR_PEOPLE, "").await?;
    assert_eq!(health["status"], "ok");

    let cron = shell.answer(CREATE_CRON, "").await?;
    assert_eq!(cron["trigger_config"]["timezone"], "Europe/Berlin");
    let event = shell.answer(CREATE_EVENT, "").await?;
    assert_eq!(event["trigger_config"]["filters"]["tier"], "pro");
    let listed = shell.answer(LIST, "").await?;
    assert_eq!(listed, serde_json::json!([cron, event]));

    let id = event["id"].as_str().unwrap();
    let triggered = shell.answer(TRIGGER, id).await?;
    let run = triggered["run_id"].as_str().unwrap();
    testkit::wait::until("the run to succeed", PATIENCE, || async {
        let answer = caller.get(&format!("/runs/{run}")).await?;
        let has_succeeded = answer.body["outcome"] == "Succeeded";
        Ok::<_, anyhow::Error>(has_succeeded.then_some(()))
    })
    .await?;
    // "Did today's run happen?", asked here.
    let verify = "curl -sf http://localhost:8010/activity-definitions/<id>/verify";
    let answer = shell.answer(verify, id).await?;
    assert_eq!(answer["result"], "Verified", "{answer}");
    assert_eq!(answer["checks"].as_array().unwrap().len(), 6);
    let yesterday = format!("{verify}?date=$(date -u -d yesterday +%F)");
    let answer = shell.answer(&yesterday, id).await?;
    assert_eq!(answer["result"], "NotDue", "{answer}");

    let disabled = shell.answer(DISABLE, cron["id"].as_str().unwrap()).await?;
    assert_eq!(disabled["enabled"], false);
    place
        .condition("daily-report", "Ready", ("True", "Suspended"))
        .await?;
    Ok(())
}
