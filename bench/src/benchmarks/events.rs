//! Events per router: matched ones against raw starts, unmatched ones against raw fetch and ack.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_nats::jetstream::{self, consumer};
use contracts::names;
use domain::ActivityId;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use temporal::RunStart;
use testkit::{Program, RunningProgram};
use uuid::Uuid;

use super::{Size, in_turn};
use crate::figures::{Figure, Limit, to_f64};
use crate::place::{PATIENCE, Place, Servers};
use crate::scrape::{Histogram, Scrape};

/// Events in hand at once, ours; calls at once, the peer's.
const CONCURRENCY: usize = 32;

/// Matched events a round.
const MATCHED: usize = 1000;

/// Unmatched events a round.
const UNMATCHED: usize = 100_000;

/// How often the routers' consumer is looked at. A look costs about as much as forty events, and the
/// peer pays for none; a round takes two seconds or more.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Events a raw consumer fetches at once, as many as a router has in hand by default.
const BATCH: usize = 256;

const EVENT_SECONDS: &str = "activity_core_router_event_duration_seconds";

pub(super) async fn measure(servers: &Servers, size: Size) -> Result<Vec<Figure>> {
    let place = servers.place("events").await?;
    let client = async_nats::connect(place.environment.nats_url()).await?;
    let jetstream = jetstream::new(client);
    define(&place, 1, "order.placed").await?;
    define(&place, 9, "some.other").await?;
    let mut figures = matched(&place, &jetstream, size).await?;
    let few = unmatched(&place, &jetstream, size).await?;
    define(&place, size.definitions, "another.kind").await?;
    let many = unmatched(&place, &jetstream, size).await?;
    let mut growth = Figure::against(
        format!(
            "time per unmatched event with {} definitions",
            size.definitions
        ),
        "with 10 definitions",
        "µs",
        Limit::AtMost(1.2),
    );
    for (many, few) in many.rounds.iter().zip(&few.rounds) {
        growth.round(1e6 / many.ours, 1e6 / few.ours);
    }
    figures.extend([few, growth]);
    Ok(figures)
}

/// Writes event definitions to the mirror, as the operator would.
async fn define(place: &Place, count: usize, event_type: &str) -> Result<()> {
    sqlx::query(
        "insert into activity_definitions
           (activity_id, namespace, name, uid, generation, display_name, enabled, event_type, spec)
         select id, 'bench', $2 || '-' || id, id, 1, $2, true, $2,
                jsonb_build_object('trigger', jsonb_build_object('event',
                    jsonb_build_object('eventType', $2, 'filters', '{\"tier\": \"pro\"}'::jsonb)))
         from (select gen_random_uuid() as id from generate_series(1, $1::bigint)) as ids",
    )
    .bind(i64::try_from(count)?)
    .bind(event_type)
    .execute(place.store.pool())
    .await?;
    Ok(())
}

async fn matched(place: &Place, jetstream: &jetstream::Context, size: Size) -> Result<Vec<Figure>> {
    let in_flight = CONCURRENCY.to_string();
    let settings = [("ROUTER_MAX_IN_FLIGHT", in_flight.as_str())];
    let router = place.start(Program::EventRouter, &settings).await?;
    let mut rate = Figure::against(
        "events matched → workflows started, per router",
        format!("raw StartWorkflow, {CONCURRENCY} at once"),
        "1/s",
        Limit::AtLeast(0.95),
    );
    let mut tail = Figure::against(
        "one event, from fetch to ack, p99",
        "one raw start, p99",
        "ms",
        Limit::AtMost(1.25),
    );
    // The first start of a connection costs more than the others, on both sides.
    consumed(jetstream, "order.placed", CONCURRENCY).await?;
    start_raw(place, CONCURRENCY).await?;
    for round in 0..size.rounds {
        let ours = matched_events(&router, jetstream);
        let (raw, ours) = in_turn(round, raw_starts(place), ours).await?;
        rate.round(
            per_second(MATCHED, ours.took),
            per_second(MATCHED, raw.took),
        );
        tail.round(
            ours.each.quantile(0.99) * 1000.0,
            ours.each.alike(&raw.each).quantile(0.99) * 1000.0,
        );
    }
    router.stop().await?;
    Ok(vec![rate, tail])
}

/// One side of a round: how long all took, and each in seconds.
struct Side<T> {
    took: Duration,
    each: T,
}

async fn raw_starts(place: &Place) -> Result<Side<Vec<f64>>> {
    let began = Instant::now();
    let times = start_raw(place, MATCHED).await?;
    let took = began.elapsed();
    let each = times.iter().map(Duration::as_secs_f64).collect();
    Ok(Side { took, each })
}

async fn matched_events(
    router: &RunningProgram,
    jetstream: &jetstream::Context,
) -> Result<Side<Histogram>> {
    let before = scrape(router).await?.histogram(EVENT_SECONDS);
    let took = consumed(jetstream, "order.placed", MATCHED).await?;
    let after = scrape(router).await?.histogram(EVENT_SECONDS);
    let each = after.since(&before);
    Ok(Side { took, each })
}

