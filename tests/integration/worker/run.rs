//! A place with one definition in the mirror, and the questions that tests ask about its runs.
//!
//! The operator's part is done by hand here: the mirror row and the search attributes.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{ActivityId, Event, RunId, Trigger};
use serde_json::{Value, json};
use store::{Delivery, MirrorRow, Run, Store};
use temporal::{Pause, RunStart, ScheduleAction, ScheduleSpec, Started};
use temporalio_client::{
    UntypedWorkflow, WorkflowDescribeOptions, WorkflowFetchHistoryOptions, WorkflowHandle,
};
use testkit::stand_ins::StandIns;
use testkit::wait::{Seen, until};
use testkit::{Program, RunningProgram};
use uuid::Uuid;

use crate::place::{PATIENCE, Place};

/// The request of tests that need only one.
pub(crate) const REQUEST: &str = "r1";

const NAME: &str = "daily";

/// A place with one definition.
pub(crate) struct RunPlace {
    pub(crate) place: Place,
    pub(crate) activity: ActivityId,
}

/// The runbook's event.
pub(crate) fn event() -> Event {
    Event {
        event_id: "7c9e6679".to_owned(),
        event_type: "user.created".to_owned(),
        source: "user-service".to_owned(),
        occurred_at: "2026-11-24T09:00:00Z".parse().unwrap(),
        subject: Some("user/42".to_owned()),
        trace_id: Some("4bf92f35-77b3-4da6-a3ce-929d0e0e4736".to_owned()),
        payload: json!({"tier": "pro", "region": "eu"}),
    }
}

impl RunPlace {
    pub(crate) async fn new(name: &str) -> Result<Self> {
        let place = Place::new(name).await?;
        let registered = async || {
            place.temporal.ensure_search_attributes().await?;
            // Registered is not yet known to every part of the server.
            let missing = place.temporal.missing_search_attributes().await?;
            Ok::<_, temporal::Error>(missing.is_empty())
        };
        until("the search attributes", PATIENCE, registered).await?;
        Ok(Self {
            place,
            activity: ActivityId::new(Uuid::new_v4()),
        })
    }

    /// Writes the definition into the mirror, as the operator would.
    pub(crate) async fn define(&self, spec: Value) -> Result<()> {
        let display_name = spec["displayName"].as_str().unwrap_or(NAME).to_owned();
        let row = MirrorRow {
            activity_id: self.activity.as_uuid(),
            namespace: "default".to_owned(),
            name: NAME.to_owned(),
            uid: self.activity.as_uuid(),
            generation: 1,
            display_name,
            enabled: true,
            event_type: None,
            spec,
        };
        self.store().write_definition(&row).await?;
        Ok(())
    }

    pub(crate) async fn worker<const N: usize>(
        &self,
        extra: [(&str, &str); N],
    ) -> Result<RunningProgram> {
        self.place.environment.start(Program::Worker, extra).await
    }

    pub(crate) fn store(&self) -> &Store {
        &self.place.store
    }

    pub(crate) fn stand_ins(&self) -> &StandIns {
        self.place.environment.stand_ins()
    }

    pub(crate) async fn start_by_request(&self, request: &str) -> Result<RunStart> {
        self.start(RunStart::by_request(self.activity, NAME, request))
            .await
    }

    /// The run of a request, known before it is started.
    pub(crate) fn run_of_request(&self, request: &str) -> RunId {
        RunStart::by_request(self.activity, NAME, request).run_id
    }

    pub(crate) async fn start_by_event(&self, event: &Event) -> Result<RunStart> {
        self.start(RunStart::by_event(self.activity, NAME, event))
            .await
    }

    async fn start(&self, start: RunStart) -> Result<RunStart> {
        // A new search attribute takes a moment until starts know it.
        let started = async || self.place.temporal.start_run(&start).await.map(Some);
        let started = until("the start", PATIENCE, started).await?;
        assert_eq!(started, Started::Now);
        Ok(start)
    }

    /// The ledger's row once the run has ended.
    pub(crate) async fn ended(&self, run: RunId) -> Result<Run> {
        let row = until("the run's outcome", PATIENCE, async || {
            let row = self.store().run(run).await?;
            Ok::<_, store::Error>(match row {
                Some(row) if row.outcome.is_final() => Seen::Done(row),
                other => Seen::not_yet(format!("{other:?}")),
            })
        });
        Ok(row.await?)
    }

    /// Lets a Schedule fire until a run of it has ended, and returns that run.
    pub(crate) async fn scheduled(&self) -> Result<Run> {
        let row = self.store().definition(self.activity).await?;
        let spec = row.context("nothing is defined")?.spec;
        let spec: crds::ActivityDefinitionSpec = serde_json::from_value(spec)?;
        let Trigger::Cron(trigger) = spec.validate(self.activity, NAME)?.trigger else {
            anyhow::bail!("the definition has no cron trigger");
        };
        let schedule = ScheduleSpec {
            object_uid: self.activity.as_uuid(),
            action: ScheduleAction {
                activity: self.activity,
                activity_name: NAME.to_owned(),
            },
            trigger,
            pause: Pause::No,
        };
        self.place.temporal.create_schedule(&schedule).await?;
        let run = until("a scheduled run's outcome", PATIENCE, async || {
            let runs = self.store().runs(self.activity, None, 10).await?;
            Ok::<_, store::Error>(runs.into_iter().find(|run| run.outcome.is_final()))
        });
        let run = run.await?;
        self.place.temporal.delete_schedule(self.activity).await?;
        Ok(run)
    }

