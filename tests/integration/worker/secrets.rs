//! Secrets get to those who know them, and nowhere else.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::RunOutcome;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::Row as _;
use testkit::stand_ins::{API_KEY, Recorded};

use super::ANSWER;
use super::run::{REQUEST, RunPlace};

/// 24 bytes in base64.
const SIGNING_KEY: &str = "Y2FuYXJ5LXNpZ25pbmcta2V5LTAwMDAx";
const CONTEXT_KEY: &str = "canary-context-2c77";
const ISSUE_KEY: &str = "canary-issue-core-91ab";

fn spec(place: &RunPlace) -> Value {
    let stand_ins = place.stand_ins();
    json!({
        "tier": "Critical",
        "context": [{"name": "issues", "http": {
            "url": format!("{}/issues/", stand_ins.issue_core.url()),
            "headers": [
                {"name": "X-Team", "value": "triage"},
                {"name": "X-Token", "secretRef": {"name": "context", "key": "token"}}]}}],
        "instruction": {"model": "m", "prompt": "{{ context.issues | tojson }}"},
        "reports": [
            {"name": "hub", "stateHub": {"eventType": "daily_triage"}},
            {"name": "memory", "workingMemory": {"prefix": "daily-triage"}},
            {"name": "hook", "webhook": {
                "url": format!("{}/hook", stand_ins.webhook.url()),
                "signingSecretRef": {"name": "hook", "key": "signing-key"}}}],
        "tasks": {"type": "IssueCore"},
    })
}

fn write_secrets(folder: &std::path::Path) -> Result<()> {
    for (path, text) in [
        ("context/token", format!("Bearer {CONTEXT_KEY}\n")),
        ("hook/signing-key", format!("whsec_{SIGNING_KEY}\n")),
    ] {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap())?;
        std::fs::write(path, text)?;
    }
    Ok(())
}

/// Verifies as a receiver does that has nothing but the specification.
fn assert_signed(request: &Recorded) {
    let header = |name: &str| request.headers[name].as_str();
    let signed = [
        header("webhook-id").as_bytes(),
        header("webhook-timestamp").as_bytes(),
        &request.body,
    ]
    .join(&b'.');
    let key = STANDARD.decode(SIGNING_KEY).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(&signed);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), expected);
}

/// Every table of the database as text.
async fn ledger(place: &RunPlace) -> Result<String> {
    let pool = place.store().pool();
    let tables = sqlx::query(
        "select table_name::text as name from information_schema.tables
         where table_schema = 'public' and table_type = 'BASE TABLE'",
    )
    .fetch_all(pool)
    .await?;
    assert!(tables.len() >= 5, "{}", tables.len());
    let mut text = String::new();
    for table in tables {
        let name: String = table.get("name");
        let statement = format!("select row_to_json(t)::text as line from \"{name}\" t");
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .fetch_all(pool)
            .await?;
        for row in rows {
            text.push_str(&row.get::<String, _>("line"));
        }
    }
    assert!(text.contains("Two loose ends"));
    Ok(text)
}

#[tokio::test]
async fn secrets_reach_those_who_know_them_and_are_found_nowhere_else() -> Result<()> {
    let place = RunPlace::new("canary").await?;
    place.define(spec(&place)).await?;
    let secrets = tempfile::tempdir()?;
    write_secrets(secrets.path())?;
    let folder = secrets.path().display().to_string();
    let stand_ins = place.stand_ins();
    stand_ins.chat.answer_next(ANSWER);
    // Failures are where secrets like to show.
    stand_ins.webhook.traffic().fail_next(1, 500);
    stand_ins.chat.traffic().fail_next(1, 500);
    let worker = place
        .worker([
            ("EGRESS_ALLOWED_HOSTS", "127.0.0.1"),
            ("ISSUE_SINK_TYPE", "issue-core"),
            ("ISSUE_CORE_TOKEN", ISSUE_KEY),
            ("SECRETS_DIR", &folder),
            ("SKIP_SCHEDULE_SYNC", "true"),
            ("RUST_LOG", "debug"),
        ])
        .await?;
    let start = place.start_by_request(REQUEST).await?;
    let run = place.ended(start.run_id).await?;
    assert_eq!(run.outcome, RunOutcome::Succeeded, "{:?}", run.error);

    let issue_core = stand_ins.issue_core.traffic().requests();
    let context = issue_core.iter().find(|request| request.path == "/issues/");
    let headers = &context.unwrap().headers;
    assert_eq!(headers["x-token"], format!("Bearer {CONTEXT_KEY}"));
    assert_eq!(headers["x-team"], "triage");
    let filed = issue_core.iter().filter(|request| request.method == "POST");
    for request in filed {
        assert_eq!(
            request.headers["authorization"],
            format!("Bearer {ISSUE_KEY}")
        );
    }
    let hooked = stand_ins.webhook.traffic().requests();
    assert_eq!(hooked.len(), 2);
    for request in &hooked {
        assert_signed(request);
        assert_eq!(
            request.headers["webhook-id"],
            format!("{}/hook", start.run_id)
        );
    }

    let log = std::fs::read_to_string(worker.log_path())?;
    assert!(log.contains("SKIP_SCHEDULE_SYNC has no effect"));
    let metrics = reqwest::get(format!("{}/metrics", worker.metrics_url())).await?;
    let answers: Vec<String> = [stand_ins.state_hub.traffic(), stand_ins.webhook.traffic()]
        .iter()
        .flat_map(|traffic| traffic.requests())
        .map(|request| String::from_utf8_lossy(&request.body).into_owned())
        .collect();
    let asked = stand_ins.chat.traffic().requests();
    let asked = asked
        .iter()
        .map(|request| String::from_utf8_lossy(&request.body).into_owned());
    let places = [
        ("log", log),
        ("history", place.history(&start.workflow_id).await?),
        ("metrics", metrics.text().await?),
        ("ledger", ledger(&place).await?),
        ("reports", format!("{:?}", place.reports()?)),
        ("what the sinks got", answers.concat()),
        ("what the model was asked", asked.collect()),
        ("issues", format!("{:?}", stand_ins.issue_core.issues())),
    ];
    for (name, text) in places {
        for secret in [API_KEY, SIGNING_KEY, CONTEXT_KEY, ISSUE_KEY] {
            assert!(!text.contains(secret), "{secret} is in the {name}");
        }
    }
    Ok(())
}
