//! How often, how long and where the steps of a run are tried.

use std::time::Duration;

use contracts::names;
use temporalio_common::RetryPolicy;
use temporalio_sdk::{
    ActivityCancellationType, ActivityOptions, LocalActivityOptions, WorkflowCancellationToken,
};

/// How often a step is tried.
const MAXIMUM_ATTEMPTS: u32 = 10;

/// The longest pause between two tries.
const MAXIMUM_PAUSE: Duration = Duration::from_mins(1);

/// The time that a step has beyond what its definition gives it, so that it can say itself that
/// it was too slow, and enter that in the ledger.
const MARGIN: Duration = Duration::from_secs(10);

/// How long a step may be silent before its worker counts as dead.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long one try against our own Postgres may take: waiting for a connection (5 s), and some
/// more, so that the error says why and not only that it took too long.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(8);

/// Longer pauses are timers of the workflow; for shorter ones it keeps its task.
const LONGEST_LOCAL_PAUSE: Duration = Duration::from_secs(5);

/// A step that reaches out, with the time that its definition gives it.
pub(super) fn remote(seconds: u64, summary: String) -> ActivityOptions {
    let timeout = Duration::from_secs(seconds).saturating_add(MARGIN);
    ActivityOptions::with_start_to_close_timeout(timeout)
        .task_queue(names::ACTIVITY_TASK_QUEUE)
        .heartbeat_timeout(HEARTBEAT_TIMEOUT)
        .retry_policy(retry_policy(MAXIMUM_ATTEMPTS))
        // The ledger is closed when nobody is at work any more.
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .summary(summary)
        .build()
}

/// A step against our own Postgres. It is tried until it succeeds: there is nothing else that a
/// run could do while Postgres is away.
pub(super) fn ledger() -> LocalActivityOptions {
    ledger_within(None)
}

/// The same, for a step that a cancellation of the run must not stop.
pub(super) fn ledger_shielded() -> LocalActivityOptions {
    ledger_within(Some(WorkflowCancellationToken::new()))
}

fn ledger_within(token: Option<WorkflowCancellationToken>) -> LocalActivityOptions {
    LocalActivityOptions::builder()
        .start_to_close_timeout(LEDGER_TIMEOUT)
        .retry_policy(retry_policy(0))
        .timer_backoff_threshold(LONGEST_LOCAL_PAUSE)
        .maybe_cancellation_token(token)
        .build()
}

fn retry_policy(maximum_attempts: u32) -> RetryPolicy {
    RetryPolicy::builder()
        .initial_interval(Duration::from_secs(1))
        .backoff_coefficient(2.0)
        .maximum_interval(MAXIMUM_PAUSE)
        .maximum_attempts(maximum_attempts)
        .build()
}
