//! What people say about a run's report: stored first, then told to State Hub, once.

use anyhow::Result;
use chrono::Utc;
use domain::{ActivityId, RunId};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::Program;
use testkit::wait::Seen;

use super::caller::{Answer, Caller};
use super::runs::enter_run;
use super::{PATIENCE, manual, path_of, place};

const NOISY: &str = r#"{"kind": "Noisy", "comment": "Three of five were parked on purpose."}"#;

/// Gives feedback as a script would that may be repeated.
async fn give(caller: &Caller, path: &str, key: &str, body: &str) -> Result<Answer> {
    let headers = [
        ("Idempotency-Key", key),
        ("Content-Type", "application/json"),
    ];
    caller.send_with(Method::POST, path, (&headers, body)).await
}

/// Waits until the notes of all feedback on a run are sent.
async fn all_sent(caller: &Caller, path: &str) -> Result<Value> {
    let sent = testkit::wait::until("the notes to be sent", PATIENCE, || async {
        let answer = caller.get(path).await?;
        let items = answer.body["items"].as_array().cloned().unwrap_or_default();
        let is_sent = |item: &Value| item["note"] == "Sent";
        Ok::<_, anyhow::Error>(if !items.is_empty() && items.iter().all(is_sent) {
            Seen::Done(answer.body)
        } else {
            Seen::not_yet(answer.text)
        })
    });
    Ok(sent.await?)
}

#[tokio::test]
async fn feedback_becomes_one_progress_note_however_often_and_wherever_it_is_sent() -> Result<()> {
    let (place, _api, caller) = place("feedback").await?;
    // Both replicas look for notes to be sent.
    let other = place.environment.start(Program::Api, []).await?;
    let other = Caller::new(other.api_url())?;
    let created = caller
        .post("/activity-definitions/", &manual("triage").to_string())
        .await?;
    let activity: ActivityId = created.body["id"].as_str().unwrap().parse()?;
    let run = enter_run(&place, activity, Utc::now()).await?.run_id();
    let path = format!("{}/runs/{run}/feedback", path_of(&created.body));

    let hub = &place.environment.stand_ins().state_hub;
    let first = give(&caller, &path, "once", NOISY).await?;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    assert_eq!(first.body["author"], Value::Null);
    let again = give(&other, &path, "once", NOISY).await?;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text);
    assert_eq!(again.body["id"], first.body["id"]);
    let else_where = give(&caller, &path, "once", r#"{"kind": "TooLong"}"#).await?;
    assert_eq!(else_where.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(else_where.problem()["field"], "Idempotency-Key");
    let second = caller.post(&path, r#"{"kind": "TooLong"}"#).await?;
    assert_eq!(second.status, StatusCode::CREATED, "{}", second.text);

    let listed = all_sent(&caller, &path).await?;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let entries = hub.entries();
    assert_eq!(entries.len(), 2, "{entries:?}");
    for entry in &entries {
        assert_eq!(entry.event_type, "calibration_feedback");
        assert_eq!(entry.detail["activity_core_run_id"], run.to_string());
    }
    let kinds: Vec<&Value> = entries.iter().map(|entry| &entry.detail["kind"]).collect();
    assert!(kinds.contains(&&json!("Noisy")) && kinds.contains(&&json!("TooLong")));
    Ok(())
}

#[tokio::test]
async fn feedback_is_kept_while_there_is_no_state_hub_and_sent_once_there_is() -> Result<()> {
    let (place, api, caller) = place("feedback-later").await?;
    let created = caller
        .post("/activity-definitions/", &manual("triage").to_string())
        .await?;
    let activity: ActivityId = created.body["id"].as_str().unwrap().parse()?;
    let run = enter_run(&place, activity, Utc::now()).await?.run_id();
    let path = format!("{}/runs/{run}/feedback", path_of(&created.body));
    api.stop().await?;

    let without = [("STATE_HUB_URL", "")];
    let api = place.environment.start(Program::Api, without).await?;
    let caller = Caller::new(api.api_url())?;
    let given = caller.post(&path, NOISY).await?;
    assert_eq!(given.status, StatusCode::CREATED, "{}", given.text);
    assert_eq!(given.body["note"], "NotConfigured");
    api.stop().await?;

    let api = place.environment.start(Program::Api, []).await?;
    let caller = Caller::new(api.api_url())?;
    all_sent(&caller, &path).await?;
    let entries = place.environment.stand_ins().state_hub.entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
    Ok(())
}

#[tokio::test]
async fn feedback_that_is_of_no_use_is_refused_and_named() -> Result<()> {
    let (place, _api, caller) = place("feedback-refused").await?;
    let created = caller
        .post("/activity-definitions/", &manual("triage").to_string())
        .await?;
    let other = caller
        .post("/activity-definitions/", &manual("other").to_string())
        .await?;
    let activity: ActivityId = created.body["id"].as_str().unwrap().parse()?;
    let run = enter_run(&place, activity, Utc::now()).await?.run_id();
    let of =
        |definition: &Value, run: RunId| format!("{}/runs/{run}/feedback", path_of(definition));
    let path = of(&created.body, run);
    for (body, field) in [
        (r#"{"kind": "Loud"}"#, "kind"),
        (r#"{"kind": "Other"}"#, "comment"),
        (r#"{"kind": "Noisy", "comment": " "}"#, "comment"),
        (r#"{"kind": "Noisy", "coment": "x"}"#, "coment"),
    ] {
        let refused = caller.post(&path, body).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(refused.problem()["field"], field, "{}", refused.text);
    }
    let unknown = RunId::new(uuid::Uuid::new_v4());
    for path in [of(&created.body, unknown), of(&other.body, run)] {
        let refused = caller.post(&path, NOISY).await?;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.text);
        assert_eq!(caller.get(&path).await?.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(caller.get(&path).await?.body, json!({"items": []}));
    Ok(())
}
