//! Events and clock ticks that go on while the programs are replaced, and the reckoning after.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, SubsecRound as _, Utc};
use serde_json::json;
use testkit::ports::free_port;
use testkit::process::Process;
use testkit::wait::{self, Seen};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::journey::NAMESPACE;
use crate::ledger::{Ledger, Run};
use crate::shell::Shell;

/// The definitions of the flow: one started by events, one by the clock.
pub(crate) const MANIFEST: &str = "tests/e2e/flow.yaml";
const BY_EVENT: &str = "flow-events";
const BY_CLOCK: &str = "flow-clock";
/// How often the clock starts a run.
const TICK: Duration = Duration::from_secs(5);

const EVENT_PAUSE: Duration = Duration::from_millis(250);
const SETTLE_TIMEOUT: Duration = Duration::from_mins(2);
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);

/// Events that are being published.
pub(crate) struct Flow {
    began: DateTime<Utc>,
    stop: tokio::sync::watch::Sender<bool>,
    publishing: JoinHandle<Result<Vec<Uuid>>>,
    _forward: Process,
}

impl Flow {
    /// Begins to publish.
    pub(crate) async fn start(shell: &Shell) -> Result<Self> {
        let port = free_port()?;
        let forward = shell.start(
            "forward-nats",
            &format!("kubectl -n {NAMESPACE} port-forward svc/actcore-dev-nats {port}:4222"),
        )?;
        let url = format!("nats://127.0.0.1:{port}");
        let client = wait::until("NATS to answer", PUBLISH_TIMEOUT, async || {
            async_nats::connect(&url).await.map(Some)
        })
        .await?;
        let (stop, told_to_stop) = tokio::sync::watch::channel(false);
        let publishing = tokio::spawn(publish(client, told_to_stop));
        Ok(Self {
            began: Utc::now(),
            stop,
            publishing,
            _forward: forward,
        })
    }

    /// Stops publishing, waits until all is done, and reckons: each event and each tick must have
    /// exactly one run that succeeded, or be accounted for.
    pub(crate) async fn reckon(self, ledger: &Ledger) -> Result<String> {
        self.stop.send_replace(true);
        let events = tokio::time::timeout(PUBLISH_TIMEOUT, self.publishing)
            .await
            .context("publishing did not stop")?
            .context("publishing has panicked")??;
        let (from, to) = (self.began, Utc::now());
        let settled = wait::until("all runs to have ended", SETTLE_TIMEOUT, async || {
            let by_event = ledger.runs(BY_EVENT).await?;
            let by_clock = ledger.runs(BY_CLOCK).await?;
            let reckoning = Reckoning::new(&events, (from, to), &by_event, &by_clock);
            anyhow::Ok(if reckoning.is_settled() {
                Seen::Done(reckoning)
            } else {
                Seen::NotYet(reckoning.to_string())
            })
        })
        .await?;
        settled.check()?;
        Ok(settled.to_string())
    }
}

async fn publish(
    client: async_nats::Client,
    mut stop: tokio::sync::watch::Receiver<bool>,
) -> Result<Vec<Uuid>> {
    let stream = async_nats::jetstream::new(client);
    let mut published = Vec::new();
    while !*stop.borrow() {
        let id = Uuid::new_v4();
        let event = json!({
            "event_id": id,
            "type": "e2e.flow",
            "source": "e2e",
            "occurred_at": Utc::now(),
            "subject": "e2e",
            "trace_id": Uuid::new_v4(),
            "payload": {"number": published.len()},
        });
        let sending = async {
            let sent = stream.publish("activity.e2e.flow", event.to_string().into());
            sent.await?.await?;
            anyhow::Ok(())
        };
        tokio::time::timeout(PUBLISH_TIMEOUT, sending)
            .await
            .context("NATS does not take an event")??;
        published.push(id);
        // Whether it was told to stop or the pause is over: the loop looks.
        let _ = tokio::time::timeout(EVENT_PAUSE, stop.changed()).await;
    }
    Ok(published)
}

/// What was to be and what was.
struct Reckoning {
    events: usize,
    event_runs: usize,
    /// Events whose run has not succeeded, with how it stands.
    events_open: Vec<String>,
    ticks: usize,
    tick_outcomes: BTreeMap<String, usize>,
    twice: usize,
    ticks_absent: Vec<String>,
}

impl Reckoning {
    fn new(
        events: &[Uuid],
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        by_event: &[Run],
        by_clock: &[Run],
    ) -> Self {
        let outcome = |runs: &[Run], key: &str| -> Vec<String> {
            let found = runs.iter().filter(|run| run.trigger_key == key);
            found.map(|run| run.outcome.clone()).collect()
        };
        let mut reckoning = Self {
            events: events.len(),
            event_runs: 0,
            events_open: Vec::new(),
            ticks: 0,
            tick_outcomes: BTreeMap::new(),
            twice: 0,
            ticks_absent: Vec::new(),
        };
        for id in events {
            let outcomes = outcome(by_event, &format!("event/e2e/{id}"));
            reckoning.event_runs += outcomes.len();
            reckoning.twice += usize::from(outcomes.len() > 1);
            if !outcomes.iter().any(|outcome| outcome == "Succeeded") {
                reckoning.events_open.push(format!("{id}: {outcomes:?}"));
            }
        }
        for tick in ticks(from, to) {
            reckoning.ticks += 1;
            let of_tick = by_clock
                .iter()
                .filter(|run| run.scheduled_for == Some(tick));
            let of_tick: Vec<&Run> = of_tick.collect();
            reckoning.twice += usize::from(of_tick.len() > 1);
            match of_tick.first() {
                None => reckoning.ticks_absent.push(tick.to_rfc3339()),
                Some(run) => {
                    *reckoning
                        .tick_outcomes
                        .entry(run.outcome.clone())
                        .or_default() += 1;
                }
            }
        }
        reckoning
    }

    /// Nothing is under way any more.
    fn is_settled(&self) -> bool {
        self.events_open.is_empty()
            && self.ticks_absent.is_empty()
            && !self.tick_outcomes.contains_key("Running")
    }

    fn check(&self) -> Result<()> {
        anyhow::ensure!(self.twice == 0, "runs were doubled: {self}");
        anyhow::ensure!(self.events > 0 && self.ticks > 0, "nothing flowed: {self}");
        let accounted = ["Succeeded", "SkippedOverlap"];
        let lost = self.tick_outcomes.keys();
        let lost: Vec<&String> = lost
            .filter(|outcome| !accounted.contains(&outcome.as_str()))
            .collect();
        anyhow::ensure!(lost.is_empty(), "runs were lost: {self}");
        Ok(())
    }
}

impl std::fmt::Display for Reckoning {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} events published, {} runs of them, {} not succeeded; {} ticks of the clock: {:?}, \
             {} without a row; {} doubled",
            self.events,
            self.event_runs,
            self.events_open.len(),
            self.ticks,
            self.tick_outcomes,
            self.ticks_absent.len(),
            self.twice
        )
    }
}

/// The times between at which the clock starts a run: the definition's own, computed anew.
fn ticks(from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let step = i64::try_from(TICK.as_secs()).unwrap_or(1);
    let first = from.trunc_subsecs(0).timestamp() / step + 1;
    let last = to.timestamp() / step;
    let times = (first..=last).filter_map(|tick| DateTime::from_timestamp(tick * step, 0));
    times.collect()
}
