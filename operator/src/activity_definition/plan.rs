//! Decides what to do, and leaves no choice to whoever does it.

use domain::ExternalPausePolicy;
use domain::audit::InForce;
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
    /// The row is as declared, but something else is in force from now on.
    Enter,
    /// Write it, and what is in force with it.
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

impl Plan {
    /// Whether it must not be done on the word of a cache.
    ///
    /// What comes into being for an object that is gone stays for ever, and the cache may not know
    /// yet that it is. What has been carried out of a newer generation is undone by an older one: a
    /// watch that had to begin anew may have been given a list from before (kubernetes#59848).
    pub(super) fn needs_newest(&self, desired: &Desired, observed: &Observed) -> bool {
        let row = observed.mirror.as_ref().ok().and_then(Option::as_ref);
        let row = row.map(|mirror| &mirror.row);
        let goes_back = row.is_some_and(|row| {
            row.uid == desired.mirror.uid && row.generation > desired.mirror.generation
        });
        let makes_row = self.mirror == MirrorStep::Write && row.is_none();
        goes_back || makes_row || matches!(self.schedule, ScheduleStep::Create(_))
    }
}

/// Compares what is declared with what was observed.
pub(super) fn plan(desired: &Desired, observed: &Observed) -> Plan {
    Plan {
        mirror: match &observed.mirror {
            Err(_) => MirrorStep::Unknown,
            Ok(Some(present)) if present.row == desired.mirror => {
                plan_period(desired, present.in_force.as_ref())
            }
            Ok(_) => MirrorStep::Write,
        },
        schedule: match &observed.schedule {
            Err(_) => ScheduleStep::Unknown,
            Ok(schedule) => distrust(
                plan_schedule(desired, schedule.as_ref()),
                desired,
                observed.is_distrusted,
            ),
        },
    }
}

fn plan_period(desired: &Desired, present: Option<&InForce>) -> MirrorStep {
    let as_declared = match present {
        Some(present) => *present == desired.declared.in_force,
        // Nothing was ever expected, and nothing is.
        None => desired.declared.in_force.trigger.is_none(),
    };
    if as_declared {
        MirrorStep::Keep
    } else {
        MirrorStep::Enter
    }
}

/// A Schedule that looks as declared and did not fire is written anew: somebody may have edited it
/// and left the note.
fn distrust(step: ScheduleStep, desired: &Desired, is_distrusted: bool) -> ScheduleStep {
    match (step, &desired.schedule) {
        (
            ScheduleStep::Keep {
                paused_externally: None,
            },
            Some(spec),
        ) if is_distrusted => ScheduleStep::Replace {
            spec: spec.clone(),
            paused_externally: None,
        },
        (step, _) => step,
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
