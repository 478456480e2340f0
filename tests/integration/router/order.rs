//! The order of starts, for definitions that ask for it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use contracts::names;
use domain::{ActivityId, RunId, TriggerKey};
use serde_json::{Value, json};
use testkit::Program;
use testkit::fault::{Fault as CallFault, FaultyProgram};

use super::FAST;
use super::bench::{Bench, user_created};
use super::fault_proxy::{Fault, FaultProxy};

fn in_order() -> Value {
    json!({"eventType": "user.created", "ordering": "BySubject"})
}

fn event(event_id: &str, subject: &str) -> Value {
    let mut event = user_created(event_id, "users");
    event["subject"] = json!(subject);
    event
}

fn workflow_id(activity: ActivityId, event_id: &str) -> String {
    let trigger = TriggerKey::Event {
        source: "users".to_owned(),
        event_id: event_id.to_owned(),
    };
    names::event_workflow_id(activity, RunId::of(activity, &trigger))
}

/// Asserts that the runs of these events were accepted one after the other.
async fn expect_order(bench: &Bench, activity: ActivityId, event_ids: &[String]) -> Result<()> {
    let mut starts = BTreeMap::new();
    for workflow in bench.workflows(activity).await? {
        let id = workflow.execution.context("no execution")?.workflow_id;
        let started = workflow.start_time.context("no start time")?;
        starts.insert(id, (started.seconds, started.nanos));
    }
    let mut times = Vec::new();
    for event_id in event_ids {
        let id = workflow_id(activity, event_id);
        times.push(
            *starts
                .get(&id)
                .with_context(|| format!("{event_id} has no run"))?,
        );
    }
    assert!(times.is_sorted(), "{event_ids:?} started at {times:?}");
    Ok(())
}

#[tokio::test]
async fn two_routers_with_many_events_in_hand_keep_the_order_of_each_subject() -> Result<()> {
    const SUBJECTS: usize = 4;
    const EACH: usize = 30;
    let bench = Bench::new("order").await?;
    let definition = bench.define("in-order", in_order()).await?;
    // One that does not ask for it is not held up, and makes the events interleave.
    let any = bench
        .define("any", json!({"eventType": "user.created"}))
        .await?;
    let _one = bench.start([]).await?;
    let _other = bench.start([]).await?;
    let mut events: Vec<Vec<String>> = vec![Vec::new(); SUBJECTS];
    for number in 0..EACH {
        for (subject, ids) in events.iter_mut().enumerate() {
            let id = format!("{subject}-{number}");
            bench
                .publish(&event(&id, &format!("user/{subject}")))
                .await?;
            ids.push(id);
        }
    }
    let count = SUBJECTS * EACH;
    bench.all_settled(u64::try_from(count)?).await?;
    bench.expect_runs(definition, count).await?;
    bench.expect_runs(any, count).await?;
    for ids in &events {
        expect_order(&bench, definition, ids).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_router_that_hangs_with_the_first_event_does_not_hold_up_the_second_nor_lose_the_order()
-> Result<()> {
    let bench = Bench::new("order helped").await?;
    let definition = bench.define("in-order", in_order()).await?;
    let proxy = FaultProxy::to(bench.place.environment.temporal_host()).await?;
    let hanging = bench.start([("TEMPORAL_HOST", proxy.address())]).await?;
    proxy.set(Fault::Closed);
    bench.publish(&event("first", "user/42")).await?;
    bench.logged(&hanging, "still away").await?;

    let other = bench.start([]).await?;
    for id in ["second", "third"] {
        bench.publish(&event(id, "user/42")).await?;
    }
    // All three, although the first is still in the other's hand.
    bench.expect_runs(definition, 3).await?;
    assert!(bench.consumer().await?.num_ack_pending > 0);
    let started = "activity_core_router_definition_events_total{name=\"in-order\",\
                   namespace=\"team\",reason=\"\",result=\"started\"";
    assert_eq!(bench.metric(&other, started).await?, 3);

    proxy.set(Fault::None);
    bench.all_settled(3).await?;
    bench.expect_runs(definition, 3).await?;
    let ids = ["first", "second", "third"].map(str::to_owned);
    expect_order(&bench, definition, &ids).await
}

/// Strikes the calls number `from` to `to` by which runs are started.
fn strike(router: &FaultyProgram, (from, to): (usize, usize), kind: &str, variant: u64) {
    let faults: Vec<CallFault> = (from..=to)
        .filter_map(|number| {
            let fault = format!("temporal:StartWorkflowExecution#{number}/{kind}");
            fault.parse().ok()
        })
        .collect();
    router.conductor().arm(&faults, variant);
}

#[tokio::test]
async fn a_first_event_that_cannot_be_started_holds_up_the_second_until_it_is_settled() -> Result<()>
{
    let bench = Bench::new("order failing").await?;
    let definition = bench.define("in-order", in_order()).await?;
    let router =
        FaultyProgram::start(&bench.place.environment, Program::EventRouter, &FAST).await?;
    // INTERNAL, and Temporal is there: the client tries about ten times, and then the router.
    strike(&router, (1, 20), "retryable", 2);
    for id in ["failing", "after it"] {
        bench.publish(&event(id, "user/42")).await?;
    }
    bench.publish(&event("beside it", "user/43")).await?;
    bench.all_settled(3).await?;
    bench.expect_runs(definition, 3).await?;
    assert_eq!(bench.dead_letters().await?.len(), 0);
    let ids = ["failing", "after it"].map(str::to_owned);
    expect_order(&bench, definition, &ids).await?;

    // INVALID_ARGUMENT: it is a dead letter, and those after it go on. The next one comes when that is
    // decided: it would try the one before it too, and only one call is struck.
    strike(&router, (1, 1), "permanent", 1);
    bench.publish(&event("refused", "user/44")).await?;
    bench.all_settled(4).await?;
    bench.publish(&event("after that", "user/44")).await?;
    bench.all_settled(5).await?;
    let letters = bench.dead_letters().await?;
    assert_eq!(letters.len(), 1, "{letters:?}");
    bench.expect_runs(definition, 4).await?;
    router.stop().await
}
