//! A rolling update: two builds side by side, then only the new one.

use std::time::Duration;

use anyhow::Result;
use domain::RunOutcome;
use serde_json::json;
use testkit::Signal;

use super::run::RunPlace;

#[tokio::test]
async fn a_run_of_the_old_build_ends_while_the_new_one_takes_new_runs() -> Result<()> {
    let place = RunPlace::new("builds").await?;
    place
        .define(json!({
            "instruction": {"model": "m", "prompt": "p", "timeoutSeconds": 60},
            "reports": [{"name": "hub", "stateHub": {"eventType": "daily_triage"}}]}))
        .await?;
    let chat = place.stand_ins().chat.traffic();
    chat.delay_next(1, Duration::from_secs(5));
    let old = place.worker([("WORKER_BUILD_ID", "old-build")]).await?;
    let begun = place.start_by_request("of the old build").await?;
    place
        .pending_activity(&begun.workflow_id, "complete_instruction")
        .await?;

    let _new = place.worker([("WORKER_BUILD_ID", "new-build")]).await?;
    old.kill(Signal::TERM)?;
    assert!(old.wait(Duration::from_secs(30)).await?.success());
    let next = place.start_by_request("of the new build").await?;
    for start in [&begun, &next] {
        let run = place.ended(start.run_id).await?;
        assert_eq!(run.outcome, RunOutcome::Succeeded, "{:?}", run.error);
        place.closed(&start.workflow_id).await?;
    }
    // Nothing was done twice on the way.
    assert_eq!(chat.requests().len(), 2);
    assert_eq!(place.stand_ins().state_hub.entries().len(), 2);
    let history = place.history(&begun.workflow_id).await?;
    assert!(history.contains("old-build"), "{history}");
    let history = place.history(&next.workflow_id).await?;
    assert!(
        history.contains("new-build") && !history.contains("old-build"),
        "{history}"
    );
    Ok(())
}
