//! A sample of what `router-endurance` does with many thousands of events.

use anyhow::Result;
use testkit::Stack;
use tests::endurance::{self, Options};

#[tokio::test]
async fn no_blow_to_routers_nats_or_temporal_loses_an_event_or_runs_one_twice() -> Result<()> {
    let options = Options {
        events: 300,
        seed: 7,
        starting: 30,
        duplicates: 5,
        poison: 5,
        routers: 2,
        kills: 4,
        nats_restarts: 1,
        temporal_restarts: 1,
        timeout_seconds: 240,
    };
    let report = endurance::run(&Stack::shared().await?, &options).await?;
    assert!(report.violations.is_empty(), "{report}");
    Ok(())
}
