//! No event lost, none run twice: the router's claims, on a real NATS, Temporal and Postgres.
//!
//! The definitions are written to the mirror directly, as the operator would, and no worker runs:
//! a run is a workflow that Temporal has accepted.

mod bench;
mod dead_letters;
mod endurance;
mod envelopes;
mod events;
mod fault_proxy;
mod monitoring;
mod order;
mod temporal_lost;

use anyhow::Result;
use async_nats::jetstream::stream;
use contracts::dead_letter::headers;
use contracts::names;
use serde_json::json;
use testkit::{Program, Signal};

use crate::place::PATIENCE;
use bench::{Bench, user_created};
use fault_proxy::{Fault, FaultProxy};

/// Events that a killed router had in hand come again soon.
const FAST: [(&str, &str); 1] = [("ROUTER_ACK_WAIT_SECONDS", "2")];

#[tokio::test]
async fn an_event_published_several_times_is_one_run_for_each_definition() -> Result<()> {
    let bench = Bench::new("duplicates").await?;
    let router = bench.start([]).await?;
    let first = bench
        .define("first", json!({"eventType": "user.created"}))
        .await?;
    let second = bench
        .define("second", json!({"eventType": "user.created"}))
        .await?;
    for _ in 0..5 {
        bench.publish(&user_created("1", "users")).await?;
    }
    bench.all_settled(5).await?;
    bench.expect_runs(first, 1).await?;
    bench.expect_runs(second, 1).await?;
    assert_eq!(bench.dead_letters().await?.len(), 0);
    for (result, count) in [("started", 1), ("duplicate", 4)] {
        let series = format!(
            "activity_core_router_definition_events_total{{name=\"first\",namespace=\"team\",\
             reason=\"\",result=\"{result}\""
        );
        assert_eq!(bench.metric(&router, &series).await?, count, "{result}");
    }
    Ok(())
}

#[tokio::test]
async fn equal_event_ids_of_two_sources_are_two_runs() -> Result<()> {
    let bench = Bench::new("two sources").await?;
    let _router = bench.start([]).await?;
    let definition = bench
        .define("all", json!({"eventType": "user.created"}))
        .await?;
    bench.publish(&user_created("1", "users")).await?;
    bench.publish(&user_created("1", "billing")).await?;
    bench.all_settled(2).await?;
    bench.expect_runs(definition, 2).await
}

#[tokio::test]
async fn an_event_meets_a_definition_that_was_written_just_before_it() -> Result<()> {
    let bench = Bench::new("freshness").await?;
    let _router = bench.start([]).await?;
    let mut definitions = Vec::new();
    for number in 0..30 {
        let name = format!("definition-{number}");
        let event_type = format!("type.{number}");
        let definition = bench
            .define(&name, json!({"eventType": event_type}))
            .await?;
        let mut event = user_created("1", "users");
        event["type"] = json!(event_type);
        bench.publish(&event).await?;
        definitions.push(definition);
    }
    bench.all_settled(30).await?;
    for definition in definitions {
        bench.expect_runs(definition, 1).await?;
    }
    Ok(())
}

