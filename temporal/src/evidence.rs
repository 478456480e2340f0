//! What verification asks Temporal: the latest workflow of each activity, and whether it
//! retries.

use std::collections::HashMap;

use contracts::names;
use domain::ActivityId;
use domain::verification::{ScheduleEvidence, WorkflowEvidence, WorkflowStatus};
use futures::future::try_join_all;
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::enums::v1::WorkflowExecutionStatus;
use temporalio_common::protos::temporal::api::workflow::v1::{
    PendingActivityInfo, WorkflowExecutionInfo,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeWorkflowExecutionRequest, ListWorkflowExecutionsRequest,
};

use crate::look::instant;
use crate::{Error, PAGE_SIZE, Pause, Temporal, request};

/// How many activities one query names. A visibility store of Elasticsearch takes a thousand; SQL
/// ones look through the whole namespace for each query.
const ASKED_AT_ONCE: usize = 1000;

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

    /// The workflow that started last of each activity that has one, asked for together. A listing
    /// follows a start by up to a second or so.
    pub async fn latest_workflows(
        &self,
        activities: &[ActivityId],
    ) -> Result<HashMap<ActivityId, WorkflowEvidence>, Error> {
        let mut latest = HashMap::new();
        for asked in activities.chunks(ASKED_AT_ONCE) {
            let evidence = self.newest_workflows(asked).await?.into_iter();
            let evidence = evidence.map(|(activity, info)| async move {
                Ok((activity, self.workflow_evidence(info).await?))
            });
            latest.extend(try_join_all(evidence).await?);
        }
        Ok(latest)
    }

    /// The newest workflow of each activity that has one. Busy activities may fill a page before a
    /// quiet one has its turn, so those that are not on it are asked for again, without the others.
    async fn newest_workflows(
        &self,
        activities: &[ActivityId],
    ) -> Result<HashMap<ActivityId, WorkflowExecutionInfo>, Error> {
        let mut newest = HashMap::new();
        let mut left = activities.to_vec();
        while !left.is_empty() {
            let (page, is_last) = self.page_of_workflows(&left).await?;
            let before = left.len();
            left.retain(|activity| !page.contains_key(activity));
            newest.extend(page);
            if is_last {
                break;
            }
            if left.len() == before {
                return Err(Error::Malformed {
                    operation: "list workflows",
                    missing: "workflow of an activity that was asked for",
                });
            }
        }
        Ok(newest)
    }

    /// The newest workflow of each activity on one page, and whether no page follows.
    async fn page_of_workflows(
        &self,
        activities: &[ActivityId],
    ) -> Result<(HashMap<ActivityId, WorkflowExecutionInfo>, bool), Error> {
        let quoted: Vec<_> = activities.iter().map(|one| format!("\"{one}\"")).collect();
        let message = ListWorkflowExecutionsRequest {
            namespace: self.namespace(),
            page_size: PAGE_SIZE,
            // Newest first is the order of every visibility store; SQL ones refuse ORDER BY.
            query: format!(
                "{} in ({}) and WorkflowType = \"{}\"",
                names::SEARCH_ATTRIBUTE_ACTIVITY_ID,
                quoted.join(", "),
                names::WORKFLOW_TYPE
            ),
            ..Default::default()
        };
        let mut client = self.client.clone();
        let page = WorkflowService::list_workflow_executions(&mut client, request(message))
            .await
            .map_err(Error::call("list workflows"))?
            .into_inner();
        let mut newest = HashMap::new();
        for info in page.executions {
            if let Some(activity) = activity_of(&info) {
                newest.entry(activity).or_insert(info);
            }
        }
        Ok((newest, page.next_page_token.is_empty()))
    }

    async fn workflow_evidence(
        &self,
        latest: WorkflowExecutionInfo,
    ) -> Result<WorkflowEvidence, Error> {
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
        Ok(WorkflowEvidence {
            id: execution.workflow_id,
            started_at: started_at.and_then(|at| instant(at.seconds, at.nanos)),
            status,
            retrying,
        })
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

/// The activity that a workflow's search attribute names.
fn activity_of(info: &WorkflowExecutionInfo) -> Option<ActivityId> {
    let attributes = &info.search_attributes.as_ref()?.indexed_fields;
    let payload = attributes.get(names::SEARCH_ATTRIBUTE_ACTIVITY_ID)?;
    let text: String = serde_json::from_slice(&payload.data).ok()?;
    text.parse().ok()
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
