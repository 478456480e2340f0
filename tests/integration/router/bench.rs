//! A test's place as the router's tests use it: publishing, the mirror, and what came of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream::{self, consumer};
use contracts::names;
use contracts::workflow::RunRequest;
use domain::ActivityId;
use futures::StreamExt as _;
use serde_json::{Value, json};
use store::{EventTypeRow, MirrorRow};
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::IntoRequest as _;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::workflow::v1::WorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryRequest, ListWorkflowExecutionsRequest,
};
use testkit::wait::{self, Seen};
use testkit::{Program, RunningProgram};
use uuid::Uuid;

use crate::place::{PATIENCE, Place};
use crate::verify::command::Actcore;

/// The namespace of the definitions in the mirror.
const TEAM: &str = "team";

/// The subject that events are published on.
const SUBJECT: &str = "activity.user.created";

/// A test's place with a client of its NATS.
pub(super) struct Bench {
    pub(super) place: Place,
    pub(super) jetstream: jetstream::Context,
    temporal_namespace: String,
}

/// A dead letter, as a reader finds it.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) subject: String,
    pub(super) payload: Vec<u8>,
    headers: HeaderMap,
}

impl Letter {
    /// A header's value; empty when there is none.
    pub(super) fn header(&self, name: &str) -> String {
        self.headers
            .get(name)
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}

/// The runbook's example event.
pub(super) fn user_created(event_id: &str, source: &str) -> Value {
    json!({
        "event_id": event_id, "type": "user.created", "source": source,
        "occurred_at": "2026-11-24T09:00:00Z", "subject": "user/42",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "payload": {"tier": "pro"},
    })
}

impl Bench {
    pub(super) async fn new(name: &str) -> Result<Self> {
        let place = Place::new(name).await?;
        let client = async_nats::connect(place.environment.nats_url()).await?;
        Ok(Self {
            temporal_namespace: place.environment.temporal_namespace().to_owned(),
            place,
            jetstream: jetstream::new(client),
        })
    }

    /// Looks at another Temporal from here on.
    pub(super) async fn use_temporal(&mut self, host: &str, namespace: &str) -> Result<()> {
        namespace.clone_into(&mut self.temporal_namespace);
        self.place.use_temporal(host, namespace).await
    }

    /// Starts a router and waits until it is ready.
    pub(super) async fn start<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<RunningProgram> {
        self.place
            .environment
            .start(Program::EventRouter, settings)
            .await
    }

    /// Writes an event definition to the mirror.
    pub(super) async fn define(&self, name: &str, event: Value) -> Result<ActivityId> {
        let id = ActivityId::new(Uuid::new_v4());
        let spec = json!({"trigger": {"event": event}});
        self.write(id, name, spec).await?;
        Ok(id)
    }

    /// Writes a definition to the mirror, as the operator does after a change.
    pub(super) async fn write(&self, id: ActivityId, name: &str, spec: Value) -> Result<()> {
        let event_type = spec["trigger"]["event"]["eventType"].as_str();
        let row = MirrorRow {
            activity_id: id.as_uuid(),
            namespace: TEAM.to_owned(),
            name: name.to_owned(),
            uid: id.as_uuid(),
            generation: 1,
            display_name: name.to_owned(),
            enabled: spec["enabled"].as_bool().unwrap_or(true),
            event_type: event_type.map(str::to_owned),
            spec,
        };
        self.place.store.write_definition(&row).await?;
        Ok(())
    }

    /// The command line, in this place.
    pub(super) fn actcore(&self) -> Actcore {
        Actcore::new(self.place.environment.env())
    }

    /// Writes an event type to the mirror.
    pub(super) async fn describe(&self, name: &str, validation: &str, schema: Value) -> Result<()> {
        let row = EventTypeRow {
            name: name.to_owned(),
            namespace: TEAM.to_owned(),
            uid: Uuid::new_v4(),
            generation: 1,
            description: None,
            schema: Some(schema),
            validation: validation.to_owned(),
        };
        Ok(self.place.store.write_event_type(&row).await?)
    }

    pub(super) async fn publish(&self, event: &Value) -> Result<()> {
        self.publish_bytes(event.to_string().as_bytes(), &[]).await
    }

