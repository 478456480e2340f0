//! What became of a run's steps, and what follows from it.

use contracts::workflow::RunResult;
use domain::RunId;
use temporalio_common::error::IncomingError;
use temporalio_sdk::error::{ActivityExecutionError, ApplicationFailure};
use temporalio_sdk::{WorkflowResult, WorkflowTermination};

/// The type of the failure with which a run that failed ends in Temporal.
const RUN_FAILED: &str = "RunFailed";

/// Why a step did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StepProblem {
    /// It was given up.
    Failed(String),
    /// The run was cancelled.
    Cancelled,
}

impl From<ActivityExecutionError> for StepProblem {
    fn from(error: ActivityExecutionError) -> Self {
        match error {
            ActivityExecutionError::Cancelled(_) => Self::Cancelled,
            other => Self::Failed(reason(&other)),
        }
    }
}

/// The messages of an activity's failure, without the wrapper that every one has.
fn reason(error: &ActivityExecutionError) -> String {
    let mut messages = Vec::new();
    let mut cause = error.cause();
    while let Some(present) = cause {
        messages.push(present.failure().message.clone());
        cause = IncomingError::cause(present);
    }
    if messages.is_empty() {
        error.to_string()
    } else {
        messages.join(": ")
    }
}

/// What became of a run so far.
#[derive(Debug, Default)]
pub(super) struct Conclusion {
    problems: Vec<String>,
    is_cancelled: bool,
}

impl Conclusion {
    /// Takes down a step's outcome, and hands on what it answered if it succeeded.
    pub(super) fn note<T>(&mut self, step: &str, outcome: Result<T, StepProblem>) -> Option<T> {
        match outcome {
            Ok(answer) => Some(answer),
            Err(StepProblem::Failed(reason)) => {
                self.problems.push(format!("{step}: {reason}"));
                None
            }
            Err(StepProblem::Cancelled) => {
                self.is_cancelled = true;
                self.problems.push(format!("{step}: cancelled"));
                None
            }
        }
    }

    /// Takes down that the run can't do anything.
    pub(super) fn refuse(&mut self, reason: String) {
        self.problems.push(reason);
    }

    /// Why the run failed; `None` when it succeeded.
    pub(super) fn error(&self) -> Option<String> {
        (!self.problems.is_empty()).then(|| self.problems.join("; "))
    }

    /// How the workflow ends. A failed run fails its workflow, so that Temporal shows it.
    pub(super) fn result(self, run: RunId) -> WorkflowResult<RunResult> {
        match self.error() {
            None => Ok(RunResult::succeeded(run)),
            Some(_) if self.is_cancelled => Err(WorkflowTermination::cancelled()),
            Some(error) => Err(ApplicationFailure::builder(error)
                .type_name(RUN_FAILED.to_owned())
                .non_retryable(true)
                .build()
                .into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn run() -> RunId {
        RunId::new(Uuid::from_u128(7))
    }

    fn failed(reason: &str) -> Result<(), StepProblem> {
        Err(StepProblem::Failed(reason.to_owned()))
    }

    #[test]
    fn a_run_succeeds_when_every_step_does() {
        let mut conclusion = Conclusion::default();
        assert_eq!(conclusion.note("begin_run", Ok(1)), Some(1));
        assert_eq!(conclusion.error(), None);
        assert_eq!(conclusion.result(run()).unwrap().outcome, "Succeeded");
    }

    #[test]
    fn a_failed_run_names_each_failed_step() {
        let mut conclusion = Conclusion::default();
        conclusion.note("reports[hub]", failed("http://hub answered 500"));
        conclusion.note("reports[file]", Ok(()));
        conclusion.note("tasks", failed("not done within 60 s"));
        assert_eq!(
            conclusion.error().unwrap(),
            "reports[hub]: http://hub answered 500; tasks: not done within 60 s"
        );
        assert!(matches!(
            conclusion.result(run()),
            Err(WorkflowTermination::Failed(_))
        ));
    }

    #[test]
    fn a_cancelled_run_is_failed_in_the_ledger_and_cancelled_in_temporal() {
        let mut conclusion = Conclusion::default();
        let cancelled: Result<(), _> = Err(StepProblem::Cancelled);
        conclusion.note("instruction", cancelled);
        assert_eq!(conclusion.error().unwrap(), "instruction: cancelled");
        assert!(matches!(
            conclusion.result(run()),
            Err(WorkflowTermination::Cancelled { .. })
        ));
    }
}
