//! Decides what the status says. Conditions follow kstatus; the transition time of a condition
//! moves only when its status does.

use chrono::{DateTime, SubsecRound, Utc};
use contracts::names;
use crds::condition::{reasons, types};
use crds::{ActivityDefinition, ActivityDefinitionStatus, LastRun};
use domain::{Definition, Trigger};
use store::Run;

use super::observe::{Observed, describe_window};
use super::validate::Refusal;
use super::verified::verified;
use crate::condition::condition;

/// How a reconcile came out.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The definition is not carried out.
    Refused(Refusal),
    /// The plan was carried out, as far as it went.
    Executed {
        /// The definition.
        definition: Box<Definition>,
        /// The mirror.
        mirror: MirrorResult,
        /// The Schedule.
        schedule: ScheduleResult,
    },
}

impl Outcome {
    /// The definition, if it was accepted.
    pub(super) fn definition(&self) -> Option<&Definition> {
        match self {
            Self::Refused(_) => None,
            Self::Executed { definition, .. } => Some(definition),
        }
    }
}

/// What became of the mirror row.
#[derive(Debug)]
pub(super) enum MirrorResult {
    /// It is as declared.
    Synced,
    /// It could not be read.
    Unknown,
    /// It could not be written.
    Failed(String),
}

/// What became of the Schedule.
#[derive(Debug)]
pub(super) enum ScheduleResult {
    /// It is as declared.
    Synced,
    /// It is as declared but for a pause by somebody else, for this reason.
    PausedExternally(String),
    /// It could not be read.
    Unknown,
    /// It was left alone because the mirror is not in order.
    NotTried,
    /// It could not be written.
    Failed {
        /// Whether trying again is of no use.
        permanent: bool,
        /// Why not.
        reason: String,
    },
}

/// Where a definition stands after a reconcile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// As declared.
    Ready,
    /// Waiting for a dependency; to be tried again.
    Waiting,
    /// Nothing moves without a change by somebody.
    Stalled,
}

impl Standing {
    /// Every standing.
    pub(crate) const ALL: [Self; 3] = [Self::Ready, Self::Waiting, Self::Stalled];

    /// The metric label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Stalled => "stalled",
        }
    }
}

/// One condition before it meets its predecessor.
struct Finding {
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

fn finding(
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: impl Into<String>,
) -> Finding {
    Finding {
        kind,
        status,
        reason,
        message: message.into(),
    }
}

/// Decides the status and where the definition stands.
pub(super) fn status(
    object: &ActivityDefinition,
    observed: &Observed,
    outcome: &Outcome,
) -> (ActivityDefinitionStatus, Standing) {
    let before = object.status.clone().unwrap_or_default();
    let definition = outcome.definition();
    let mirror = mirror_finding(observed, outcome);
    let schedule = schedule_finding(observed, outcome);
    let (standing, summary) = summarize(outcome, &mirror, &schedule);
    let runs = observed.runs.as_ref().ok();
    let conditions = [
        finding(
            types::READY,
            truth(standing == Standing::Ready),
            summary.0,
            summary.1.clone(),
        ),
        finding(
            types::RECONCILING,
            truth(standing == Standing::Waiting),
            if standing == Standing::Waiting {
                reasons::PROGRESSING
            } else {
                summary.0
            },
            summary.1.clone(),
        ),
        finding(
            types::STALLED,
            truth(standing == Standing::Stalled),
            summary.0,
            summary.1,
        ),
        schedule,
        mirror,
        run_finding(definition, observed),
    ];
    let status = ActivityDefinitionStatus {
        observed_generation: object.metadata.generation,
        activity_id: object.activity_id().map(domain::ActivityId::as_uuid),
        schedule_id: match (
            definition.map(|definition| &definition.trigger),
            object.activity_id(),
        ) {
            (Some(Trigger::Cron(_)), Some(activity)) => Some(names::schedule_id(activity)),
            _ => None,
        },
        next_run_time: definition.and_then(|definition| next_run(definition, observed.now)),
        last_run: runs.map_or(before.last_run.clone(), |runs| {
            runs.latest.as_ref().map(last_run)
        }),
        missed_runs: runs.map_or(before.missed_runs, |runs| Some(runs.missed)),
        skipped_runs: runs.map_or(before.skipped_runs, |runs| Some(runs.skipped)),
        last_handled_trigger: before.last_handled_trigger.clone(),
        last_handled_reconcile: before.last_handled_reconcile.clone(),
        conditions: conditions
            .into_iter()
            .map(|finding| {
                condition(
                    before.conditions.iter(),
                    finding.kind,
                    (finding.status, finding.reason, finding.message),
                    (&object.metadata, observed.now),
                )
            })
            .collect(),
    };
    (status, standing)
}

const fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

fn mirror_finding(observed: &Observed, outcome: &Outcome) -> Finding {
    let condition =
        |status, reason, message: String| finding(types::MIRROR_SYNCED, status, reason, message);
    match outcome {
        Outcome::Refused(refusal) => {
            condition("False", refusal_reason(refusal), refusal.to_string())
        }
        Outcome::Executed { mirror, .. } => match mirror {
            MirrorResult::Synced => condition(
                "True",
                reasons::SYNCED,
                "the mirror row is as declared".to_owned(),
            ),
            MirrorResult::Failed(reason) => {
                condition("False", reasons::POSTGRES_UNAVAILABLE, reason.clone())
            }
            MirrorResult::Unknown => condition(
                "Unknown",
                reasons::POSTGRES_UNAVAILABLE,
                observed
                    .mirror
                    .as_ref()
                    .err()
                    .map(|error| runtime::describe(error))
                    .unwrap_or_default(),
            ),
        },
    }
}

fn schedule_finding(observed: &Observed, outcome: &Outcome) -> Finding {
    let condition =
        |status, reason, message: String| finding(types::SCHEDULE_SYNCED, status, reason, message);
    let (definition, schedule) = match outcome {
        Outcome::Refused(refusal) => {
            return condition("False", refusal_reason(refusal), refusal.to_string());
        }
        Outcome::Executed {
            definition,
            schedule,
            ..
        } => (definition, schedule),
    };
    match schedule {
        ScheduleResult::Synced => synced_schedule(definition, observed),
        ScheduleResult::PausedExternally(reason) => condition(
            "False",
            reasons::PAUSED_EXTERNALLY,
            format!(
                "somebody paused the Schedule in Temporal (\"{reason}\"); unpause it there, or \
                 set spec.externalPausePolicy to Repair"
            ),
        ),
        ScheduleResult::Unknown => condition(
            "Unknown",
            reasons::TEMPORAL_UNAVAILABLE,
            observed
                .schedule
                .as_ref()
                .err()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
        ScheduleResult::NotTried => condition(
            "Unknown",
            reasons::POSTGRES_UNAVAILABLE,
            "the Schedule is not touched before the mirror is in order".to_owned(),
        ),
        ScheduleResult::Failed { permanent, reason } => condition(
            "False",
            if *permanent {
                reasons::INVALID_SPEC
            } else {
                reasons::TEMPORAL_UNAVAILABLE
            },
            reason.clone(),
        ),
    }
}

fn synced_schedule(definition: &Definition, observed: &Observed) -> Finding {
    let (reason, message) = match &definition.trigger {
        Trigger::Event(_) | Trigger::Manual => (
            reasons::NO_SCHEDULE,
            "the clock does not start this activity, so there is no Schedule".to_owned(),
        ),
        Trigger::Cron(_) if !definition.enabled => (
            reasons::SUSPENDED,
            "the Schedule is paused, because the definition is disabled".to_owned(),
        ),
        Trigger::Cron(_) => match &observed.maintenance.open {
            Some(window) => (
                reasons::SUSPENDED,
                format!("the Schedule is paused by {}", describe_window(window)),
            ),
            None => (reasons::SYNCED, "the Schedule is as declared".to_owned()),
        },
    };
    finding(types::SCHEDULE_SYNCED, "True", reason, message)
}

const fn refusal_reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Invalid(_) | Refusal::NoIdentity => reasons::INVALID_SPEC,
        Refusal::ActivityIdTaken { .. } => reasons::ACTIVITY_ID_CONFLICT,
    }
}

