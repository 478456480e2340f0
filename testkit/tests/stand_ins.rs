//! The stand-ins hold to the contracts of what they stand in for.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::stand_ins::{API_KEY, Fault, StandIns};

async fn stand_ins() -> StandIns {
    StandIns::start().await.expect("the stand-ins start")
}

/// Posts JSON; gives the status and the answer.
async fn post(url: &str, headers: &[(&str, &str)], body: &Value) -> (StatusCode, Value) {
    let mut request = reqwest::Client::new().post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    // After the headers: it sets the content type only if that is not there yet.
    request = request.json(body);
    let response = request.send().await.expect("an answer");
    (response.status(), response.json().await.unwrap_or_default())
}

async fn get(url: &str) -> Value {
    let response = reqwest::get(url).await.expect("an answer");
    response.json().await.expect("JSON")
}

fn progress(run: &str) -> Value {
    json!({
        "event_type": "daily_triage",
        "summary": "done",
        "detail": { "activity_core_run_id": run },
    })
}

#[tokio::test]
async fn state_hub_gives_the_first_entry_again_for_the_same_key() {
    let stand_ins = stand_ins().await;
    let url = format!("{}/progress/", stand_ins.state_hub.url());
    let key = [("Idempotency-Key", "one")];
    let (created, first) = post(&url, &key, &progress("a")).await;
    let (repeated, again) = post(&url, &key, &progress("a")).await;
    let (other, _) = post(&url, &[], &progress("b")).await;

    assert_eq!(
        (created, repeated, other),
        (StatusCode::CREATED, StatusCode::OK, StatusCode::CREATED)
    );
    assert_eq!(first["id"], again["id"]);
    assert_eq!(stand_ins.state_hub.entries().len(), 2);
}

#[tokio::test]
async fn state_hub_lists_what_matches_newest_first() {
    let stand_ins = stand_ins().await;
    let url = format!("{}/progress/", stand_ins.state_hub.url());
    for run in ["a", "b", "c"] {
        post(&url, &[], &progress(run)).await;
    }
    let runs = |listed: &Value| -> Vec<String> {
        let entries = listed.as_array().expect("a list");
        let run = |entry: &Value| {
            entry["detail"]["activity_core_run_id"]
                .as_str()
                .map(str::to_owned)
        };
        entries.iter().filter_map(run).collect()
    };
    assert_eq!(
        runs(&get(&format!("{url}?event_type=daily_triage&limit=2")).await),
        ["c", "b"]
    );
    assert_eq!(
        runs(&get(&format!("{url}?activity_core_run_id=a")).await),
        ["a"]
    );
    assert!(runs(&get(&format!("{url}?event_type=other")).await).is_empty());
}

