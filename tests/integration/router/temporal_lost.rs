//! Temporal comes back without its database, and with it without our search attributes.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::Signal;
use testkit::ports::PortChoice;
use testkit::servers::TemporalOptions;

use super::bench::{Bench, user_created};

#[tokio::test]
async fn an_event_waits_for_the_search_attributes_and_is_no_dead_letter() -> Result<()> {
    let mut bench = Bench::new("attributes lost").await?;
    let options = TemporalOptions {
        namespaces: vec!["own".to_owned()],
        ..TemporalOptions::default()
    };
    let temporal = bench
        .place
        .environment
        .start_temporal(options.clone())
        .await?;
    let host = temporal.host().to_owned();
    bench.use_temporal(&host, "own").await?;
    // One counted failure would make a dead letter of it.
    let settings = [
        ("TEMPORAL_HOST", host.as_str()),
        ("TEMPORAL_NAMESPACE", "own"),
        ("ROUTER_MAX_DELIVERIES", "1"),
    ];
    let _router = bench.start(settings).await?;
    let definition = bench
        .define("all", json!({"eventType": "user.created"}))
        .await?;
    bench.publish(&user_created("before", "users")).await?;
    bench.all_settled(1).await?;

    temporal.process().signal(Signal::KILL)?;
    temporal.process().wait(Duration::from_secs(10)).await?;
    bench.publish(&user_created("during", "users")).await?;
    let port = host.rsplit(':').next().and_then(|port| port.parse().ok());
    let options = TemporalOptions {
        port: PortChoice::Preferred(port.context("no port")?),
        ..options
    };
    let _temporal = bench.place.environment.start_temporal(options).await?;
    bench.all_settled(2).await?;
    bench.expect_runs(definition, 1).await?;
    assert_eq!(bench.dead_letters().await?.len(), 0);
    Ok(())
}
