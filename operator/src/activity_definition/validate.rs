//! Judges a spec, with no client at hand. What comes out can't be wrong.

use std::time::Duration;

use crds::ActivityDefinition;
use domain::audit::{InForce, PeriodState};
use domain::{Definition, InvalidDefinition, Trigger};
use kube::ResourceExt;
use store::{Declared, MirrorRow};
use temporal::{Pause, PauseOwner, ScheduleSpec};
use uuid::Uuid;

use super::observe::{Observed, describe_window};

/// Why a definition is not carried out.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Refusal {
    /// The spec is invalid.
    Invalid(InvalidDefinition),
    /// The activity id belongs to another definition.
    ActivityIdTaken {
        /// The other definition, as namespace/name.
        by: String,
    },
    /// The object has no UID: it does not come from an API server.
    NoIdentity,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invalid(problem) => write!(formatter, "spec.{problem}"),
            Self::ActivityIdTaken { by } => write!(
                formatter,
                "the activity id belongs to {by}; give this definition another spec.activityId \
                 or delete one of the two"
            ),
            Self::NoIdentity => formatter.write_str("the object has no UID"),
        }
    }
}

/// What a definition declares, in the terms of Temporal and the mirror.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Desired {
    /// The definition.
    pub definition: Definition,
    /// The Schedule; `None` when the clock does not start it.
    pub schedule: Option<ScheduleSpec>,
    /// The mirror row.
    pub mirror: MirrorRow,
    /// What the audit goes by.
    pub declared: Declared,
}

/// Validates an object against what was observed around it.
pub(super) fn validate(
    object: &ActivityDefinition,
    observed: &Observed,
    time_limit: Duration,
) -> Result<Desired, Refusal> {
    let activity = object.activity_id().ok_or(Refusal::NoIdentity)?;
    let uid: Uuid = object
        .uid()
        .and_then(|uid| uid.parse().ok())
        .ok_or(Refusal::NoIdentity)?;
    if let Some(by) = &observed.rival {
        return Err(Refusal::ActivityIdTaken { by: by.clone() });
    }
    let definition = object
        .spec
        .validate(activity, &object.name_any())
        .map_err(Refusal::Invalid)?;
    definition
        .time_budget()
        .check(time_limit)
        .map_err(|exceeded| Refusal::Invalid(exceeded.into()))?;
    let pause = declared_pause(&definition, observed);
    let schedule = ScheduleSpec::declared(&definition, uid, pause);
    let event_type = match &definition.trigger {
        Trigger::Event(trigger) => Some(trigger.event_type.clone()),
        Trigger::Cron(_) | Trigger::Manual => None,
    };
    let mirror = MirrorRow {
        activity_id: activity.as_uuid(),
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        uid,
        generation: object.metadata.generation.unwrap_or_default(),
        display_name: definition.name.clone(),
        enabled: definition.enabled,
        event_type,
        // A spec that was read from JSON can be written as JSON.
        spec: serde_json::to_value(&object.spec).unwrap_or_default(),
    };
    let declared = Declared {
        in_force: in_force(&definition, observed),
        grace: definition.grace,
    };
    Ok(Desired {
        definition,
        schedule,
        mirror,
        declared,
    })
}

/// What is expected of the clock from now on. It is paused for the same reasons as the Schedule.
fn in_force(definition: &Definition, observed: &Observed) -> InForce {
    let Trigger::Cron(trigger) = &definition.trigger else {
        return InForce::WITHDRAWN;
    };
    let state = match &observed.maintenance.open {
        _ if !definition.enabled => PeriodState::Disabled,
        Some(window) => PeriodState::Maintenance(window.clone()),
        None => PeriodState::Active,
    };
    InForce {
        trigger: Some(trigger.clone()),
        state,
    }
}

fn declared_pause(definition: &Definition, observed: &Observed) -> Pause {
    if !definition.enabled {
        return Pause::Because {
            owner: PauseOwner::Disabled,
            reason: "the ActivityDefinition is disabled".to_owned(),
        };
    }
    observed
        .maintenance
        .open
        .as_ref()
        .map_or(Pause::No, |window| Pause::Because {
            owner: PauseOwner::Maintenance,
            reason: describe_window(window),
        })
}
