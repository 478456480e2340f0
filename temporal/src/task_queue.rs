//! Who works on our task queues.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::names;
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::Code;
use temporalio_common::protos::temporal::api::enums::v1::{TaskQueueKind, TaskQueueType};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeNamespaceRequest, DescribeTaskQueueRequest,
};

use crate::{Error, Temporal, request};

/// A worker asks at least once a minute; the server remembers it for five.
const POLL_AGE: Duration = Duration::from_secs(90);

/// The task queues that our workers poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkQueue {
    /// [`names::WORKFLOW_TASK_QUEUE`]
    Workflows,
    /// [`names::ACTIVITY_TASK_QUEUE`]
    Activities,
}

impl WorkQueue {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Workflows, Self::Activities];

    /// The queue's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Workflows => names::WORKFLOW_TASK_QUEUE,
            Self::Activities => names::ACTIVITY_TASK_QUEUE,
        }
    }

    const fn kind(self) -> TaskQueueType {
        match self {
            Self::Workflows => TaskQueueType::Workflow,
            Self::Activities => TaskQueueType::Activity,
        }
    }
}

impl Temporal {
    /// Whether the Temporal namespace exists.
    pub async fn namespace_exists(&self) -> Result<bool, Error> {
        let message = DescribeNamespaceRequest {
            namespace: self.namespace(),
            ..Default::default()
        };
        let mut client = self.client.clone();
        match WorkflowService::describe_namespace(&mut client, request(message)).await {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) => Err(Error::call("describe the namespace")(status)),
        }
    }

    /// The identities of the workers that polled a task queue lately, without repetition.
    pub async fn workers(
        &self,
        queue: WorkQueue,
        now: DateTime<Utc>,
    ) -> Result<Vec<String>, Error> {
        let message = DescribeTaskQueueRequest {
            namespace: self.namespace(),
            task_queue: Some(TaskQueue {
                name: queue.name().to_owned(),
                kind: TaskQueueKind::Normal.into(),
                ..Default::default()
            }),
            task_queue_type: queue.kind().into(),
            ..Default::default()
        };
        let mut client = self.client.clone();
        let answer = WorkflowService::describe_task_queue(&mut client, request(message))
            .await
            .map_err(Error::call("describe a task queue"))?
            .into_inner();
        let oldest = (now - POLL_AGE).timestamp();
        let pollers = answer.pollers.into_iter().filter(|poller| {
            let seen = poller.last_access_time.as_ref();
            seen.is_none_or(|seen| seen.seconds >= oldest)
        });
        let mut identities: Vec<String> = pollers.map(|poller| poller.identity).collect();
        identities.sort();
        identities.dedup();
        Ok(identities)
    }
}
