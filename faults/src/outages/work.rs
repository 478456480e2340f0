//! What is under way while something is away: every kind of change, and runs by request and by
//! event, asked for before, during and after.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use contracts::names;
use domain::Event;
use serde_json::{Value, json};
use temporal::RunStart;
use testkit::Program;
use testkit::wait;

use crate::actor::{Stage, settle};
use crate::expected::{Expected, ExpectedRun};
use crate::lane::Lane;
use crate::oracle::Leniency;
use crate::spec;

/// How long anything may take, an outage included.
const PATIENCE: Duration = Duration::from_mins(3);

/// How long somebody waits who tries again.
const PAUSE: Duration = Duration::from_millis(300);

const SYNCED: &str = "Synced";
const SUSPENDED: &str = "Suspended";

/// The work of one outage.
pub(super) struct Work<'lane> {
    stage: Stage<'lane>,
    leniency: Leniency,
    events: Vec<Event>,
}

impl<'lane> Work<'lane> {
    /// Definitions to be changed, deleted and run.
    pub(super) async fn prepare(lane: &'lane Lane, prefix: &str) -> Result<Self> {
        let stage = Stage {
            lane,
            prefix: prefix.to_owned(),
            expected: Expected::default(),
            patience: PATIENCE,
        };
        let mut work = Self {
            stage,
            leniency: Leniency::default(),
            events: Vec::new(),
        };
        let webhook = lane.program(Program::Worker)?.webhook_url().to_owned();
        let by_event = spec::on_event(&work.event_type());
        let by_event = spec::with_every_sink(by_event, &webhook);
        let on_request = spec::with_every_sink(spec::weekdays(), &webhook);
        for (suffix, spec) in [
            ("changed", spec::weekdays()),
            ("disabled", spec::weekdays()),
            ("deleted", spec::weekdays()),
            ("request", on_request),
            ("event", by_event),
        ] {
            work.stage.define(suffix, spec, SYNCED).await?;
        }
        work.settle().await?;
        Ok(work)
    }

    fn event_type(&self) -> String {
        format!("faults.{}", self.stage.prefix)
    }

    /// What is asked for just before.
    pub(super) async fn before(&mut self) -> Result<()> {
        self.publish("before").await?;
        self.request("before").await?;
        let change = json!({"spec": spec::monthly()});
        self.merge("changed", change).await
    }

    /// What is asked for while it is away, again and again until it is granted.
    pub(super) async fn during(&mut self) -> Result<()> {
        let name = self.stage.name("disabled");
        self.stage.expected.define(&name, SUSPENDED);
        self.merge("disabled", json!({"spec": {"enabled": false}}))
            .await?;
        self.create("new").await?;
        self.publish("during").await
    }

    /// What is asked for when it is back; what was published long ago is published once more.
    pub(super) async fn after(&mut self) -> Result<()> {
        self.delete("deleted").await?;
        for event in self.events.clone() {
            self.send(&event).await?;
        }
        self.seen("before").await?;
        self.request("after").await
    }

    /// Waits until the operator has seen a request: the next one takes its place.
    async fn seen(&self, id: &str) -> Result<()> {
        let name = self.stage.name("request");
        wait::until(format!("{id} to be seen"), PATIENCE, || async {
            let object = self.stage.lane.definitions.get(&name).await?;
            let handled = object.status.and_then(|status| status.last_handled_trigger);
            Ok::<_, kube::Error>(handled.as_deref() == Some(id))
        })
        .await?;
        Ok(())
    }

    /// Of the runs so far nothing is known any more: by Temporal, or by the ledger.
    pub(super) fn forget(&mut self, by_the_ledger: bool) {
        for run in &mut self.stage.expected.runs {
            if by_the_ledger {
                run.completes = false;
            } else {
                run.is_forgotten = true;
            }
        }
    }

    /// Waits until everything is as declared.
    pub(super) async fn settle(&self) -> Result<()> {
        let lane = self.stage.lane;
        settle(lane, &self.stage.expected, (self.leniency, PATIENCE)).await
    }

