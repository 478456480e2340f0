//! How a run that an event should have started stands, and whether a replay starts it.

use domain::RunOutcome;

/// What is known of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Evidence {
    /// Its outcome in the ledger, if it has a row.
    pub(super) ledger: Option<RunOutcome>,
    /// Whether Temporal knows its workflow.
    pub(super) in_temporal: bool,
    /// Whether the event router is done with the event.
    pub(super) is_settled: bool,
}

/// Why a run is left alone; `None` when it never started and is to be started.
pub(super) fn left_because(evidence: Evidence) -> Option<String> {
    match evidence {
        Evidence {
            ledger: Some(outcome),
            ..
        } => Some(format!("the ledger has it: {}", outcome.as_str())),
        Evidence {
            in_temporal: true, ..
        } => Some("Temporal has it".to_owned()),
        // It may be about to be started, and in an order that is not ours to break.
        Evidence {
            is_settled: false, ..
        } => Some("the event router is not done with the event".to_owned()),
        Evidence { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_knows_of_and_nobody_works_on_is_started() {
        let never = Evidence {
            ledger: None,
            in_temporal: false,
            is_settled: true,
        };
        assert_eq!(left_because(never), None);
        for (evidence, reason) in [
            (
                Evidence {
                    ledger: Some(RunOutcome::Failed),
                    ..never
                },
                "the ledger has it: Failed",
            ),
            (
                Evidence {
                    in_temporal: true,
                    ..never
                },
                "Temporal has it",
            ),
            (
                Evidence {
                    is_settled: false,
                    ..never
                },
                "the event router is not done with the event",
            ),
        ] {
            assert_eq!(left_because(evidence).as_deref(), Some(reason));
        }
    }
}