/// The standing, with the reason and message of Ready.
fn summarize(
    outcome: &Outcome,
    mirror: &Finding,
    schedule: &Finding,
) -> (Standing, (&'static str, String)) {
    let stalled = match outcome {
        Outcome::Refused(_) => true,
        Outcome::Executed { schedule, .. } => matches!(
            schedule,
            ScheduleResult::PausedExternally(_)
                | ScheduleResult::Failed {
                    permanent: true,
                    ..
                }
        ),
    };
    let broken = [mirror, schedule]
        .into_iter()
        .find(|finding| finding.status != "True");
    match broken {
        Some(finding) => (
            if stalled {
                Standing::Stalled
            } else {
                Standing::Waiting
            },
            (finding.reason, finding.message.clone()),
        ),
        None if schedule.reason == reasons::SUSPENDED => (
            Standing::Ready,
            (reasons::SUSPENDED, schedule.message.clone()),
        ),
        None => match outcome.definition() {
            Some(definition) if !definition.enabled => (
                Standing::Ready,
                (
                    reasons::SUSPENDED,
                    "the definition is disabled; nothing starts it".to_owned(),
                ),
            ),
            _ => (
                Standing::Ready,
                (reasons::SYNCED, "the definition is in force".to_owned()),
            ),
        },
    }
}

/// The next time at which the clock starts a run; `None` while nothing does.
pub(super) fn next_run(definition: &Definition, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match &definition.trigger {
        Trigger::Cron(cron) if definition.enabled => cron.schedule.next_after(now),
        _ => None,
    }
}

fn last_run(run: &Run) -> LastRun {
    LastRun {
        run_id: run.run_id.as_uuid(),
        scheduled_for: run.scheduled_for.map(|time| time.trunc_subsecs(0)),
        fired_at: run.fired_at.map(|time| time.trunc_subsecs(0)),
        completed_at: run.completed_at.map(|time| time.trunc_subsecs(0)),
        result: run.outcome.as_str().to_owned(),
    }
}

/// Whether the last expected run is proven.
fn run_finding(definition: Option<&Definition>, observed: &Observed) -> Finding {
    let (status, reason, message) = verified(definition, observed);
    finding(types::RUN_VERIFIED, status, reason, message)
}
