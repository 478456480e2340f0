//! What works while something else does not.

use std::process::Command;

use anyhow::Result;
use reqwest::{Method, StatusCode};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use testkit::Program;

use super::caller::Caller;
use super::{DAILY_REPORT, path_of, place};
use crate::place::Place;

#[tokio::test]
async fn health_says_when_the_database_is_gone() -> Result<()> {
    let (place, _api, caller) = place("no-database").await?;
    let created = caller.post("/activity-definitions/", DAILY_REPORT).await?;
    let database = place.environment.database_url().rsplit('/').next().unwrap();
    let administration = place.environment.stack().postgres().url("postgres");
    let mut connection = PgConnection::connect(&administration).await?;
    let statement = format!("drop database \"{database}\" with (force)");
    sqlx::query(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await?;

    let health = caller.get("/health").await?;
    assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        health.text,
        r#"{"status":"unavailable","db":false,"temporal":true}"#
    );
    // Definitions do not need it; the ledger does.
    let path = path_of(&created.body);
    assert_eq!(caller.get(&path).await?.body, created.body);
    let runs = caller.get(&format!("{path}/runs")).await?;
    assert_eq!(runs.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(runs.headers.contains_key("retry-after"));
    assert!(!runs.detail().contains(database), "{}", runs.text);
    Ok(())
}

#[tokio::test]
async fn the_api_comes_up_while_postgres_and_temporal_are_away() -> Result<()> {
    let place = Place::new("all-away").await?;
    // Port 1 of loopback listens to nobody.
    let away = [
        ("ACTCORE_DB_URL", "postgres://nobody@127.0.0.1:1/nothing"),
        ("TEMPORAL_HOST", "127.0.0.1:1"),
    ];
    let api = place.environment.start(Program::Api, away).await?;
    let caller = Caller::new(api.api_url())?;
    let health = caller.get("/health").await?;
    assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        health.text,
        r#"{"status":"unavailable","db":false,"temporal":false}"#
    );
    let created = caller.post("/activity-definitions/", DAILY_REPORT).await?;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
    let path = path_of(&created.body);
    let disabled = caller.put(&path, r#"{"enabled": false}"#).await?;
    assert_eq!(disabled.status, StatusCode::OK, "{}", disabled.text);
    let triggered = caller
        .send(Method::POST, &format!("{path}/trigger"), &[])
        .await?;
    assert_eq!(triggered.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        triggered.detail().contains("Temporal"),
        "{}",
        triggered.text
    );
    api.stop().await
}

#[test]
fn a_setting_of_no_use_is_named_at_the_start() -> Result<()> {
    let database = ("ACTCORE_DB_URL", "postgres://nobody@127.0.0.1:1/nothing");
    let temporal = ("TEMPORAL_HOST", "127.0.0.1:1");
    let open = ("API_BIND_ADDR", "0.0.0.0:0");
    let free = ("API_BIND_ADDR", "127.0.0.1:0");
    for (settings, expected) in [
        (
            vec![database, temporal, open],
            &["API_BIND_ADDR", "API_AUTHENTICATION"][..],
        ),
        (vec![temporal, free], &["ACTCORE_DB_URL is required"]),
        (vec![database, free], &["TEMPORAL_HOST is required"]),
    ] {
        let folder = std::env::temp_dir();
        let kubeconfig = folder.join(format!("actcore-test-{}.yaml", uuid::Uuid::new_v4()));
        std::fs::write(&kubeconfig, KUBECONFIG)?;
        let output = Command::new(testkit::binary("actcore-api")?)
            .env_clear()
            .env("KUBECONFIG", &kubeconfig)
            .env("HEALTH_BIND_ADDR", "127.0.0.1:0")
            .env("PROMETHEUS_BIND_ADDR", "127.0.0.1:0")
            .envs(settings)
            .output();
        std::fs::remove_file(&kubeconfig)?;
        let output = output?;
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{text}");
        for name in expected {
            assert!(text.contains(name), "{text}");
        }
    }
    Ok(())
}

/// A cluster that is never asked.
const KUBECONFIG: &str = r#"{
    "apiVersion": "v1", "kind": "Config", "current-context": "none",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "users": [{"name": "none", "user": {}}]
}"#;
