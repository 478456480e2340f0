//! What the runbook looks at when an event is not routed: NATS' own pages.

use anyhow::{Context as _, Result};
use contracts::names;
use serde_json::{Value, json};

use super::bench::{Bench, get, user_created};

#[tokio::test]
async fn jsz_shows_the_stream_and_the_consumer_as_the_runbook_says() -> Result<()> {
    let bench = Bench::new("jsz").await?;
    let _router = bench.start([]).await?;
    let _definition = bench
        .define("all", json!({"eventType": "user.created"}))
        .await?;
    bench.publish(&user_created("1", "users")).await?;
    bench.all_settled(1).await?;
    let monitoring = bench.place.environment.nats().monitoring_url().to_owned();

    let (status, page) = get(&format!("{monitoring}/jsz")).await?;
    assert_eq!(status, 200);
    let page: Value = serde_json::from_str(&page)?;
    // By number only: names are on the second page.
    assert_eq!(
        (&page["streams"], &page["consumers"]),
        (&json!(2), &json!(1))
    );

    let (status, page) = get(&format!("{monitoring}/jsz?consumers=true")).await?;
    assert_eq!(status, 200);
    let page: Value = serde_json::from_str(&page)?;
    let streams = page["account_details"][0]["stream_detail"]
        .as_array()
        .context("no streams")?;
    let find = |list: &[Value], name: &str| {
        let found = list.iter().find(|entry| entry["name"] == name);
        found
            .cloned()
            .with_context(|| format!("no {name} in {list:?}"))
    };
    let events = find(streams, names::EVENT_STREAM)?;
    assert_eq!(events["state"]["messages"], 1);
    find(streams, names::DEAD_LETTER_STREAM)?;
    let consumers = events["consumer_detail"]
        .as_array()
        .context("no consumers")?;
    let consumer = find(consumers, names::EVENT_CONSUMER)?;
    // What is waiting, what is in hand, and up to where everything is done.
    assert_eq!(consumer["num_pending"], 0);
    assert_eq!(consumer["num_ack_pending"], 0);
    assert_eq!(consumer["ack_floor"]["stream_seq"], 1);
    Ok(())
}
