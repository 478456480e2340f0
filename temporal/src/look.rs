//! What the audit asks: whether a workflow is there, how it stands, and what a Schedule says for
//! itself.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::names;
use domain::ActivityId;
use domain::audit::{FoundWorkflow, HowClosed, ScheduleSeen};
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::enums::v1::WorkflowExecutionStatus;
use temporalio_common::protos::temporal::api::schedule::v1::{ScheduleSpec, ScheduleState};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeNamespaceRequest, DescribeWorkflowExecutionRequest, ListWorkflowExecutionsRequest,
};

use crate::schedule::read_note;
use crate::{Error, PAGE_SIZE, Pause, PauseOwner, Temporal, request};

impl Temporal {
    /// A workflow by its id, and by its run id where one is given, else its newest run; `None` when
    /// Temporal does not know it.
    pub async fn find_workflow(
        &self,
        workflow_id: &str,
        run_id: &str,
    ) -> Result<Option<FoundWorkflow>, Error> {
        const OPERATION: &str = "describe a workflow";
        let message = DescribeWorkflowExecutionRequest {
            namespace: self.namespace(),
            execution: Some(WorkflowExecution {
                workflow_id: workflow_id.to_owned(),
                run_id: run_id.to_owned(),
            }),
        };
        let mut client = self.client.clone();
        let answer = WorkflowService::describe_workflow_execution(&mut client, request(message))
            .await
            .map_err(Error::call(OPERATION));
        let answer = match answer {
            Ok(answer) => answer.into_inner(),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let missing = |missing| Error::Malformed {
            operation: OPERATION,
            missing,
        };
        let info = answer
            .workflow_execution_info
            .ok_or_else(|| missing("execution info"))?;
        let how = how_closed(info.status());
        let started_at = info.start_time.and_then(|at| instant(at.seconds, at.nanos));
        let closed_at = info.close_time.and_then(|at| instant(at.seconds, at.nanos));
        Ok(Some(FoundWorkflow {
            run_id: info.execution.unwrap_or_default().run_id,
            started_at: started_at.ok_or_else(|| missing("start time"))?,
            closed: match how {
                None => None,
                Some(how) => Some((closed_at.ok_or_else(|| missing("close time"))?, how)),
            },
        }))
    }

    /// The run ids of every workflow of ours that is open. A listing follows a start or an end by
    /// up to a second or so.
    pub async fn open_workflows(&self) -> Result<HashSet<String>, Error> {
        let mut open = HashSet::new();
        let mut next_page_token = Vec::new();
        loop {
            let message = ListWorkflowExecutionsRequest {
                namespace: self.namespace(),
                page_size: PAGE_SIZE,
                next_page_token,
                query: format!(
                    "ExecutionStatus = \"Running\" and WorkflowType = \"{}\"",
                    names::WORKFLOW_TYPE
                ),
            };
            let mut client = self.client.clone();
            let page = WorkflowService::list_workflow_executions(&mut client, request(message))
                .await
                .map_err(Error::call("list the open workflows"))?
                .into_inner();
            let executions = page.executions.into_iter();
            open.extend(executions.filter_map(|one| Some(one.execution?.run_id)));
            if page.next_page_token.is_empty() {
                return Ok(open);
            }
            next_page_token = page.next_page_token;
        }
    }

    /// How long the Temporal namespace keeps workflows that have ended.
    pub async fn retention(&self) -> Result<Option<Duration>, Error> {
        let message = DescribeNamespaceRequest {
            namespace: self.namespace(),
            ..Default::default()
        };
        let mut client = self.client.clone();
        let answer = WorkflowService::describe_namespace(&mut client, request(message))
            .await
            .map_err(Error::call("describe the namespace"))?
            .into_inner();
        let kept = answer
            .config
            .and_then(|config| config.workflow_execution_retention_ttl);
        Ok(kept.and_then(|kept| Some(Duration::from_secs(u64::try_from(kept.seconds).ok()?))))
    }

    /// What an activity's Schedule says for itself; `None` when there is none.
    pub async fn schedule_seen(&self, activity: ActivityId) -> Result<Option<ScheduleSeen>, Error> {
        let answer = match self.describe_schedule(activity).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let schedule = answer.schedule.unwrap_or_default();
        let state = schedule.state.unwrap_or_default();
        let info = answer.info.unwrap_or_default();
        let paused = match read_note(state.paused, &state.notes).0 {
            Pause::No => None,
            Pause::Because { owner, reason } => Some((reason, owner != PauseOwner::External)),
        };
        let next = info.future_action_times.first();
        let last = info
            .recent_actions
            .last()
            .and_then(|last| last.schedule_time);
        Ok(Some(ScheduleSeen {
            id: names::schedule_id(activity),
            paused,
            next: next.and_then(|at| instant(at.seconds, at.nanos)),
            last: last.and_then(|at| instant(at.seconds, at.nanos)),
            exhausted: exhausted(&state, &schedule.spec.unwrap_or_default(), Utc::now()),
        }))
    }
}

/// What keeps a Schedule from firing although it is not paused, and is never of our making.
fn exhausted(state: &ScheduleState, spec: &ScheduleSpec, now: DateTime<Utc>) -> Option<String> {
    if state.limited_actions && state.remaining_actions <= 0 {
        return Some("it has no actions left".to_owned());
    }
    let end = spec.end_time?;
    let end = instant(end.seconds, end.nanos).filter(|end| *end < now)?;
    Some(format!(
        "it ended at {}",
        contracts::workflow::format_time(end)
    ))
}

/// How a workflow ended; `None` while it goes on.
fn how_closed(status: WorkflowExecutionStatus) -> Option<HowClosed> {
    let words = match status {
        WorkflowExecutionStatus::Completed => return Some(HowClosed::Completed),
        WorkflowExecutionStatus::Failed => "failed",
        WorkflowExecutionStatus::Canceled => "was cancelled",
        WorkflowExecutionStatus::Terminated => "was terminated",
        WorkflowExecutionStatus::TimedOut => "timed out",
        WorkflowExecutionStatus::ContinuedAsNew => "was continued as another run",
        WorkflowExecutionStatus::Unspecified
        | WorkflowExecutionStatus::Running
        | WorkflowExecutionStatus::Paused => return None,
    };
    Some(HowClosed::Otherwise(words.to_owned()))
}

pub(crate) fn instant(seconds: i64, nanoseconds: i32) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, u32::try_from(nanoseconds).ok()?)
}
