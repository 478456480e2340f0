//! What a run survives: killed and stopping workers, Postgres away, a deleted definition,
//! a cancellation.

use std::time::Duration;

use anyhow::Result;
use domain::{DeliveryResult, RunId, RunOutcome};
use serde_json::{Value, json};
use temporalio_client::WorkflowCancelOptions;
use testkit::Signal;
use testkit::stand_ins::Traffic;
use testkit::wait::{Seen, until};

use super::proxy::Proxy;
use super::run::{REQUEST, RunPlace};
use crate::place::PATIENCE;

/// Longer than any of these tests waits for anything else.
const LONG: Duration = Duration::from_secs(45);

fn spec() -> Value {
    json!({
        "instruction": {"model": "m", "prompt": "p", "timeoutSeconds": 60},
        "reports": [
            {"name": "hub", "stateHub": {"eventType": "daily_triage"}},
            {"name": "memory", "workingMemory": {"prefix": "daily-triage"}}]})
}

/// Waits until a stand-in that is told to dawdle holds a request: the one before was answered.
async fn requested(what: &str, traffic: &Traffic, count: usize) -> Result<()> {
    let seen = async || {
        let requests = traffic.requests().len();
        if requests >= count {
            Seen::Done(())
        } else {
            Seen::not_yet(requests)
        }
    };
    Ok(until(what, PATIENCE, seen).await?)
}

