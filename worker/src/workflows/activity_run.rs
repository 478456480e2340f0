//! A run: begin → instruction → reports → tasks → end.
//!
//! Whatever happens in between, the end is entered in the ledger.

use chrono::{DateTime, Utc};
use contracts::names;
use contracts::step::{DeliverReport, EmitTasks, EndRun, RunPlan, RunStart};
use contracts::workflow::{RunRequest, RunResult};
use domain::RunId;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::error::ApplicationFailure;
use temporalio_sdk::workflows::join_all;
use temporalio_sdk::{WorkflowContext, WorkflowResult};

use super::conclusion::{Conclusion, StepProblem};
use super::options;
use crate::activities::{LedgerActivities, StepActivities};

/// The type of the failure of a workflow that was started with input of no use.
const INVALID_INPUT: &str = "InvalidInput";

/// The workflow of one run.
#[workflow]
#[derive(Debug, Default)]
pub(crate) struct ActivityRun;

#[workflow_methods]
impl ActivityRun {
    /// Carries out one run.
    #[run(name = names::WORKFLOW_TYPE)]
    pub(crate) async fn run(
        ctx: &mut WorkflowContext<Self>,
        request: RunRequest,
    ) -> WorkflowResult<RunResult> {
        let start = run_start(ctx, request)?;
        let trigger = start.trigger_key().map_err(invalid_input)?;
        let run = Run {
            id: RunId::of(start.request.activity(), &trigger),
            start,
        };
        let mut conclusion = Conclusion::default();
        let plan = run.begin(ctx, &mut conclusion).await;
        if let Some(outcome) = plan.as_ref().and_then(|plan| plan.ended_before.clone()) {
            return Ok(RunResult {
                run_id: run.id.as_uuid(),
                outcome,
            });
        }
        if let Some(plan) = &plan {
            run.carry_out(ctx, plan, &mut conclusion).await;
        }
        let tier = plan.and_then(|plan| plan.tier);
        run.end(ctx, tier, &mut conclusion).await;
        conclusion.result(run.id)
    }
}

/// What is known of the run from the workflow itself.
fn run_start(ctx: &WorkflowContext<ActivityRun>, request: RunRequest) -> WorkflowResult<RunStart> {
    // Both are recorded in the history; neither is this machine's clock.
    let started = ctx.info().start_time().or_else(|| ctx.workflow_time());
    let started = started.ok_or_else(|| invalid_input("the workflow has no start time"))?;
    Ok(RunStart {
        request,
        workflow_id: ctx.workflow_id().to_owned(),
        workflow_run_id: ctx.run_id().to_owned(),
        fired_at: DateTime::<Utc>::from(started),
    })
}

fn invalid_input(
    problem: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ApplicationFailure {
    ApplicationFailure::builder(problem)
        .type_name(INVALID_INPUT.to_owned())
        .non_retryable(true)
        .build()
}

struct Run {
    id: RunId,
    start: RunStart,
}

impl Run {
    async fn begin(
        &self,
        ctx: &WorkflowContext<ActivityRun>,
        conclusion: &mut Conclusion,
    ) -> Option<RunPlan> {
        let begun = ctx
            .execute_local_activity(
                LedgerActivities::begin_run,
                self.start.clone(),
                options::ledger(),
            )
            .await;
        conclusion.note("begin", begun.map_err(StepProblem::from))
    }

    async fn carry_out(
        &self,
        ctx: &WorkflowContext<ActivityRun>,
        plan: &RunPlan,
        conclusion: &mut Conclusion,
    ) {
        if let Some(reason) = &plan.refusal {
            conclusion.refuse(reason.clone());
            return;
        }
        if let Some(seconds) = plan.instruction_seconds {
            let completed = ctx
                .execute_activity(
                    StepActivities::complete_instruction,
                    self.start.clone(),
                    options::remote(seconds, "instruction".to_owned()),
                )
                .await;
            let completed = completed.map_err(StepProblem::from);
            if conclusion.note("instruction", completed).is_none() {
                return;
            }
        }
        self.deliver_reports(ctx, plan, conclusion).await;
        if let Some(seconds) = plan.tasks_seconds {
            let emitted = ctx
                .execute_activity(
                    StepActivities::emit_tasks,
                    self.emit_tasks(),
                    options::remote(seconds, "tasks".to_owned()),
                )
                .await;
            conclusion.note("tasks", emitted.map_err(StepProblem::from));
        }
    }

    /// All sinks at once; none waits for another or is stopped by it.
    async fn deliver_reports(
        &self,
        ctx: &WorkflowContext<ActivityRun>,
        plan: &RunPlan,
        conclusion: &mut Conclusion,
    ) {
        let deliveries = plan.reports.iter().map(|report| {
            ctx.execute_activity(
                StepActivities::deliver_report,
                self.deliver_report(&report.name, &report.kind),
                options::remote(report.timeout_seconds, step_name(&report.name)),
            )
        });
        let outcomes = join_all(deliveries).await;
        for (report, outcome) in plan.reports.iter().zip(outcomes) {
            conclusion.note(&step_name(&report.name), outcome.map_err(StepProblem::from));
        }
    }

    async fn end(
        &self,
        ctx: &WorkflowContext<ActivityRun>,
        tier: Option<String>,
        conclusion: &mut Conclusion,
    ) {
        let input = EndRun {
            start: self.start.clone(),
            tier,
            error: conclusion.error(),
        };
        let ended = ctx
            .execute_local_activity(LedgerActivities::end_run, input, options::ledger_shielded())
            .await;
        conclusion.note("end", ended.map_err(StepProblem::from));
    }

    fn deliver_report(&self, sink: &str, kind: &str) -> DeliverReport {
        DeliverReport {
            run_id: self.id.as_uuid(),
            activity_id: self.start.request.activity_id,
            sink: sink.to_owned(),
            kind: kind.to_owned(),
            trace_id: self.trace_id(),
        }
    }

    fn emit_tasks(&self) -> EmitTasks {
        EmitTasks {
            run_id: self.id.as_uuid(),
            activity_id: self.start.request.activity_id,
            trace_id: self.trace_id(),
        }
    }

    fn trace_id(&self) -> Option<String> {
        self.start.request.trace_id().map(str::to_owned)
    }
}

fn step_name(report: &str) -> String {
    format!("reports[{report}]")
}
