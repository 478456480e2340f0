//! What verification asks Temporal: the latest workflow of an activity, and whether it retries.

use contracts::names;
use domain::ActivityId;
use domain::verification::{ScheduleEvidence, WorkflowEvidence, WorkflowStatus};
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::enums::v1::WorkflowExecutionStatus;
use temporalio_common::protos::temporal::api::workflow::v1::PendingActivityInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeWorkflowExecutionRequest, ListWorkflowExecutionsRequest,
};

use crate::look::instant;
use crate::{Error, Pause, Temporal, request};

impl Temporal {
    /// What verification needs to know of an activity's Schedule.
    pub async fn schedule_evidence(
        &self,
        activity: ActivityId,
    ) -> Result<Option<ScheduleEvidence>, Error> {
        let observed = self.schedule(activity).await?;
        Ok(observed.map(|schedule| {
            let (paused, note) = match schedule.pause {
                Pause::No => (false, String::new()),
                Pause::Because { reason, .. } => (true, reason),
            };
            ScheduleEvidence {
                id: names::schedule_id(activity),
                paused,
                note,
                overlap: schedule.overlap,
            }
        }))
    }

    /// The workflow of an activity that started last. A listing follows a start by up to a
    /// second or so.
    pub async fn latest_workflow(
        &self,
        activity: ActivityId,
    ) -> Result<Option<WorkflowEvidence>, Error> {
        let message = ListWorkflowExecutionsRequest {
            namespace: self.namespace(),
            page_size: 1,
            // Newest first is the order of every visibility store; SQL ones refuse ORDER BY.
            query: format!(
                "{} = \"{activity}\" and WorkflowType = \"{}\"",
                names::SEARCH_ATTRIBUTE_ACTIVITY_ID,
                names::WORKFLOW_TYPE
            ),
            ..Default::default()
        };
        let mut client = self.client.clone();
        let page = WorkflowService::list_workflow_executions(&mut client, request(message))
            .await
            .map_err(Error::call("list workflows"))?
            .into_inner();
        let Some(latest) = page.executions.into_iter().next() else {
            return Ok(None);
        };
        let status = match latest.status() {
            WorkflowExecutionStatus::Running => WorkflowStatus::Running,
            WorkflowExecutionStatus::Completed => WorkflowStatus::Completed,
            _ => WorkflowStatus::Closed,
        };
        let started_at = latest.start_time;
        let execution = latest.execution.unwrap_or_default();
        let retrying = match status {
            WorkflowStatus::Running => self.retrying_activity(&execution).await?,
            WorkflowStatus::Completed | WorkflowStatus::Closed => None,
        };
        Ok(Some(WorkflowEvidence {
            id: execution.workflow_id,
            started_at: started_at.and_then(|at| instant(at.seconds, at.nanos)),
            status,
            retrying,
        }))
    }

    /// Whether Temporal knows a workflow, running or ended. It forgets those that ended longer ago
    /// than its retention.
    pub async fn knows_workflow(&self, workflow_id: &str) -> Result<bool, Error> {
        let message = DescribeWorkflowExecutionRequest {
            namespace: self.namespace(),
            execution: Some(WorkflowExecution {
                workflow_id: workflow_id.to_owned(),
                run_id: String::new(),
            }),
        };
        let mut client = self.client.clone();
        let described = WorkflowService::describe_workflow_execution(&mut client, request(message));
        match described.await.map_err(Error::call("describe a workflow")) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn retrying_activity(
        &self,
        execution: &WorkflowExecution,
    ) -> Result<Option<String>, Error> {
        let message = DescribeWorkflowExecutionRequest {
            namespace: self.namespace(),
            execution: Some(execution.clone()),
        };
        let mut client = self.client.clone();
        let answer = WorkflowService::describe_workflow_execution(&mut client, request(message))
            .await
            .map_err(Error::call("describe a workflow"))?
            .into_inner();
        Ok(answer
            .pending_activities
            .iter()
            .find(|activity| activity.last_failure.is_some())
            .map(describe_retry))
    }
}

fn describe_retry(activity: &PendingActivityInfo) -> String {
    let name = activity
        .activity_type
        .as_ref()
        .map_or("an activity", |kind| kind.name.as_str());
    let reason = activity
        .last_failure
        .as_ref()
        .map_or("", |failure| failure.message.as_str());
    format!("{name}, attempt {}: {reason}", activity.attempt)
}