    pub(super) async fn publish_bytes(&self, body: &[u8], headers: &[(&str, &str)]) -> Result<()> {
        let body = body.to_vec().into();
        let receipt = if headers.is_empty() {
            self.jetstream.publish(SUBJECT, body).await?
        } else {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, *value);
            }
            self.jetstream
                .publish_with_headers(SUBJECT, map, body)
                .await?
        };
        receipt.await?;
        Ok(())
    }

    /// The consumer, as the server sees it.
    pub(super) async fn consumer(&self) -> Result<consumer::Info> {
        let stream = self
            .jetstream
            .get_stream_no_info(names::EVENT_STREAM)
            .await?;
        Ok(stream.consumer_info(names::EVENT_CONSUMER).await?)
    }

    /// Waits until the first `count` events are acknowledged, and no other is in hand.
    pub(super) async fn all_settled(&self, count: u64) -> Result<()> {
        let what = format!("{count} events to be acknowledged");
        let settled = wait::until(what, PATIENCE, || async {
            let info = self.consumer().await?;
            let is_settled = info.ack_floor.stream_sequence == count
                && info.num_pending == 0
                && info.num_ack_pending == 0;
            anyhow::Ok(if is_settled {
                Seen::Done(())
            } else {
                Seen::not_yet(format!(
                    "acknowledged up to {}, {} in hand, {} waiting",
                    info.ack_floor.stream_sequence, info.num_ack_pending, info.num_pending
                ))
            })
        });
        Ok(settled.await?)
    }

    /// Waits until Temporal lists so many workflows of an activity; more of them fail at once.
    pub(super) async fn expect_runs(&self, activity: ActivityId, count: usize) -> Result<()> {
        let what = format!("{count} runs of {activity}");
        let runs = wait::until(what, PATIENCE, || async {
            let found = self.workflows(activity).await?.len();
            anyhow::Ok(if found < count {
                Seen::NotYet(found.to_string())
            } else {
                Seen::Done(found)
            })
        });
        let found = runs.await?;
        ensure!(found == count, "{found} runs instead of {count}");
        Ok(())
    }

    /// The workflows of an activity that Temporal lists, in the order in which it accepted them.
    pub(super) async fn workflows(
        &self,
        activity: ActivityId,
    ) -> Result<Vec<WorkflowExecutionInfo>> {
        let mut client = self.place.temporal.client().clone();
        let message = ListWorkflowExecutionsRequest {
            namespace: self.temporal_namespace.clone(),
            page_size: 1000,
            query: format!("{} = \"{activity}\"", names::SEARCH_ATTRIBUTE_ACTIVITY_ID),
            ..Default::default()
        };
        let listed = WorkflowService::list_workflow_executions(&mut client, message.into_request());
        let mut workflows = listed.await?.into_inner().executions;
        workflows.sort_by_key(|workflow| {
            let started = workflow.start_time.unwrap_or_default();
            (started.seconds, started.nanos)
        });
        Ok(workflows)
    }

    /// The input of a workflow: the request that it was started with.
    pub(super) async fn input(&self, workflow_id: &str) -> Result<RunRequest> {
        let mut client = self.place.temporal.client().clone();
        let message = GetWorkflowExecutionHistoryRequest {
            namespace: self.temporal_namespace.clone(),
            execution: Some(WorkflowExecution {
                workflow_id: workflow_id.to_owned(),
                run_id: String::new(),
            }),
            ..Default::default()
        };
        let read =
            WorkflowService::get_workflow_execution_history(&mut client, message.into_request());
        let history = read.await?.into_inner().history.context("no history")?;
        let first = history.events.into_iter().next().context("no event")?;
        let Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) = first.attributes
        else {
            anyhow::bail!("the history does not begin with a start");
        };
        let payloads = started.input.context("no input")?.payloads;
        let payload = payloads.first().context("an empty input")?;
        Ok(serde_json::from_slice(&payload.data)?)
    }

    /// All dead letters.
    pub(super) async fn dead_letters(&self) -> Result<Vec<Letter>> {
        let stream = self.jetstream.get_stream(names::DEAD_LETTER_STREAM).await?;
        let count = usize::try_from(stream.cached_info().state.messages)?;
        let reader = stream
            .create_consumer(consumer::pull::Config::default())
            .await?;
        let batch = reader.fetch().max_messages(count.max(1)).messages().await?;
        let messages: Vec<_> = batch.take(count).collect().await;
        messages
            .into_iter()
            .map(|message| {
                let message = message.map_err(anyhow::Error::from_boxed)?.message;
                Ok(Letter {
                    subject: message.subject.to_string(),
                    payload: message.payload.to_vec(),
                    headers: message.headers.unwrap_or_default(),
                })
            })
            .collect()
    }

    /// The count of the first series that begins with `series`.
    pub(super) async fn metric(&self, router: &RunningProgram, series: &str) -> Result<u64> {
        let text = get(&format!("{}/metrics", router.metrics_url())).await?.1;
        let line = text.lines().find(|line| line.starts_with(series));
        let line = line.with_context(|| format!("there is no {series} in\n{text}"))?;
        let (_, value) = line.rsplit_once(' ').context("a series without a value")?;
        Ok(value.parse()?)
    }

    /// Waits until a gauge is above zero.
    pub(super) async fn rises(&self, router: &RunningProgram, gauge: &str) -> Result<()> {
        let what = format!("{gauge} to rise");
        let rises = wait::until(what, PATIENCE, || async {
            let text = get(&format!("{}/metrics", router.metrics_url())).await?.1;
            let line = text.lines().find(|line| line.starts_with(gauge));
            let value = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            anyhow::Ok(if value.is_some_and(|value| value > 0.0) {
                Seen::Done(())
            } else {
                Seen::not_yet(format!("{value:?}"))
            })
        });
        Ok(rises.await?)
    }

    /// Waits until a router's log has a line with this text.
    pub(super) async fn logged(&self, router: &RunningProgram, text: &str) -> Result<()> {
        let logged = wait::until(format!("\"{text}\" in the log"), PATIENCE, || async {
            let log = std::fs::read_to_string(router.log_path())?;
            std::io::Result::Ok(if log.contains(text) {
                Seen::Done(())
            } else {
                Seen::not_yet(log)
            })
        });
        Ok(logged.await?)
    }

    /// Waits until a router is not ready; returns its reasons.
    pub(super) async fn unready(&self, router: &RunningProgram) -> Result<String> {
        let url = format!("{}/readyz", router.health_url());
        let unready = wait::until("the router to be unready", PATIENCE, || async {
            let (status, text) = get(&url).await?;
            anyhow::Ok(if status == 503 {
                Seen::Done(text)
            } else {
                Seen::not_yet(text)
            })
        });
        Ok(unready.await?)
    }
}

pub(super) async fn get(url: &str) -> Result<(u16, String)> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()?;
    let answer = client.get(url).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}