/// One report in every sink, one row, and no delivery that is not accounted for.
async fn assert_complete(place: &RunPlace, run: RunId) -> Result<()> {
    let row = place.ended(run).await?;
    assert_eq!(row.outcome, RunOutcome::Succeeded, "{:?}", row.error);
    let runs = place.store().runs(place.activity, None, 10).await?;
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(place.stand_ins().state_hub.entries().len(), 1);
    let reports = place.reports()?;
    assert_eq!(reports.len(), 1, "{reports:?}");
    for (sink, delivery) in place.deliveries(run).await? {
        assert!(delivery.result.is_present(), "{sink}: {delivery:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_worker_killed_while_the_model_answers_leaves_one_report_per_sink() -> Result<()> {
    let place = RunPlace::new("killed in step").await?;
    place.define(spec()).await?;
    // Should the worker be killed before it asks, this comes on top for the next one.
    let chat = place.stand_ins().chat.traffic();
    chat.delay_next(1, Duration::from_secs(10));
    let worker = place.worker([]).await?;
    let start = place.start_by_request(REQUEST).await?;
    place
        .pending_activity(&start.workflow_id, "complete_instruction")
        .await?;
    worker.kill(Signal::KILL)?;

    let began = std::time::Instant::now();
    let _next = place.worker([]).await?;
    assert_complete(&place, start.run_id).await?;
    // Seconds, and not the step's minute.
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_worker_killed_between_effect_and_acknowledgement_leaves_one_report_per_sink()
-> Result<()> {
    let place = RunPlace::new("killed after").await?;
    place.define(spec()).await?;
    let traffic = place.stand_ins().state_hub.traffic();
    // The look is answered at once; the post takes effect, and its answer comes too late.
    traffic.delay_next(1, Duration::ZERO);
    traffic.delay_next(1, Duration::from_secs(3));
    let worker = place.worker([]).await?;
    let start = place.start_by_request(REQUEST).await?;
    requested("the look in State Hub", traffic, 1).await?;
    place
        .delivery(start.run_id, "memory", |delivery| {
            delivery.result.is_present()
        })
        .await?;
    worker.kill(Signal::KILL)?;

    let _next = place.worker([]).await?;
    assert_complete(&place, start.run_id).await?;
    let deliveries = place.deliveries(start.run_id).await?;
    assert_eq!(deliveries["hub"].attempts, 2);
    Ok(())
}

#[tokio::test]
async fn a_stopping_worker_hands_its_run_over() -> Result<()> {
    let place = RunPlace::new("stopping").await?;
    place.define(spec()).await?;
    place
        .stand_ins()
        .chat
        .traffic()
        .delay_next(1, Duration::from_secs(5));
    let worker = place.worker([]).await?;
    let start = place.start_by_request(REQUEST).await?;
    place
        .pending_activity(&start.workflow_id, "complete_instruction")
        .await?;
    worker.kill(Signal::TERM)?;
    let status = worker.wait(Duration::from_secs(30)).await?;
    assert!(status.success(), "{status}");

    // The answer that was under way was waited for, and nobody asked again.
    let _next = place.worker([]).await?;
    assert_complete(&place, start.run_id).await?;
    assert_eq!(place.stand_ins().chat.traffic().requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_run_waits_for_postgres() -> Result<()> {
    let place = RunPlace::new("postgres away").await?;
    place.define(spec()).await?;
    let proxy = Proxy::before(place.place.environment.database_url()).await?;
    let url = proxy.url().to_owned();
    let _worker = place.worker([("ACTCORE_DB_URL", url.as_str())]).await?;
    proxy.cut();
    let start = place.start_by_request(REQUEST).await?;
    // Long enough for pauses that are timers of the workflow.
    place.history_with(&start.workflow_id, "TimerFired").await?;
    assert_eq!(place.store().run(start.run_id).await?, None);
    proxy.mend();
    assert_complete(&place, start.run_id).await?;
    place
        .record_history(&start.workflow_id, "postgres-away")
        .await
}

#[tokio::test]
async fn a_deleted_definition_ends_in_the_ledger() -> Result<()> {
    let place = RunPlace::new("deleted").await?;
    let _worker = place.worker([]).await?;
    let start = place.start_by_request(REQUEST).await?;
    let run = place.ended(start.run_id).await?;
    assert_eq!(run.outcome, RunOutcome::Failed);
    assert_eq!(run.error.as_deref(), Some("the definition was deleted"));
    assert_eq!(run.activity_name, place.activity.to_string());
    assert_eq!(place.closed(&start.workflow_id).await?, "Failed");
    place.record_history(&start.workflow_id, "deleted").await
}

#[tokio::test]
async fn a_cancelled_run_ends_in_the_ledger_with_every_delivery_accounted_for() -> Result<()> {
    let place = RunPlace::new("cancelled").await?;
    place.define(spec()).await?;
    let traffic = place.stand_ins().state_hub.traffic();
    traffic.delay_next(1, LONG);
    let _worker = place.worker([]).await?;
    let start = place.start_by_request(REQUEST).await?;
    place
        .delivery(start.run_id, "hub", |delivery| delivery.attempts == 1)
        .await?;
    let cancelled = WorkflowCancelOptions::default();
    place.workflow(&start.workflow_id).cancel(cancelled).await?;

    let run = place.ended(start.run_id).await?;
    assert_eq!(run.outcome, RunOutcome::Failed);
    assert_eq!(run.error.as_deref(), Some("reports[hub]: cancelled"));
    assert_eq!(place.closed(&start.workflow_id).await?, "Canceled");
    let deliveries = place.deliveries(start.run_id).await?;
    assert_eq!(deliveries["hub"].result, DeliveryResult::Failed);
    assert_eq!(deliveries["memory"].result, DeliveryResult::Delivered);
    place.record_history(&start.workflow_id, "cancelled").await
}

#[tokio::test]
async fn the_models_key_is_found_nowhere() -> Result<()> {
    const CANARY: &str = "sk-canary-5d1f";
    let place = RunPlace::new("canary").await?;
    place.define(spec()).await?;
    let worker = place
        .worker([("OPENAI_API_KEY", CANARY), ("RUST_LOG", "debug")])
        .await?;
    let start = place.start_by_request(REQUEST).await?;
    let run = place.ended(start.run_id).await?;
    let error = run.error.unwrap();
    assert!(error.contains("answered 401"), "{error}");
    let metrics = reqwest::get(format!("{}/metrics", worker.metrics_url())).await?;
    let places = [
        ("ledger", error),
        ("history", place.history(&start.workflow_id).await?),
        ("metrics", metrics.text().await?),
        ("log", std::fs::read_to_string(worker.log_path())?),
    ];
    for (name, text) in places {
        assert!(!text.contains(CANARY), "the key is in the {name}");
    }
    Ok(())
}
