//! Starts planned runs in Temporal.
//!
//! A start may be repeated at will, because the workflow's id is the event's and Temporal uses no
//! id twice. What is left to do here is to tell apart why a start fails: because Temporal is
//! away, which is waited out in place ([`crate::gate`]); because this start is wrong and will
//! stay so; or for a reason that may be either, which is tried again and counted.

use std::sync::Arc;

use contracts::dead_letter::Reason;
use routing::PlannedStart;
use runtime::describe;
use temporal::{Started, Temporal};
use temporalio_client::tonic::Code;

use crate::gate::{Attempt, Gate};

/// What became of one start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StartOutcome {
    /// The run begins now.
    Started,
    /// It had been started before.
    Duplicate,
    /// Temporal refuses it, and would refuse it again.
    Refused(String),
    /// Temporal failed although it is there; another try may succeed.
    Failed(String),
    /// It was not tried: an earlier event of its subject is not started yet.
    Waits(String),
}

/// Starts runs. Clones share what they know of Temporal.
#[derive(Debug, Clone)]
pub(crate) struct Dispatcher {
    temporal: Temporal,
    gate: Arc<Gate>,
}

impl Dispatcher {
    /// Starts runs in `temporal`.
    pub(crate) fn new(temporal: Temporal) -> Self {
        Self {
            temporal,
            gate: Arc::new(Gate::new("Temporal")),
        }
    }

    /// Whether Temporal was there when it was last called.
    pub(crate) fn is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// Starts a run. Waits for as long as Temporal is away.
    pub(crate) async fn start(&self, planned: &PlannedStart) -> StartOutcome {
        self.gate.until_answered(|| self.attempt(planned)).await
    }

    async fn attempt(&self, planned: &PlannedStart) -> Attempt<StartOutcome> {
        let error = match self.temporal.start_run(&planned.start).await {
            Ok(Started::Now) => return Attempt::Answered(StartOutcome::Started),
            Ok(Started::Before) => return Attempt::Answered(StartOutcome::Duplicate),
            Err(error) => error,
        };
        let text = describe(&error);
        match fault(&error) {
            Fault::Start => Attempt::Answered(StartOutcome::Refused(text)),
            Fault::Temporal => Attempt::Away(text),
            Fault::Unclear => match self.temporal.ping().await {
                Ok(()) => Attempt::Answered(StartOutcome::Failed(text)),
                Err(error) => Attempt::Away(describe(&error)),
            },
        }
    }
}

/// The reason of the dead letter that an outcome leads to in the end, and the error; `None` when
/// the start was accepted.
pub(crate) fn dead_letter_reason(outcome: &StartOutcome) -> Option<(Reason, &str)> {
    match outcome {
        StartOutcome::Started | StartOutcome::Duplicate | StartOutcome::Waits(_) => None,
        StartOutcome::Refused(error) => Some((Reason::StartRefused, error)),
        StartOutcome::Failed(error) => Some((Reason::TriesExhausted, error)),
    }
}

/// Whose fault a failed start is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The start's own: it is wrong.
    Start,
    /// Temporal's or ours: no start would succeed now.
    Temporal,
    /// It can't be told from the error.
    Unclear,
}

fn fault(error: &temporal::Error) -> Fault {
    let status = match error {
        // The call has registered them again, but the server's frontends learn of it only within a
        // minute, and no start succeeds until then.
        temporal::Error::Call { .. } if error.is_missing_search_attribute() => {
            return Fault::Temporal;
        }
        temporal::Error::Call { status, .. } => status,
        temporal::Error::Malformed { .. } => return Fault::Unclear,
        temporal::Error::SearchAttributeType { .. } => return Fault::Temporal,
    };
    match status.code() {
        Code::InvalidArgument => Fault::Start,
        // A broken connection comes as one of these, and so does a bug in the server that only
        // this start meets.
        Code::Unknown | Code::Internal | Code::DataLoss | Code::OutOfRange => Fault::Unclear,
        // Among them what is refused whoever asks: rights, quotas, a namespace that is missing
        // or not active. An event is not at fault for any of it.
        _ => Fault::Temporal,
    }
}

#[cfg(test)]
mod tests {
    use temporalio_client::tonic::Status;

    use super::*;

    fn fault_of(status: Status) -> Fault {
        fault(&temporal::Error::Call {
            operation: "start a run",
            status: Box::new(status),
        })
    }

    #[test]
    fn only_a_wrong_start_is_the_events_own_fault() {
        let too_large = Status::invalid_argument("Blob data size exceeds limit.");
        assert_eq!(fault_of(too_large), Fault::Start);
        for away in [
            Status::unavailable("connection refused"),
            Status::deadline_exceeded("timeout"),
            Status::resource_exhausted("namespace rate limit exceeded"),
            Status::permission_denied("token expired"),
            Status::unauthenticated("no token"),
            Status::not_found("Namespace default is not found."),
            Status::failed_precondition("Namespace is not active"),
        ] {
            assert_eq!(fault_of(away.clone()), Fault::Temporal, "{away}");
        }
    }

    #[test]
    fn missing_search_attributes_do_not_condemn_the_event() {
        let status = Status::invalid_argument(
            "Namespace default has no mapping defined for search attribute ActivityId",
        );
        assert_eq!(fault_of(status), Fault::Temporal);
        let wrong = "search attribute ActivityName has a value of 3000 bytes, 2048 at most";
        assert_eq!(fault_of(Status::invalid_argument(wrong)), Fault::Start);
    }

    #[test]
    fn what_may_be_a_broken_connection_is_looked_into() {
        assert_eq!(fault_of(Status::unknown("transport error")), Fault::Unclear);
        assert_eq!(
            fault_of(Status::internal("h2 protocol error")),
            Fault::Unclear
        );
    }
}