    /// It stays so while everything is compared once more.
    pub(super) async fn stays(&self) -> Result<()> {
        let lane = self.stage.lane;
        lane.leads().await?;
        lane.leads().await?;
        let found = crate::oracle::differences(lane, &self.stage.expected, self.leniency).await?;
        anyhow::ensure!(found.is_empty(), "it did not stay so: {}", found.join("; "));
        Ok(())
    }

    /// Deletes everything, and waits until nothing is left.
    pub(super) async fn clear(&self) -> Result<()> {
        crate::trial::clear(self.stage.lane).await
    }

    async fn request(&mut self, id: &str) -> Result<()> {
        let asked = json!({names::TRIGGER_ANNOTATION: id});
        self.merge("request", json!({"metadata": {"annotations": asked}}))
            .await?;
        let activity = self.stage.activity("request").await?;
        let start = RunStart::by_request(activity, &self.stage.name("request"), id);
        self.expect("request", &start);
        Ok(())
    }

    async fn publish(&mut self, id: &str) -> Result<()> {
        let event = Event {
            event_id: format!("{}-{id}", self.stage.prefix),
            event_type: self.event_type(),
            source: "faults".to_owned(),
            occurred_at: "2026-11-24T09:00:00Z".parse()?,
            subject: None,
            trace_id: None,
            payload: json!({"tier": "pro"}),
        };
        self.send(&event).await?;
        let activity = self.activity("event").await?;
        let start = RunStart::by_event(activity, &self.stage.name("event"), &event);
        self.expect("event", &start);
        self.events.push(event);
        Ok(())
    }

    fn expect(&mut self, suffix: &str, start: &RunStart) {
        let definition = self.stage.name(suffix);
        self.stage.expected.runs.push(ExpectedRun {
            definition,
            run: start.run_id,
            workflow_id: start.workflow_id.clone(),
            completes: true,
            is_forgotten: false,
        });
    }

    async fn activity(&self, suffix: &str) -> Result<domain::ActivityId> {
        insist(|| self.stage.activity(suffix)).await
    }

    async fn send(&self, event: &Event) -> Result<()> {
        let subject = format!("activity.{}", event.event_type);
        let envelope = json!({
            "event_id": event.event_id, "type": event.event_type, "source": event.source,
            "occurred_at": event.occurred_at, "payload": event.payload,
        });
        insist(|| async {
            let jetstream = &self.stage.lane.jetstream;
            let envelope = envelope.to_string().into();
            let publishing = jetstream.publish(subject.clone(), envelope).await?;
            publishing.await?;
            anyhow::Ok(())
        })
        .await
    }

    async fn merge(&self, suffix: &str, change: Value) -> Result<()> {
        insist(|| self.stage.merge(suffix, change.clone())).await
    }

    async fn create(&mut self, suffix: &str) -> Result<()> {
        let name = self.stage.name(suffix);
        insist(|| async {
            let creating = self
                .stage
                .create::<crds::ActivityDefinition>(&name, spec::weekdays());
            let Err(error) = creating.await else {
                return Ok(());
            };
            // It came through before, and the answer did not.
            let there = self.stage.lane.definitions.get_opt(&name).await?;
            there.map(drop).ok_or(error)
        })
        .await?;
        self.stage.expected.define(&name, SYNCED);
        Ok(())
    }

    async fn delete(&mut self, suffix: &str) -> Result<()> {
        let name = self.stage.name(suffix);
        let definitions = &self.stage.lane.definitions;
        insist(|| async {
            let parameters = kube::api::DeleteParams::default();
            match definitions.delete(&name, &parameters).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                other => other.map(drop).map_err(anyhow::Error::from),
            }
        })
        .await?;
        self.stage.expected.forget(&name);
        Ok(())
    }
}

/// Tries again and again, as a person would, until it works or patience is at its end.
async fn insist<T, F>(mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        let tried = tokio::time::timeout(Duration::from_secs(10), attempt()).await;
        let tried = tried.context("no answer within 10 s").flatten();
        match tried {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