#[tokio::test]
async fn shapes_that_are_not_in_the_contract_are_refused() {
    let stand_ins = stand_ins().await;
    let progress_url = format!("{}/progress/", stand_ins.state_hub.url());
    let issues_url = format!("{}/issues/", stand_ins.issue_core.url());
    let webhook_url = format!("{}/events", stand_ins.webhook.url());
    for (url, body) in [
        (
            &progress_url,
            json!({ "summary": "no event_type", "detail": {} }),
        ),
        (
            &progress_url,
            json!({ "event_type": "x", "detail": {}, "unknown": 1 }),
        ),
        (
            &progress_url,
            json!({ "event_type": "x", "detail": "no object" }),
        ),
        (&issues_url, json!({ "title": "no external_id" })),
        (&issues_url, json!({ "title": " ", "external_id": "1" })),
        (&webhook_url, json!({ "no": "CloudEvent" })),
    ] {
        let (status, answer) = post(url, &[], &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert!(answer["detail"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn a_dry_run_of_issue_core_creates_nothing() {
    let stand_ins = stand_ins().await;
    let url = format!("{}/issues/", stand_ins.issue_core.url());
    let issue = json!({ "title": "fix it", "external_id": "run/1" });
    let (checked, _) = post(&format!("{url}?dry_run=true"), &[], &issue).await;
    assert_eq!(checked, StatusCode::OK);
    assert!(stand_ins.issue_core.issues().is_empty());

    let key = [("Idempotency-Key", "run/1")];
    let (created, first) = post(&url, &key, &issue).await;
    let (repeated, again) = post(&url, &key, &issue).await;
    assert_eq!((created, repeated), (StatusCode::CREATED, StatusCode::OK));
    assert_eq!(first["id"], again["id"]);
    let found = get(&format!("{url}?external_id=run/1")).await;
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    assert_eq!(get(&format!("{url}?external_id=run/2")).await, json!([]));
}

#[tokio::test]
async fn the_language_model_wants_its_key_and_answers_the_same_again() {
    let stand_ins = stand_ins().await;
    let url = format!("{}/chat/completions", stand_ins.chat.base_url());
    let question = json!({
        "model": "small",
        "messages": [{ "role": "user", "content": "how was the day" }],
    });
    let (without_key, _) = post(&url, &[], &question).await;
    assert_eq!(without_key, StatusCode::UNAUTHORIZED);

    let bearer = format!("Bearer {API_KEY}");
    let key = [("Authorization", bearer.as_str())];
    let (_, first) = post(&url, &key, &question).await;
    let (_, second) = post(&url, &key, &question).await;
    let choice = &first["choices"][0];
    assert_eq!(choice, &second["choices"][0]);
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(first["usage"]["prompt_tokens"], 4);

    let mut short = question.clone();
    short["max_tokens"] = json!(2);
    let (_, cut) = post(&url, &key, &short).await;
    assert_eq!(cut["choices"][0]["finish_reason"], "length");
    assert_eq!(cut["usage"]["completion_tokens"], 2);

    let mut structured = question;
    structured["response_format"] = json!({
        "type": "json_schema",
        "json_schema": {
            "name": "report",
            "schema": { "type": "object", "properties": { "count": { "type": "integer" } } },
        },
    });
    let (_, answer) = post(&url, &key, &structured).await;
    let content = answer["choices"][0]["message"]["content"]
        .as_str()
        .expect("a text");
    assert_eq!(
        serde_json::from_str::<Value>(content).expect("JSON"),
        json!({ "count": 1 })
    );
}

#[tokio::test]
async fn the_webhook_takes_structured_and_binary_events() {
    let stand_ins = stand_ins().await;
    let url = format!("{}/any/path", stand_ins.webhook.url());
    let structured = json!({
        "specversion": "1.0", "id": "1", "source": "/s", "type": "run.completed",
        "data": { "ok": true },
    });
    let content_type = [("Content-Type", "application/cloudevents+json")];
    assert_eq!(
        post(&url, &content_type, &structured).await.0,
        StatusCode::ACCEPTED
    );
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "/s"),
        ("ce-type", "run.failed"),
    ];
    assert_eq!(
        post(&url, &binary, &json!({ "ok": false })).await.0,
        StatusCode::ACCEPTED
    );

    let events = stand_ins.webhook.events();
    let types: Vec<&str> = events.iter().map(|event| event.attribute("type")).collect();
    assert_eq!(types, ["run.completed", "run.failed"]);
    assert_eq!(events[1].data, json!({ "ok": false }));
}

#[tokio::test]
async fn faults_come_to_pass_in_the_order_in_which_they_were_told() {
    let stand_ins = stand_ins().await;
    let state_hub = &stand_ins.state_hub;
    let url = format!("{}/progress/", state_hub.url());
    state_hub.traffic().fail_next(1, 503);
    state_hub.traffic().fault_next(1, Fault::LostAnswer);
    state_hub
        .traffic()
        .delay_next(1, Duration::from_millis(200));

    assert_eq!(
        post(&url, &[], &progress("a")).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert!(
        state_hub.entries().is_empty(),
        "a refused request has no effect"
    );
    assert_eq!(
        post(&url, &[], &progress("b")).await.0,
        StatusCode::GATEWAY_TIMEOUT
    );
    assert_eq!(state_hub.entries().len(), 1, "a lost answer had its effect");
    let asked = Instant::now();
    assert_eq!(post(&url, &[], &progress("c")).await.0, StatusCode::CREATED);
    assert!(asked.elapsed() >= Duration::from_millis(200));
    assert_eq!(post(&url, &[], &progress("d")).await.0, StatusCode::CREATED);

    let seen: Vec<u16> = state_hub
        .traffic()
        .requests()
        .iter()
        .map(|request| request.status)
        .collect();
    assert_eq!(seen, [503, 504, 201, 201]);
    let health = reqwest::get(format!("{}/health", state_hub.url()))
        .await
        .expect("an answer");
    assert_eq!(health.status(), StatusCode::OK);
}
