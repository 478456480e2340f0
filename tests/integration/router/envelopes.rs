//! The envelopes in which events come, and the trace that they carry.

use anyhow::{Context as _, Result};
use serde_json::json;

use super::bench::Bench;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test]
async fn cloud_events_of_both_modes_start_runs_that_carry_their_trace() -> Result<()> {
    let bench = Bench::new("cloud events").await?;
    let _router = bench.start([]).await?;
    let filters = json!({"eventType": "user.created", "filters": {"tier": "pro"}});
    let definition = bench.define("pro", filters).await?;
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    // The attributes are headers, and the message is the data.
    let attributes = [
        ("ce-specversion", "1.0"),
        ("ce-id", "binary"),
        ("ce-type", "user.created"),
        ("ce-source", "/users"),
        ("ce-subject", "user/42"),
        ("ce-datacontenttype", "application/json"),
        ("ce-traceparent", traceparent.as_str()),
    ];
    bench
        .publish_bytes(br#"{"tier": "pro"}"#, &attributes)
        .await?;
    // The trace is in the message's own header, as a tracing library puts it.
    let structured = json!({
        "specversion": "1.0", "id": "structured", "type": "user.created", "source": "/users",
        "data": {"tier": "pro"},
    });
    let headers = [
        ("content-type", "application/cloudevents+json"),
        ("traceparent", traceparent.as_str()),
    ];
    bench
        .publish_bytes(structured.to_string().as_bytes(), &headers)
        .await?;
    bench.all_settled(2).await?;
    bench.expect_runs(definition, 2).await?;
    for workflow in bench.workflows(definition).await? {
        let workflow_id = workflow.execution.context("no execution")?.workflow_id;
        let request = bench.input(&workflow_id).await?;
        assert_eq!(request.trace_id(), Some(TRACE), "{request:?}");
    }
    assert_eq!(bench.dead_letters().await?.len(), 0);
    Ok(())
}
