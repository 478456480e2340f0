//! Starting runs by events and by request. Scheduled runs are started by Temporal itself.

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound as _, Utc};
use contracts::names;
use contracts::workflow::{RunRequest, RunTrigger};
use domain::{ActivityId, Event, RunId, TriggerKey};
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::Code;
use temporalio_common::protos::temporal::api::common::v1::{
    Payload, Payloads, SearchAttributes, WorkflowType,
};
use temporalio_common::protos::temporal::api::enums::v1::{
    TaskQueueKind, WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;
use uuid::Uuid;

use crate::{Error, Temporal, request};

/// One run to start: everything about it, decided.
#[derive(Debug, Clone, PartialEq)]
pub struct RunStart {
    /// The activity.
    pub activity: ActivityId,
    /// Its name, for the search attribute.
    pub activity_name: String,
    /// The workflow's id; the same id is never run twice.
    pub workflow_id: String,
    /// The run.
    pub run_id: RunId,
    /// The workflow's input.
    pub request: RunRequest,
}

/// What became of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// The run begins now.
    Now,
    /// It had been started before; it may be over already.
    Before,
}

impl RunStart {
    /// The run of `event` for an activity.
    pub fn by_event(activity: ActivityId, activity_name: &str, event: &Event) -> Self {
        let run_id = RunId::of(activity, &event.trigger_key());
        Self {
            activity,
            activity_name: activity_name.to_owned(),
            workflow_id: names::event_workflow_id(activity, run_id),
            run_id,
            request: RunRequest::of_event(activity, event),
        }
    }

    /// The run that makes up for a nominal time, to the second. The same time is the same run.
    pub fn by_backfill(activity: ActivityId, activity_name: &str, nominal: DateTime<Utc>) -> Self {
        let nominal = nominal.trunc_subsecs(0);
        Self {
            activity,
            activity_name: activity_name.to_owned(),
            workflow_id: names::backfill_workflow_id(activity, nominal),
            run_id: RunId::of(activity, &TriggerKey::Backfill(nominal)),
            request: RunRequest {
                activity_id: activity.as_uuid(),
                trigger: RunTrigger::Backfill {
                    scheduled_for: nominal,
                },
            },
        }
    }

    /// The run that somebody asks for. The same request id is the same run.
    pub fn by_request(activity: ActivityId, activity_name: &str, request_id: &str) -> Self {
        let trigger = TriggerKey::Manual {
            request_id: request_id.to_owned(),
        };
        Self {
            activity,
            activity_name: activity_name.to_owned(),
            workflow_id: names::manual_workflow_id(activity, request_id),
            run_id: RunId::of(activity, &trigger),
            request: RunRequest {
                activity_id: activity.as_uuid(),
                trigger: RunTrigger::Manual {
                    request_id: request_id.to_owned(),
                },
            },
        }
    }
}

impl Temporal {
    /// Starts a run, unless it has been started before. May be repeated at will: the workflow id
    /// is the trigger's, and the server refuses to use it twice.
    pub async fn start_run(&self, start: &RunStart) -> Result<Started, Error> {
        let message = StartWorkflowExecutionRequest {
            namespace: self.namespace(),
            workflow_id: start.workflow_id.clone(),
            workflow_type: Some(WorkflowType {
                name: names::WORKFLOW_TYPE.to_owned(),
            }),
            task_queue: Some(workflow_task_queue()),
            input: Some(Payloads {
                payloads: vec![json_payload(&start.request)],
            }),
            identity: self.identity(),
            // For the client's own retries only: with an id that stays the same, the server would
            // answer a start of long ago as if it had happened now.
            request_id: Uuid::new_v4().to_string(),
            workflow_id_reuse_policy: WorkflowIdReusePolicy::RejectDuplicate.into(),
            workflow_id_conflict_policy: WorkflowIdConflictPolicy::Fail.into(),
            search_attributes: Some(search_attributes(start.activity, &start.activity_name)),
            ..Default::default()
        };
        let started = self.send_start(message.clone()).await;
        if let Err(error) = &started
            && self.repair_search_attributes(error).await?
        {
            return self.send_start(message).await;
        }
        started
    }

    async fn send_start(&self, message: StartWorkflowExecutionRequest) -> Result<Started, Error> {
        let mut client = self.client.clone();
        match WorkflowService::start_workflow_execution(&mut client, request(message)).await {
            // A retry of the same request is answered like the first one.
            Ok(answer) if answer.get_ref().started => Ok(Started::Now),
            Ok(_) => Ok(Started::Before),
            Err(status) if status.code() == Code::AlreadyExists => Ok(Started::Before),
            Err(status) => Err(Error::call("start a run")(status)),
        }
    }
}

/// The task queue on which every run's workflow begins.
pub(crate) fn workflow_task_queue() -> TaskQueue {
    TaskQueue {
        name: names::WORKFLOW_TASK_QUEUE.to_owned(),
        kind: TaskQueueKind::Normal.into(),
        ..Default::default()
    }
}

/// A value in Temporal's JSON encoding.
pub(crate) fn json_payload<T: serde::Serialize>(value: &T) -> Payload {
    Payload {
        metadata: HashMap::from([("encoding".to_owned(), b"json/plain".to_vec())]),
        // Our payloads are made of texts, numbers and objects with text keys, which JSON can
        // always hold.
        data: serde_json::to_vec(value).unwrap_or_default(),
        ..Default::default()
    }
}

/// The search attributes that every run and Schedule has.
pub(crate) fn search_attributes(activity: ActivityId, activity_name: &str) -> SearchAttributes {
    let keyword = |value: &str| {
        let mut payload = json_payload(&value);
        payload
            .metadata
            .insert("type".to_owned(), b"Keyword".to_vec());
        payload
    };
    SearchAttributes {
        indexed_fields: HashMap::from([
            (
                names::SEARCH_ATTRIBUTE_ACTIVITY_ID.to_owned(),
                keyword(&activity.to_string()),
            ),
            (
                names::SEARCH_ATTRIBUTE_ACTIVITY_NAME.to_owned(),
                keyword(activity_name),
            ),
        ]),
    }
}
