//! `actcore dlq`, on dead letters that a router wrote.

use anyhow::Result;
use contracts::dead_letter::headers;
use serde_json::{Value, json};

use super::bench::{Bench, user_created};
use crate::verify::command::Answer;

/// A definition whose condition fails on the runbook's example event.
const BROKEN: &str = "payload.missing == 1";

fn spec(condition: &str) -> Value {
    json!({"trigger": {"event": {"eventType": "user.created", "condition": condition}}})
}

async fn dlq(bench: &Bench, words: &[&str]) -> Result<Answer> {
    bench.actcore().run(&[&["dlq"], words].concat()).await
}

/// The event ids of the dead letters that `list` shows.
async fn listed(bench: &Bench, words: &[&str]) -> Result<Vec<Value>> {
    let answer = dlq(bench, &[&["list", "-o", "json"], words].concat()).await?;
    assert_eq!(answer.code, 0, "{answer:?}");
    let letters = answer.json().as_array().cloned().unwrap_or_default();
    let ids = letters.iter().map(|letter| letter["eventId"].clone());
    Ok(ids.collect())
}

#[tokio::test]
async fn dead_letters_are_redriven_once_their_cause_is_gone() -> Result<()> {
    let bench = Bench::new("redrive").await?;
    let _router = bench.start([]).await?;
    let broken = bench
        .define("broken", spec(BROKEN)["trigger"]["event"].clone())
        .await?;
    // A publisher's own id: the stream would take an event with the same one for the same.
    let own = [("Nats-Msg-Id", "one"), ("publisher", "us")];
    let event = user_created("1", "users").to_string();
    // One after the other, so that the letters have an order.
    bench.publish_bytes(event.as_bytes(), &own).await?;
    bench.all_settled(1).await?;
    bench.publish(&user_created("2", "users")).await?;
    bench.all_settled(2).await?;
    bench.publish_bytes(b"{", &[]).await?;
    bench.all_settled(3).await?;

    let all = [json!("1"), json!("2"), Value::Null];
    assert_eq!(listed(&bench, &[]).await?, all);
    assert_eq!(listed(&bench, &["--since", "1h"]).await?, all);
    assert_eq!(
        listed(&bench, &["--reason", "InvalidEnvelope"]).await?,
        [Value::Null]
    );
    assert_eq!(
        listed(&bench, &["--type", "user.created"]).await?,
        [json!("1"), json!("2")]
    );
    let shown = dlq(&bench, &["show", "1", "-o", "json"]).await?.json();
    assert_eq!(shown["originalSequence"], 1);
    assert_eq!(shown["originalMessageId"], "one");
    assert_eq!(shown["headers"], json!([["publisher", "us"]]));
    assert_eq!(shown["body"], user_created("1", "users"));
    assert_eq!(dlq(&bench, &["show", "9"]).await?.code, 3);

    let words = ["redrive", "--all", "--reason", "ConditionError"];
    let refused = dlq(&bench, &words).await?;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("--yes"), "{refused:?}");
    let planned = dlq(&bench, &[&words[..], &["--dry-run"]].concat()).await?;
    assert!(planned.stdout.contains("would be redriven"), "{planned:?}");
    assert_eq!(bench.dead_letters().await?.len(), 3);

    bench
        .write(broken, "broken", spec("payload.tier == 'pro'"))
        .await?;
    let redriven = dlq(&bench, &[&words[..], &["--yes", "-o", "json"]].concat()).await?;
    assert_eq!(redriven.code, 0, "{redriven:?}");
    let new: Vec<Value> = redriven
        .json()
        .as_array()
        .into_iter()
        .flatten()
        .map(|line| line["newSequence"].clone())
        .collect();
    // Neither was swallowed, and they came in the order of old.
    assert_eq!(new, [json!(4), json!(5)]);
    bench.all_settled(5).await?;
    bench.expect_runs(broken, 2).await?;
    let left = bench.dead_letters().await?;
    assert_eq!(left.len(), 1, "{left:?}");
    let again = bench
        .jetstream
        .get_stream(contracts::names::EVENT_STREAM)
        .await?
        .get_raw_message(4)
        .await?;
    let own_headers = runtime::nats::header_pairs(&again.headers);
    assert!(
        own_headers.contains(&("publisher".to_owned(), "us".to_owned())),
        "{own_headers:?}"
    );
    assert!(
        !own_headers.iter().any(|(name, _)| name == headers::REASON),
        "{own_headers:?}"
    );

    let discarded = dlq(&bench, &["discard", "3", "--yes"]).await?;
    assert_eq!(discarded.code, 0, "{discarded:?}");
    assert_eq!(bench.dead_letters().await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_redrive_that_is_broken_off_and_given_again_runs_nothing_twice() -> Result<()> {
    let bench = Bench::new("redrive twice").await?;
    let _router = bench.start([]).await?;
    let broken = bench
        .define("broken", spec(BROKEN)["trigger"]["event"].clone())
        .await?;
    bench.publish(&user_created("1", "users")).await?;
    bench.all_settled(1).await?;
    let stream = bench
        .jetstream
        .get_stream(contracts::names::DEAD_LETTER_STREAM)
        .await?;
    let letter = stream.get_raw_message(1).await?;
    bench
        .write(broken, "broken", spec("payload.tier == 'pro'"))
        .await?;
    assert_eq!(dlq(&bench, &["redrive", "1"]).await?.code, 0);
    bench.all_settled(2).await?;

    // As if the command had been killed before it deleted the dead letter: it lies there again.
    let mut map = letter.headers.clone();
    map.insert("Nats-Msg-Id", "put back");
    let put_back =
        bench
            .jetstream
            .publish_with_headers(letter.subject.clone(), map, letter.payload.clone());
    put_back.await?.await?;
    let again = dlq(&bench, &["redrive", "2"]).await?;
    assert_eq!(again.code, 0, "{again:?}");
    bench.all_settled(3).await?;
    bench.expect_runs(broken, 1).await?;
    assert_eq!(bench.dead_letters().await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn an_event_too_large_to_be_kept_is_redriven_from_its_own_stream() -> Result<()> {
    let bench = Bench::new("redrive large").await?;
    let _router = bench.start([]).await?;
    let broken = bench
        .define("broken", spec(BROKEN)["trigger"]["event"].clone())
        .await?;
    let mut event = user_created("1", "users");
    event["payload"]["filling"] = json!("");
    // A message of NATS takes 1 MiB; here a header of our redrive still fits in, and none of a
    // dead letter.
    let room = 1024 * 1024 - event.to_string().len() - 200;
    event["payload"]["filling"] = json!("x".repeat(room));
    bench.publish(&event).await?;
    bench.all_settled(1).await?;
    let letters = bench.dead_letters().await?;
    assert_eq!(letters[0].header(headers::BODY_OMITTED), "true");

    bench
        .write(broken, "broken", spec("payload.tier == 'pro'"))
        .await?;
    let redriven = dlq(&bench, &["redrive", "1"]).await?;
    assert_eq!(redriven.code, 0, "{redriven:?}");
    bench.all_settled(2).await?;
    bench.expect_runs(broken, 1).await
}