    /// The deliveries of a run by sink.
    pub(crate) async fn deliveries(&self, run: RunId) -> Result<BTreeMap<String, Delivery>> {
        let deliveries = self.store().deliveries(run).await?;
        let by_sink = deliveries
            .into_iter()
            .map(|delivery| (delivery.sink.clone(), delivery));
        Ok(by_sink.collect())
    }

    /// One delivery of a run once it is as expected.
    pub(crate) async fn delivery(
        &self,
        run: RunId,
        sink: &str,
        is_expected: impl Fn(&Delivery) -> bool,
    ) -> Result<Delivery> {
        let delivery = until(format!("the delivery to {sink}"), PATIENCE, async || {
            let delivery = self.deliveries(run).await?.remove(sink);
            Ok::<_, anyhow::Error>(match delivery {
                Some(delivery) if is_expected(&delivery) => Seen::Done(delivery),
                other => Seen::not_yet(format!("{other:?}")),
            })
        });
        Ok(delivery.await?)
    }

    /// The names and contents of the files in the working memory, those that were not finished too.
    pub(crate) fn reports(&self) -> Result<Vec<(String, String)>> {
        const PARTIAL: &str = ".partial";
        let memory = self.place.environment.working_memory();
        let partial = fs::read_dir(memory.join(PARTIAL)).into_iter().flatten();
        let mut reports = Vec::new();
        for entry in fs::read_dir(memory)?.chain(partial) {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != PARTIAL {
                reports.push((name, fs::read_to_string(entry.path())?));
            }
        }
        Ok(reports)
    }

    pub(crate) fn workflow(
        &self,
        workflow_id: &str,
    ) -> WorkflowHandle<temporalio_client::Client, UntypedWorkflow> {
        self.place
            .temporal
            .client()
            .get_workflow_handle::<UntypedWorkflow>(workflow_id)
    }

    /// The workflow's history as JSON, followed by its payloads in plain text.
    pub(crate) async fn history(&self, workflow_id: &str) -> Result<String> {
        let history = self
            .workflow(workflow_id)
            .fetch_history(WorkflowFetchHistoryOptions::default());
        let json = history.to_json().await?;
        let mut text = String::from_utf8(json)?;
        let payloads = payloads(&serde_json::from_str(&text)?);
        text.push_str(&payloads);
        Ok(text)
    }

    /// Writes the history of a run that ended to the folder that `RECORD_HISTORIES` names, if it
    /// is set. The worker's replay tests read what was recorded so.
    pub(crate) async fn record_history(&self, workflow_id: &str, shape: &str) -> Result<()> {
        let Some(folder) = std::env::var_os("RECORD_HISTORIES") else {
            return Ok(());
        };
        self.closed(workflow_id).await?;
        let history = self
            .workflow(workflow_id)
            .fetch_history(WorkflowFetchHistoryOptions::default());
        let json: Value = serde_json::from_slice(&history.to_json().await?)?;
        let path = std::path::Path::new(&folder).join(format!("{shape}.json"));
        fs::write(path, format!("{json:#}\n")).context("failed to record a history")
    }

    /// Waits until the workflow's history holds a text.
    pub(crate) async fn history_with(&self, workflow_id: &str, wanted: &str) -> Result<()> {
        let holds = async || {
            let history = self.history(workflow_id).await?;
            Ok::<_, anyhow::Error>(if history.contains(wanted) {
                Seen::Done(())
            } else {
                Seen::NotYet(history)
            })
        };
        Ok(until(format!("{wanted} in the history"), PATIENCE, holds).await?)
    }

    /// Waits until a step of the workflow is under way.
    pub(crate) async fn pending_activity(&self, workflow_id: &str, step: &str) -> Result<()> {
        let handle = self.workflow(workflow_id);
        let is_pending = async || {
            let described = handle.describe(WorkflowDescribeOptions::default()).await?;
            let pending = &described.raw().pending_activities;
            let under_way = pending.iter().any(|activity| {
                let kind = activity.activity_type.as_ref();
                activity.last_started_time.is_some() && kind.is_some_and(|kind| kind.name == step)
            });
            Ok::<_, anyhow::Error>(if under_way {
                Seen::Done(())
            } else {
                Seen::not_yet(format!("{pending:?}"))
            })
        };
        Ok(until(format!("{step} to be under way"), PATIENCE, is_pending).await?)
    }

    /// How the workflow ended, by the name of its status.
    pub(crate) async fn closed(&self, workflow_id: &str) -> Result<String> {
        let handle = self.workflow(workflow_id);
        let status = until("the workflow's end", PATIENCE, async || {
            let described = handle.describe(WorkflowDescribeOptions::default()).await?;
            let status = format!("{:?}", described.status());
            Ok::<_, anyhow::Error>(if status == "Running" {
                Seen::not_yet(status)
            } else {
                Seen::Done(status)
            })
        });
        status.await.context("the workflow did not end")
    }
}

/// All texts in base64 below `data`, where histories keep payloads.
fn payloads(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(payloads).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| match (name.as_str(), field) {
                ("data", Value::String(text)) => STANDARD
                    .decode(text)
                    .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                    .unwrap_or_default(),
                _ => payloads(field),
            })
            .collect(),
        _ => String::new(),
    }
}
