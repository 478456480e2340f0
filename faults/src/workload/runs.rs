//! Workloads with runs: worker and router.

use anyhow::{Context as _, Result};
use contracts::names;
use domain::Event;
use serde_json::{Value, json};
use temporal::RunStart;
use testkit::{Program, Signal};

use super::{Stage, Workload};
use crate::expected::ExpectedRun;
use crate::spec;

const SYNCED: &str = "Synced";

/// The request id of a manual run.
const REQUEST: &str = "r1";

/// The end of a definition's name.
const DAILY: &str = "daily";

pub(super) async fn prepare(workload: Workload, stage: &mut Stage<'_>) -> Result<()> {
    let webhook = stage
        .lane
        .program(Program::Worker)?
        .webhook_url()
        .to_owned();
    let event = spec::on_event(&event_type(stage));
    let spec = match workload {
        Workload::Manual => spec::with_every_sink(spec::weekdays(), &webhook),
        Workload::Event => spec::with_two_sinks(event),
        _ => spec::with_every_sink(event, &webhook),
    };
    stage.define(DAILY, spec, SYNCED).await
}

pub(super) async fn act(workload: Workload, stage: &mut Stage<'_>, struck: Program) -> Result<()> {
    match workload {
        Workload::Manual => {
            let start =
                RunStart::by_request(stage.activity(DAILY).await?, &stage.name(DAILY), REQUEST);
            let asked = json!({names::TRIGGER_ANNOTATION: REQUEST});
            stage
                .merge(DAILY, json!({"metadata": {"annotations": asked}}))
                .await?;
            expect(stage, &start);
        }
        Workload::Event => publish_twice(stage).await?,
        Workload::RestartRun => {
            let program = stage.lane.program(struck)?;
            let running = program.running().context("the program does not run")?;
            running.kill(Signal::KILL)?;
            publish_twice(stage).await?;
        }
        other => anyhow::bail!("{other} has no runs"),
    }
    Ok(())
}

fn event_type(stage: &Stage<'_>) -> String {
    format!("faults.{}", stage.prefix)
}

fn expect(stage: &mut Stage<'_>, start: &RunStart) {
    let definition = stage.name(DAILY);
    stage.expected.runs.push(ExpectedRun {
        definition,
        run: start.run_id,
        workflow_id: start.workflow_id.clone(),
        completes: true,
        is_forgotten: false,
    });
}

/// Publishes an event twice, as a publisher does that has heard no answer.
async fn publish_twice(stage: &mut Stage<'_>) -> Result<()> {
    let event = Event {
        event_id: stage.prefix.clone(),
        event_type: event_type(stage),
        source: "faults".to_owned(),
        occurred_at: "2026-11-24T09:00:00Z".parse()?,
        subject: None,
        trace_id: None,
        payload: json!({"tier": "pro"}),
    };
    let envelope = envelope(&event);
    let subject = format!("activity.{}", event.event_type);
    for _ in 0..2 {
        let publishing = stage
            .lane
            .jetstream
            .publish(subject.clone(), envelope.to_string().into())
            .await?;
        publishing.await?;
    }
    let activity = stage.activity(DAILY).await?;
    let start = RunStart::by_event(activity, &stage.name(DAILY), &event);
    expect(stage, &start);
    Ok(())
}

fn envelope(event: &Event) -> Value {
    json!({
        "event_id": event.event_id, "type": event.event_type, "source": event.source,
        "occurred_at": event.occurred_at, "payload": event.payload,
    })
}