#[tokio::test]
async fn poison_becomes_a_dead_letter_and_the_next_event_is_routed() -> Result<()> {
    let bench = Bench::new("poison").await?;
    let _router = bench.start([]).await?;
    let sound = bench
        .define("sound", json!({"eventType": "user.created"}))
        .await?;
    let broken = json!({"eventType": "user.created", "condition": "payload.missing == 1"});
    let broken = bench.define("broken", broken).await?;
    bench
        .publish_bytes(
            b"{",
            &[
                ("Nats-Expected-Stream", names::EVENT_STREAM),
                ("trace", "abc"),
            ],
        )
        .await?;
    bench.publish(&user_created("1", "users")).await?;
    bench.all_settled(2).await?;
    bench.expect_runs(sound, 1).await?;
    bench.expect_runs(broken, 0).await?;

    let mut letters = bench.dead_letters().await?;
    letters.sort_by_key(|letter| letter.header(headers::ORIGINAL_SEQUENCE));
    let [unreadable, undecided] = &letters[..] else {
        anyhow::bail!("two dead letters are expected: {letters:?}");
    };
    assert_eq!(unreadable.payload, b"{");
    assert_eq!(unreadable.subject, "activity-dlq.activity.user.created");
    assert_eq!(unreadable.header(headers::REASON), "InvalidEnvelope");
    assert_eq!(
        unreadable.header(headers::ORIGINAL_STREAM),
        names::EVENT_STREAM
    );
    assert_eq!(
        unreadable.header(headers::ORIGINAL_SUBJECT),
        "activity.user.created"
    );
    assert_eq!(unreadable.header(headers::ORIGINAL_SEQUENCE), "1");
    assert_eq!(unreadable.header("trace"), "abc");
    assert!(unreadable.header(headers::ERROR).contains("not JSON"));
    assert_eq!(undecided.header(headers::REASON), "ConditionError");
    assert_eq!(undecided.header(headers::DEFINITIONS), "team/broken");
    let payload: serde_json::Value = serde_json::from_slice(&undecided.payload)?;
    assert_eq!(payload, user_created("1", "users"));
    Ok(())
}

#[tokio::test]
async fn a_poisonous_event_of_the_largest_size_is_put_aside_without_its_body() -> Result<()> {
    let bench = Bench::new("largest").await?;
    let _router = bench.start([]).await?;
    // NATS takes messages of 1 MiB: no header has room beside this body.
    bench.publish_bytes(&vec![b'x'; 1024 * 1024], &[]).await?;
    bench.all_settled(1).await?;
    let letters = bench.dead_letters().await?;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].payload, b"");
    assert_eq!(letters[0].header(headers::BODY_OMITTED), "true");
    assert_eq!(letters[0].header(headers::ORIGINAL_SEQUENCE), "1");
    Ok(())
}

#[tokio::test]
async fn an_event_that_breaks_an_enforced_schema_is_a_dead_letter() -> Result<()> {
    let bench = Bench::new("schema").await?;
    let _router = bench.start([]).await?;
    let definition = bench
        .define("all", json!({"eventType": "user.created"}))
        .await?;
    bench
        .describe("user.created", "Enforce", json!({"required": ["region"]}))
        .await?;
    bench.publish(&user_created("1", "users")).await?;
    bench.all_settled(1).await?;
    let letters = bench.dead_letters().await?;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].header(headers::REASON), "SchemaViolation");

    bench
        .describe("user.created", "Warn", json!({"required": ["region"]}))
        .await?;
    bench.publish(&user_created("2", "users")).await?;
    bench.all_settled(2).await?;
    bench.expect_runs(definition, 1).await
}

#[tokio::test]
async fn a_router_killed_between_start_and_acknowledgement_causes_no_second_run() -> Result<()> {
    let bench = Bench::new("killed").await?;
    let proxy = FaultProxy::to(bench.place.environment.nats_url()).await?;
    let url = format!("nats://{}", proxy.address());
    let cut_off = bench.start([FAST[0], ("NATS_URL", &url)]).await?;
    let definition = bench
        .define("all", json!({"eventType": "user.created"}))
        .await?;
    proxy.set(Fault::SwallowAcknowledgements);
    bench.publish(&user_created("1", "users")).await?;
    bench.expect_runs(definition, 1).await?;
    assert_eq!(bench.consumer().await?.num_ack_pending, 1);
    cut_off.kill(Signal::KILL)?;

    let next = bench.start(FAST).await?;
    bench.all_settled(1).await?;
    bench.expect_runs(definition, 1).await?;
    let duplicates = "activity_core_router_events_total{result=\"duplicate\"}";
    assert_eq!(bench.metric(&next, duplicates).await?, 1);
    Ok(())
}

