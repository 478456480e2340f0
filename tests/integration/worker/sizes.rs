//! What happens at 1, 2 and 10 MB of answer.

use anyhow::Result;
use domain::{DeliveryResult, RunOutcome};
use serde_json::json;
use temporalio_client::WorkflowDescribeOptions;

use super::run::RunPlace;

const MEGABYTE: usize = 1_000_000;

/// More than any run of these needs, and far below what Temporal takes.
const SMALL_HISTORY: i64 = 64 * 1024;

/// Lines of a thousand bytes.
fn answer(bytes: usize) -> String {
    let line = format!("{}\n", "x".repeat(999));
    line.repeat(bytes / line.len())
}

async fn history_bytes(place: &RunPlace, workflow_id: &str) -> Result<i64> {
    place.closed(workflow_id).await?;
    let described = place.workflow(workflow_id);
    let described = described
        .describe(WorkflowDescribeOptions::default())
        .await?;
    let info = described.raw().workflow_execution_info.as_ref().unwrap();
    assert!(info.history_size_bytes > 0, "{info:?}");
    Ok(info.history_size_bytes)
}

#[tokio::test]
async fn big_answers_pass_by_the_history_up_to_the_limit_that_is_named() -> Result<()> {
    let place = RunPlace::new("sizes").await?;
    place
        .define(json!({
            "instruction": {"model": "m", "prompt": "p", "maxTokens": 1_000_000},
            "reports": [
                {"name": "hub", "stateHub": {"eventType": "daily_triage"}},
                {"name": "memory", "workingMemory": {"prefix": "daily-triage"}}]}))
        .await?;
    let _worker = place.worker([]).await?;
    let chat = &place.stand_ins().chat;
    for megabytes in [1, 2] {
        let text = answer(megabytes * MEGABYTE);
        chat.answer_next(text.clone());
        let start = place.start_by_request(&format!("{megabytes} MB")).await?;
        let run = place.ended(start.run_id).await?;
        assert_eq!(run.outcome, RunOutcome::Succeeded, "{:?}", run.error);
        let stored = place.store().report(start.run_id).await?.unwrap();
        assert!(stored == text.trim_end(), "{} bytes", stored.len());
        for (sink, delivery) in place.deliveries(start.run_id).await? {
            assert_eq!(delivery.result, DeliveryResult::Delivered, "{sink}");
        }
        let bytes = history_bytes(&place, &start.workflow_id).await?;
        assert!(bytes < SMALL_HISTORY, "{megabytes} MB: {bytes} bytes");
    }

    let asked = chat.traffic().requests().len();
    chat.answer_next(answer(10 * MEGABYTE));
    let start = place.start_by_request("10 MB").await?;
    let run = place.ended(start.run_id).await?;
    assert_eq!(run.outcome, RunOutcome::Failed);
    let error = run.error.unwrap();
    assert!(
        error.starts_with("instruction: ") && error.contains("larger than 4194304 bytes"),
        "{error}"
    );
    // Asking again would bring the same.
    assert_eq!(chat.traffic().requests().len(), asked + 1);
    let bytes = history_bytes(&place, &start.workflow_id).await?;
    assert!(bytes < SMALL_HISTORY, "{bytes} bytes");
    Ok(())
}
