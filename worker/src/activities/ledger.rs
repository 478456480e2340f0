//! The short steps: a run's beginning and its end in the ledger. They are local activities, next
//! to free, and are repeated until Postgres is there.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use contracts::step::{EndRun, RunPlan, RunStart};
use domain::{ActivityId, DeliveryResult, RunOutcome};
use store::{Begun, GivenUp, MirrorRow, NewRun, RunEnd};
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use crate::error::StepError;
use crate::metrics::SinkLabels;
use crate::plan;
use crate::services::Services;
use crate::sinks::issue_core;

/// The steps against our own Postgres.
pub(crate) struct LedgerActivities {
    services: Arc<Services>,
}

impl LedgerActivities {
    pub(crate) const fn new(services: Arc<Services>) -> Self {
        Self { services }
    }

    async fn begin(&self, start: &RunStart) -> Result<RunPlan, StepError> {
        let row = match self.enter(start).await? {
            Begun::Here(row) => row,
            Begun::EndedBefore(outcome) => {
                tracing::warn!(
                    workflow_id = start.workflow_id, %outcome,
                    "the run has ended before, in a workflow that Temporal has forgotten"
                );
                return Ok(RunPlan {
                    ended_before: Some(outcome.as_str().to_owned()),
                    ..RunPlan::default()
                });
            }
        };
        let Some(row) = row else {
            return Ok(plan::refusal(StepError::DefinitionDeleted.to_string()));
        };
        let limit = self.services.settings.run_limit;
        let plan = plan::plan(plan::definition(&row), limit);
        self.expect_deliveries(&row, &plan);
        Ok(plan)
    }

    fn expect_deliveries(&self, row: &MirrorRow, plan: &RunPlan) {
        let reports = plan.reports.iter();
        let tasks = plan
            .tasks_seconds
            .map(|_| (issue_core::NAME, issue_core::KIND));
        let sinks = reports
            .map(|report| (report.name.as_str(), report.kind.as_str()))
            .chain(tasks);
        for (sink, kind) in sinks {
            if let Some(labels) = SinkLabels::new(row, sink, kind) {
                self.services.metrics.expect_deliveries(&labels);
            }
        }
    }

    /// Counts the deliveries that nobody will try again. A definition that is gone has no series.
    async fn count_given_up(
        &self,
        activity: ActivityId,
        given_up: &[GivenUp],
    ) -> Result<(), StepError> {
        if given_up.is_empty() {
            return Ok(());
        }
        let Some(row) = self.services.store.definition(activity).await? else {
            return Ok(());
        };
        for GivenUp { sink, kind } in given_up {
            if let Some(labels) = SinkLabels::new(&row, sink, kind) {
                self.services
                    .metrics
                    .count_delivery(&labels, DeliveryResult::Failed);
            }
        }
        Ok(())
    }

    /// Enters the run as Running, unless it is entered already.
    async fn enter(&self, start: &RunStart) -> Result<Begun, StepError> {
        Ok(self.services.store.begin_run(&new_run(start)?).await?)
    }

    async fn end(&self, input: &EndRun) -> Result<(), StepError> {
        let activity = input.start.request.activity();
        let trigger = input.start.trigger_key().map_err(StepError::InvalidStart)?;
        let run_id = domain::RunId::of(activity, &trigger);
        let end = RunEnd {
            outcome: outcome(input.error.as_deref()),
            error: input.error.clone(),
            completed_at: Utc::now(),
        };
        let store = &self.services.store;
        let mut ended = store.end_run(run_id, &end).await?;
        if ended.is_none() {
            // A run that was cancelled while Postgres was away has no row yet.
            self.enter(&input.start).await?;
            ended = store.end_run(run_id, &end).await?;
        }
        let given_up = ended.ok_or(StepError::NoRow)?;
        self.count_given_up(activity, &given_up).await?;
        let took = (end.completed_at - input.start.fired_at).to_std();
        let took = took.unwrap_or(Duration::ZERO);
        self.services
            .metrics
            .count_run(end.outcome, input.tier.as_deref(), took);
        tracing::info!(
            %run_id, activity_id = %activity, trigger = %trigger, outcome = %end.outcome,
            error = end.error, "the run ended"
        );
        Ok(())
    }
}

#[activities]
impl LedgerActivities {
    /// Enters the run and plans it.
    #[activity(name = "begin_run")]
    pub(crate) async fn begin_run(
        self: Arc<Self>,
        _context: ActivityContext,
        start: RunStart,
    ) -> Result<RunPlan, ActivityError> {
        self.begin(&start).await.map_err(logged("begin_run"))
    }

    /// Enters the run's outcome.
    #[activity(name = "end_run")]
    pub(crate) async fn end_run(
        self: Arc<Self>,
        _context: ActivityContext,
        input: EndRun,
    ) -> Result<(), ActivityError> {
        self.end(&input).await.map_err(logged("end_run"))
    }
}

/// A local activity's failed tries are not in the history, so they are logged.
fn logged(step: &'static str) -> impl Fn(StepError) -> ActivityError {
    move |error| {
        tracing::warn!(step, error = error.text(), "a step failed");
        error.into_failure()
    }
}

fn new_run(start: &RunStart) -> Result<NewRun, StepError> {
    Ok(NewRun {
        activity: start.request.activity(),
        trigger: start.trigger_key().map_err(StepError::InvalidStart)?,
        fired_at: start.fired_at,
        workflow_id: start.workflow_id.clone(),
        workflow_run_id: start.workflow_run_id.clone(),
        trace_id: start.request.trace_id().map(str::to_owned),
    })
}

const fn outcome(error: Option<&str>) -> RunOutcome {
    match error {
        None => RunOutcome::Succeeded,
        Some(_) => RunOutcome::Failed,
    }
}