/// The bare work: as many starts of the same kind of run, by the same client.
async fn start_raw(place: &Place, count: usize) -> Result<Vec<Duration>> {
    let activity = ActivityId::new(Uuid::new_v4());
    let starting = (0..count).map(|number| async move {
        let start = RunStart::by_request(activity, "bench", &number.to_string());
        let began = Instant::now();
        place.temporal.start_run(&start).await?;
        anyhow::Ok(began.elapsed())
    });
    stream::iter(starting)
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await
}

async fn unmatched(place: &Place, jetstream: &jetstream::Context, size: Size) -> Result<Figure> {
    let mut figure = Figure::against(
        "events that match nothing, per router",
        format!("raw fetch and ack, {BATCH} at once"),
        "1/s",
        Limit::AtLeast(0.8),
    );
    let router = place.start(Program::EventRouter, &[]).await?;
    consumed(jetstream, "nobody.cares", BATCH).await?;
    for round in 0..size.rounds {
        let raw = Box::pin(fetch_and_ack(jetstream, UNMATCHED));
        let ours = Box::pin(consumed(jetstream, "nobody.cares", UNMATCHED));
        let (raw, ours) = in_turn(round, raw, ours).await?;
        figure.round(per_second(UNMATCHED, ours), per_second(UNMATCHED, raw));
    }
    router.stop().await?;
    Ok(figure)
}

async fn scrape(router: &RunningProgram) -> Result<Scrape> {
    Scrape::of(&format!("{}/metrics", router.metrics_url())).await
}

fn per_second(count: usize, time: Duration) -> f64 {
    to_f64(count) / time.as_secs_f64()
}

/// How long the router takes over events that are all there when it begins. The consumer is paused
/// meanwhile, as publishing would take the processor and the server from both sides unequally. The
/// clock starts when the first event is out: a consumer that goes on serves the next fetch, which is
/// up to some seconds away.
async fn consumed(
    jetstream: &jetstream::Context,
    event_type: &str,
    count: usize,
) -> Result<Duration> {
    let stream = jetstream.get_stream(names::EVENT_STREAM).await?;
    let far_away = chrono::Utc::now() + PATIENCE;
    stream
        .pause_consumer(names::EVENT_CONSUMER, far_away)
        .await?;
    publish(
        jetstream,
        &format!("activity.{event_type}"),
        event_type,
        count,
    )
    .await?;
    stream.resume_consumer(names::EVENT_CONSUMER).await?;
    let waiting = u64::try_from(count)?;
    consumer_until(jetstream, |left| left.pending < waiting).await?;
    let began = Instant::now();
    consumer_until(jetstream, |left| {
        left.pending == 0 && left.unacknowledged == 0
    })
    .await?;
    Ok(began.elapsed())
}

async fn publish(
    jetstream: &jetstream::Context,
    subject: &str,
    event_type: &str,
    count: usize,
) -> Result<()> {
    let publishing = (0..count).map(|_| async move {
        let event = json!({
            "event_id": Uuid::new_v4(), "type": event_type, "source": "bench",
            "occurred_at": "2026-11-24T09:00:00Z", "subject": "order/1", "payload": {"tier": "pro"},
        });
        let body = event.to_string().into();
        let sent = jetstream.publish(subject.to_owned(), body).await?;
        sent.await?;
        anyhow::Ok(())
    });
    let mut publishing = stream::iter(publishing).buffer_unordered(BATCH);
    while publishing.try_next().await?.is_some() {}
    Ok(())
}

/// What the routers' consumer has left.
struct Left {
    pending: u64,
    unacknowledged: usize,
}

async fn consumer_until(
    jetstream: &jetstream::Context,
    is_enough: impl Fn(&Left) -> bool,
) -> Result<()> {
    let stream = jetstream.get_stream(names::EVENT_STREAM).await?;
    let looking = async {
        loop {
            let info = stream.consumer_info(names::EVENT_CONSUMER).await?;
            let left = Left {
                pending: info.num_pending,
                unacknowledged: info.num_ack_pending,
            };
            if is_enough(&left) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .context("the router leaves events over")?
}

/// The bare work: as many of the same events, fetched by a consumer of its own and acknowledged,
/// each answered by the server.
async fn fetch_and_ack(jetstream: &jetstream::Context, count: usize) -> Result<Duration> {
    const STREAM: &str = "BARE";
    let stream = jetstream
        .get_or_create_stream(jetstream::stream::Config {
            name: STREAM.to_owned(),
            subjects: vec!["bare.>".to_owned()],
            ..Default::default()
        })
        .await?;
    publish(jetstream, "bare.event", "nobody.cares", count).await?;
    let began = Instant::now();
    let consumer = stream
        .create_consumer(consumer::pull::Config {
            durable_name: Some("bare".to_owned()),
            max_ack_pending: i64::try_from(BATCH)?,
            ..Default::default()
        })
        .await?;
    let fetching = async {
        let messages = consumer.messages().await?;
        let mut acks = messages
            .take(count)
            .map(|message| async move {
                let message = message?;
                let acked = message.double_ack().await;
                acked.map_err(|error| anyhow::anyhow!("{error}"))
            })
            .buffer_unordered(BATCH);
        while acks.try_next().await?.is_some() {}
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, fetching)
        .await
        .context("the bare consumer is stuck")??;
    let took = began.elapsed();
    jetstream.delete_stream(STREAM).await?;
    Ok(took)
}