#[tokio::test]
async fn routers_that_are_killed_at_any_time_lose_no_event_and_run_none_twice() -> Result<()> {
    const EVENTS: u64 = 400;
    let bench = Bench::new("kills").await?;
    let mut victim = bench.start(FAST).await?;
    let survivor = bench.start(FAST).await?;
    let definition = bench
        .define("all", json!({"eventType": "user.created"}))
        .await?;
    for number in 0..EVENTS {
        bench
            .publish(&user_created(&number.to_string(), "users"))
            .await?;
        if number % 100 == 99 {
            victim.kill(Signal::KILL)?;
            victim = bench.start(FAST).await?;
        }
    }
    // The last two end in an orderly way, with events in hand.
    survivor.stop().await?;
    victim.stop().await?;
    let _last = bench.start(FAST).await?;
    bench.all_settled(EVENTS).await?;
    bench
        .expect_runs(definition, usize::try_from(EVENTS)?)
        .await?;
    assert_eq!(bench.dead_letters().await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn an_event_waits_for_temporal_and_is_no_dead_letter() -> Result<()> {
    let bench = Bench::new("temporal away").await?;
    let proxy = FaultProxy::to(bench.place.environment.temporal_host()).await?;
    // One counted failure would make a dead letter of it, and one second without a sign of life
    // another delivery.
    let router = bench
        .start([
            ("TEMPORAL_HOST", proxy.address()),
            ("ROUTER_MAX_DELIVERIES", "1"),
            ("ROUTER_ACK_WAIT_SECONDS", "1"),
        ])
        .await?;
    let definition = bench
        .define("all", json!({"eventType": "user.created"}))
        .await?;
    proxy.set(Fault::Closed);
    bench.publish(&user_created("1", "users")).await?;
    bench.logged(&router, "still away").await?;
    assert_eq!(bench.consumer().await?.num_ack_pending, 1);
    assert!(bench.unready(&router).await?.contains("[-] temporal"));
    // Whoever watches sees an event that waits, and for how long.
    for gauge in ["oldest_pending_seconds", "consumer_ack_pending"] {
        let gauge = format!("activity_core_router_{gauge} ");
        bench.rises(&router, &gauge).await?;
    }

    proxy.set(Fault::None);
    bench.all_settled(1).await?;
    bench.expect_runs(definition, 1).await?;
    assert_eq!(bench.dead_letters().await?.len(), 0);
    // It was held in place all the time.
    assert_eq!(bench.consumer().await?.delivered.consumer_sequence, 1);
    Ok(())
}

#[tokio::test]
async fn an_event_waits_for_postgres_and_meets_what_was_changed_meanwhile() -> Result<()> {
    let bench = Bench::new("postgres away").await?;
    let url = bench.place.environment.database_url().to_owned();
    let (_, host_and_name) = url.split_once('@').unwrap();
    let (host, name) = host_and_name.split_once('/').unwrap();
    let proxy = FaultProxy::to(host).await?;
    let through_proxy = url.replace(host_and_name, &format!("{}/{name}", proxy.address()));
    let router = bench
        .start([("ACTCORE_DB_URL", through_proxy.as_str())])
        .await?;
    proxy.set(Fault::Closed);
    bench.logged(&router, "unable to listen").await?;
    bench.publish(&user_created("1", "users")).await?;
    bench.logged(&router, "events wait").await?;
    let definition = bench
        .define("late", json!({"eventType": "user.created"}))
        .await?;

    proxy.set(Fault::None);
    bench.all_settled(1).await?;
    bench.expect_runs(definition, 1).await?;
    assert_eq!(bench.consumer().await?.delivered.consumer_sequence, 1);
    Ok(())
}

#[tokio::test]
async fn a_lost_connection_to_nats_comes_back_by_itself() -> Result<()> {
    let bench = Bench::new("nats away").await?;
    let proxy = FaultProxy::to(bench.place.environment.nats_url()).await?;
    let url = format!("nats://{}", proxy.address());
    let router = bench.start([FAST[0], ("NATS_URL", &url)]).await?;
    let definition = bench
        .define("all", json!({"eventType": "user.created"}))
        .await?;
    bench.publish(&user_created("before", "users")).await?;
    bench.all_settled(1).await?;
    proxy.set(Fault::Closed);
    bench.logged(&router, "connection to NATS is lost").await?;
    bench.publish(&user_created("during", "users")).await?;
    proxy.set(Fault::None);
    bench.publish(&user_created("after", "users")).await?;
    bench.all_settled(3).await?;
    bench.expect_runs(definition, 3).await?;
    // Nobody hammers on a closed door, nor fills the log with it.
    let lines = std::fs::read_to_string(router.log_path())?.lines().count();
    assert!(lines < 100, "{lines} lines in the log");
    Ok(())
}

/// What a router says that does not start. It may have been alive for a moment.
async fn refusal(bench: &Bench) -> Result<String> {
    match bench.start([]).await {
        Err(error) => Ok(format!("{error:#}")),
        Ok(router) => {
            let ended = router.wait(PATIENCE).await?;
            assert!(!ended.success(), "{ended}");
            Ok(std::fs::read_to_string(router.log_path())?)
        }
    }
}

#[tokio::test]
async fn a_foreign_stream_is_named_with_its_difference_and_left_alone() -> Result<()> {
    let bench = Bench::new("foreign").await?;
    let foreign = stream::Config {
        name: names::EVENT_STREAM.to_owned(),
        subjects: vec!["orders.>".to_owned()],
        ..stream::Config::default()
    };
    bench.jetstream.create_stream(foreign).await?;
    let text = refusal(&bench).await?;
    assert!(
        text.contains("the stream ACTIVITY_EVENTS exists with subjects [\"orders.>\"]"),
        "{text}"
    );
    let stream = bench.jetstream.get_stream(names::EVENT_STREAM).await?;
    assert_eq!(stream.cached_info().config.subjects, ["orders.>"]);
    Ok(())
}

#[tokio::test]
async fn a_consumer_that_could_lose_events_is_refused_and_left_alone() -> Result<()> {
    let bench = Bench::new("foreign consumer").await?;
    // The first router makes the stream.
    bench.start([]).await?.stop().await?;
    let stream = bench.jetstream.get_stream(names::EVENT_STREAM).await?;
    stream.delete_consumer(names::EVENT_CONSUMER).await?;
    let foreign = async_nats::jetstream::consumer::pull::Config {
        durable_name: Some(names::EVENT_CONSUMER.to_owned()),
        max_deliver: 3,
        ..Default::default()
    };
    stream.create_consumer(foreign).await?;
    let text = refusal(&bench).await?;
    assert!(
        text.contains("the consumer activity-core-event-router exists with max_deliver 3"),
        "{text}"
    );
    assert_eq!(bench.consumer().await?.config.max_deliver, 3);
    Ok(())
}

#[tokio::test]
async fn a_missing_setting_is_named() -> Result<()> {
    let bench = Bench::new("settings").await?;
    for variable in ["NATS_URL", "ACTCORE_DB_URL", "TEMPORAL_HOST"] {
        let log = bench
            .place
            .environment
            .folder()
            .join(format!("{variable}.log"));
        let binary = testkit::binary(Program::EventRouter.binary())?;
        let mut command = testkit::process::Command::new("router", binary, &log);
        let ports = [
            ("HEALTH_BIND_ADDR", "127.0.0.1:0"),
            ("PROMETHEUS_BIND_ADDR", "127.0.0.1:0"),
        ];
        let ports = ports.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = bench.place.environment.env().into_iter();
        command.environment = settings
            .chain(ports)
            .filter(|(name, _)| name != variable)
            .collect();
        let status = command.spawn()?.wait(PATIENCE).await?;
        assert!(!status.success());
        let log = std::fs::read_to_string(log)?;
        assert!(log.contains(&format!("{variable} is required")), "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn an_event_that_nobody_waits_for_is_logged_with_its_type() -> Result<()> {
    let bench = Bench::new("unmatched").await?;
    let router = bench.start([]).await?;
    let filters = json!({"eventType": "user.created", "filters": {"tier": "free"}});
    let definition = bench.define("free", filters).await?;
    bench.publish(&user_created("1", "users")).await?;
    bench.all_settled(1).await?;
    bench.expect_runs(definition, 0).await?;
    let log = std::fs::read_to_string(router.log_path())?;
    let line = log
        .lines()
        .find(|line| line.contains("matched no definitions"));
    let line = line.unwrap();
    assert!(line.contains("\"event_type\":\"user.created\""), "{line}");
    assert!(line.contains("the filter asks for"), "{line}");
    Ok(())
}
