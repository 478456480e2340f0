//! Decides what to do, and leaves no choice to whoever does it.

use domain::ExternalPausePolicy;
use temporal::{Pause, PauseOwner, ScheduleSpec};

use super::observe::Observed;
use super::validate::Desired;

/// What is to be done about the Schedule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ScheduleStep {
    /// Nothing: it is as declared, or there is none and none is declared.
    Keep {
        /// The reason of a pause that somebody else made and that is to stay.
        paused_externally: Option<String>,
    },
    /// Make it.
    Create(ScheduleSpec),
    /// Write it anew as a whole.
    Replace {
        /// What to write.
        spec: ScheduleSpec,
        /// The reason of a pause that somebody else made and that is to stay.
        paused_externally: Option<String>,
    },
    /// Remove it.
    Delete,
    /// Temporal could not be asked, so nothing is decided.
    Unknown,
}

impl ScheduleStep {
    /// The operations that write, as metric labels.
    pub(crate) const OPERATIONS: [&'static str; 3] = ["create", "replace", "delete"];

    /// The operation's metric label, if the step writes.
    pub(crate) const fn operation(&self) -> Option<&'static str> {
        match self {
            Self::Create(_) => Some("create"),
            Self::Replace { .. } => Some("replace"),
            Self::Delete => Some("delete"),
            Self::Keep { .. } | Self::Unknown => None,
        }
    }
}

/// What is to be done about the mirror row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MirrorStep {
    /// It is as declared.
    Keep,
    /// Write it.
    Write,
    /// Postgres could not be asked, so nothing is decided.
    Unknown,
}

/// Everything that is to be done, in this order: the mirror first, because a Schedule that fires
/// needs it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// First.
    pub mirror: MirrorStep,
    /// Second.
    pub schedule: ScheduleStep,
}

/// Compares what is declared with what was observed.
pub(super) fn plan(desired: &Desired, observed: &Observed) -> Plan {
    Plan {
        mirror: match &observed.mirror {
            Err(_) => MirrorStep::Unknown,
            Ok(Some((row, _))) if *row == desired.mirror => MirrorStep::Keep,
            Ok(_) => MirrorStep::Write,
        },
        schedule: match &observed.schedule {
            Err(_) => ScheduleStep::Unknown,
            Ok(schedule) => plan_schedule(desired, schedule.as_ref()),
        },
    }
}

fn plan_schedule(desired: &Desired, observed: Option<&temporal::Observed>) -> ScheduleStep {
    match (&desired.schedule, observed) {
        (None, None) => ScheduleStep::Keep {
            paused_externally: None,
        },
        (None, Some(_)) => ScheduleStep::Delete,
        (Some(spec), None) => ScheduleStep::Create(spec.clone()),
        (Some(spec), Some(observed)) => {
            let external = standing_external_pause(desired, spec, observed);
            let spec = ScheduleSpec {
                pause: external.as_ref().map_or_else(
                    || spec.pause.clone(),
                    |reason| Pause::Because {
                        owner: PauseOwner::External,
                        reason: reason.clone(),
                    },
                ),
                ..spec.clone()
            };
            let as_declared = observed.digest.as_deref() == Some(spec.digest().as_str())
                && observed.pause == spec.pause
                && observed.object_uid == Some(spec.object_uid);
            if as_declared {
                ScheduleStep::Keep {
                    paused_externally: external,
                }
            } else {
                ScheduleStep::Replace {
                    spec,
                    paused_externally: external,
                }
            }
        }
    }
}

/// The reason of a pause that was made by somebody else and is to stay: declared pauses come
/// first, and the policy may say that others are undone.
fn standing_external_pause(
    desired: &Desired,
    spec: &ScheduleSpec,
    observed: &temporal::Observed,
) -> Option<String> {
    let Pause::Because {
        owner: PauseOwner::External,
        reason,
    } = &observed.pause
    else {
        return None;
    };
    let stays =
        spec.pause == Pause::No && desired.definition.external_pause == ExternalPausePolicy::Report;
    stays.then(|| reason.clone())
}

#[cfg(test)]
mod tests;
