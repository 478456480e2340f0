//! The long and outward steps: the instruction, the sinks. They are remote activities and give
//! heartbeats, so that a killed worker costs seconds.

use std::sync::Arc;

use contracts::step::{DeliverReport, DeliveryReceipt, EmitTasks, InstructionReceipt, RunStart};
use domain::RunId;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use super::heartbeat::with_heartbeat;
use crate::delivery::{self, Attempt, within};
use crate::error::StepError;
use crate::instruction::InstructionRun;
use crate::services::Services;
use crate::trace::traceparent;

/// The steps that reach out.
pub(crate) struct StepActivities {
    services: Arc<Services>,
}

impl StepActivities {
    pub(crate) const fn new(services: Arc<Services>) -> Self {
        Self { services }
    }

    async fn complete(&self, start: &RunStart) -> Result<InstructionReceipt, StepError> {
        let activity = start.request.activity();
        let trigger = start.trigger_key().map_err(StepError::InvalidStart)?;
        let run_id = RunId::of(activity, &trigger);
        let definition = self.services.definition(activity).await?;
        let instruction = definition.instruction.as_ref();
        let instruction = instruction.ok_or(StepError::Changed("instruction"))?;
        let run = InstructionRun {
            services: &self.services,
            definition: &definition,
            start,
            run_id,
            traceparent: traceparent(start.request.trace_id(), run_id),
        };
        within(instruction.timeout, run.complete()).await
    }
}

#[activities]
impl StepActivities {
    /// Sees to it that the run's report is stored.
    #[activity(name = "complete_instruction")]
    pub(crate) async fn complete_instruction(
        self: Arc<Self>,
        context: ActivityContext,
        start: RunStart,
    ) -> Result<InstructionReceipt, ActivityError> {
        let work = Box::pin(async {
            let completed = self.complete(&start).await;
            if let Err(error) = &completed {
                let attempt = context.info().attempt;
                tracing::warn!(
                    workflow_id = start.workflow_id,
                    attempt,
                    error = error.text(),
                    "the instruction failed"
                );
            }
            completed
        });
        with_heartbeat(&context, work).await
    }

    /// Hands the report to one sink.
    #[activity(name = "deliver_report")]
    pub(crate) async fn deliver_report(
        self: Arc<Self>,
        context: ActivityContext,
        input: DeliverReport,
    ) -> Result<DeliveryReceipt, ActivityError> {
        let attempt = attempt(&context);
        let work = Box::pin(delivery::deliver_report(&self.services, &input, attempt));
        with_heartbeat(&context, work).await
    }

    /// Files the tasks that the run found.
    #[activity(name = "emit_tasks")]
    pub(crate) async fn emit_tasks(
        self: Arc<Self>,
        context: ActivityContext,
        input: EmitTasks,
    ) -> Result<DeliveryReceipt, ActivityError> {
        let attempt = attempt(&context);
        let work = Box::pin(delivery::emit_tasks(&self.services, &input, attempt));
        with_heartbeat(&context, work).await
    }
}

fn attempt(context: &ActivityContext) -> Attempt {
    let info = context.info();
    Attempt {
        number: info.attempt,
        maximum: info
            .retry_policy
            .as_ref()
            .map_or(0, temporalio_common::RetryPolicy::maximum_attempts),
    }
}
