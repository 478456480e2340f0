//! Answers a reconcile that somebody asked for by the annotation `activity-core.io/reconcile`:
//! the status repeats the annotation's value and says what was done.

use crds::{ActivityDefinition, HandledReconcile};
use kube::ResourceExt as _;
use temporal::Pause;

use super::observe::Observed;
use super::plan::{MirrorStep, Plan, ScheduleStep};
use super::status::{MirrorResult, Outcome, ScheduleResult};
use crate::{Context, resync};

/// What was done in one reconcile, as the status names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changes {
    schedule: &'static str,
    mirror: &'static str,
}

impl Changes {
    /// What is planned.
    pub(super) fn planned(plan: &Plan, observed: &Observed) -> Self {
        let schedule = observed.schedule.as_ref().ok().and_then(Option::as_ref);
        let was_paused = schedule.is_some_and(|schedule| schedule.pause != Pause::No);
        Self {
            schedule: match &plan.schedule {
                ScheduleStep::Create(spec) if spec.pause != Pause::No => "CreatedPaused",
                ScheduleStep::Create(_) => "Created",
                ScheduleStep::Replace { spec, .. } => match (was_paused, spec.pause != Pause::No) {
                    (false, true) => "Paused",
                    (true, false) => "Resumed",
                    (false, false) | (true, true) => "Updated",
                },
                ScheduleStep::Delete => "Deleted",
                ScheduleStep::Keep { .. } => "Unchanged",
                ScheduleStep::Unknown => "Unknown",
            },
            mirror: match (plan.mirror, &observed.mirror) {
                (MirrorStep::Keep | MirrorStep::Enter, _) => "Unchanged",
                (MirrorStep::Unknown, _) => "Unknown",
                (MirrorStep::Write, Ok(Some(_))) => "Updated",
                (MirrorStep::Write, _) => "Created",
            },
        }
    }

    /// What came of it, once there is no more to wait for: what a dependency stands in the way of
    /// is tried again, and answered then.
    fn carried_out(self, outcome: &Outcome) -> Option<Self> {
        let Outcome::Executed {
            mirror, schedule, ..
        } = outcome
        else {
            return Some(Self::REFUSED);
        };
        let schedule = match schedule {
            ScheduleResult::Synced | ScheduleResult::PausedExternally(_) => self.schedule,
            ScheduleResult::Failed {
                permanent: true, ..
            } => "Failed",
            ScheduleResult::Unknown
            | ScheduleResult::NotTried
            | ScheduleResult::Failed {
                permanent: false, ..
            } => return None,
        };
        match mirror {
            MirrorResult::Synced => Some(Self {
                schedule,
                mirror: self.mirror,
            }),
            MirrorResult::Unknown | MirrorResult::Failed(_) => None,
        }
    }

    /// Nothing, because the definition is not carried out.
    pub(super) const REFUSED: Self = Self {
        schedule: "Refused",
        mirror: "Refused",
    };
}

/// The request that has not been answered yet.
pub(super) fn pending(object: &ActivityDefinition) -> Option<&str> {
    let asked = object
        .annotations()
        .get(contracts::names::RECONCILE_ANNOTATION)?;
    let status = object.status.as_ref();
    let answered = status.and_then(|status| status.last_handled_reconcile.as_ref());
    let is_new = answered.is_none_or(|answered| answered.token != *asked);
    (is_new && !asked.is_empty()).then_some(asked)
}

/// The answer to a request, once the definition is dealt with and everything that no definition
/// declares has been swept too: once per request, however many definitions carry it.
pub(super) async fn answer(
    context: &Context,
    object: &ActivityDefinition,
    (changes, outcome): (Changes, &Outcome),
) -> Option<HandledReconcile> {
    let token = pending(object)?;
    let changes = changes.carried_out(outcome)?;
    let mut swept_for = context.swept_for.lock().await;
    if swept_for.as_deref() != Some(token) {
        if let Err(error) = resync::resync(context).await {
            tracing::warn!(
                definition = super::describe(object),
                error = format!("{error:#}"),
                "unable to sweep as the annotation asks"
            );
            return None;
        }
        *swept_for = Some(token.to_owned());
    }
    Some(HandledReconcile {
        token: token.to_owned(),
        schedule: changes.schedule.to_owned(),
        mirror: changes.mirror.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(asked: &str, answered: &str) -> ActivityDefinition {
        serde_json::from_value(json!({
            "apiVersion": "activity-core.io/v1alpha1", "kind": "ActivityDefinition",
            "metadata": {"name": "daily", "annotations": {"activity-core.io/reconcile": asked}},
            "spec": {},
            "status": {"lastHandledReconcile":
                {"token": answered, "schedule": "Created", "mirror": "Created"}},
        }))
        .unwrap()
    }

    #[test]
    fn a_request_is_answered_once() {
        assert_eq!(pending(&definition("two", "one")), Some("two"));
        assert_eq!(pending(&definition("one", "one")), None);
        assert_eq!(pending(&definition("", "one")), None);
    }

    #[test]
    fn what_could_not_be_done_is_not_called_done() {
        let changes = Changes {
            schedule: "Created",
            mirror: "Updated",
        };
        let refused = Outcome::Refused(super::super::validate::Refusal::NoIdentity);
        assert_eq!(changes.carried_out(&refused), Some(Changes::REFUSED));
    }
}
