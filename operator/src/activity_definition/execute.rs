//! Carries a plan out. There is nothing to decide here but what an answer means.

use contracts::names;
use crds::ActivityDefinition;
use kube::{Api, ResourceExt};
use store::Store;
use temporal::ScheduleSpec;
use uuid::Uuid;

use super::plan::{MirrorStep, Plan, ScheduleStep};
use super::status::{MirrorResult, Outcome, ScheduleResult};
use super::validate::{Desired, Refusal};
use crate::{Context, Error};

/// The annotation that lets a deletion end although Temporal is gone for good.
const ABANDON_ANNOTATION: &str = "activity-core.io/abandon-schedule";

/// Carries a plan out, the mirror first. An error is only that this replica must not write.
pub(super) async fn execute(
    context: &Context,
    desired: Desired,
    plan: Plan,
) -> Result<Outcome, Error> {
    let mirror = match plan.mirror {
        MirrorStep::Keep => MirrorResult::Synced,
        MirrorStep::Unknown => MirrorResult::Unknown,
        MirrorStep::Write | MirrorStep::Enter => {
            context.leadership.check()?;
            match write_mirror(context, &desired).await {
                Ok(()) => MirrorResult::Synced,
                Err(store::Error::ActivityIdTaken { namespace, name }) => {
                    return Ok(Outcome::Refused(Refusal::ActivityIdTaken {
                        by: format!("{namespace}/{name}"),
                    }));
                }
                Err(error) => MirrorResult::Failed(runtime::describe(&error)),
            }
        }
    };
    // A Schedule that fires needs the mirror row: it is not let loose without one.
    let schedule = if matches!(mirror, MirrorResult::Synced) {
        context.leadership.check()?;
        execute_schedule(context, &plan.schedule, &desired).await
    } else {
        ScheduleResult::NotTried
    };
    Ok(Outcome::Executed {
        definition: Box::new(desired.definition),
        mirror,
        schedule,
    })
}

/// Writes the mirror row. A row of the same activity id whose object is gone gives way: it is
/// what a restored backup or a lost finalizer leaves behind.
async fn write_mirror(context: &Context, desired: &Desired) -> Result<(), store::Error> {
    let put = || {
        context
            .store
            .put_in_force(&desired.mirror, &desired.declared)
    };
    let (namespace, name) = match put().await {
        Err(store::Error::ActivityIdTaken { namespace, name }) => (namespace, name),
        written => return written.map(|_| ()),
    };
    let taken = Err(store::Error::ActivityIdTaken {
        namespace: namespace.clone(),
        name: name.clone(),
    });
    let Ok(owner) = claimant(context, &namespace, &name).await else {
        return taken;
    };
    if owner.is_some_and(|owner| owner.activity_id() == Some(desired.definition.id)) {
        return taken;
    }
    remove_left_over(&context.store, desired).await?;
    put().await.map(|_| ())
}

/// The object behind a mirror row, asked of the API server and not of the cache.
async fn claimant(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Option<ActivityDefinition>, kube::Error> {
    let definitions: Api<ActivityDefinition> = Api::namespaced(context.client.clone(), namespace);
    definitions.get_opt(name).await
}

async fn remove_left_over(store: &Store, desired: &Desired) -> Result<(), store::Error> {
    if let Some(row) = store.definition(desired.definition.id).await? {
        store
            .delete_definition(desired.definition.id, row.uid)
            .await?;
    }
    Ok(())
}

async fn execute_schedule(
    context: &Context,
    step: &ScheduleStep,
    desired: &Desired,
) -> ScheduleResult {
    let temporal = &context.temporal;
    let done = match step {
        ScheduleStep::Keep { .. } => Ok(()),
        ScheduleStep::Unknown => return ScheduleResult::Unknown,
        ScheduleStep::Create(spec) => create(temporal, spec).await,
        ScheduleStep::Replace { spec, .. } => replace(temporal, spec).await,
        ScheduleStep::Delete => temporal
            .delete_schedule(desired.definition.id)
            .await
            .map(|_| ()),
    };
    if let Err(error) = done {
        return ScheduleResult::Failed {
            permanent: error.is_permanent(),
            reason: error.to_string(),
        };
    }
    if let Some(operation) = step.operation() {
        context.distrusted.clear(desired.definition.id);
        context
            .metrics
            .schedule_writes
            .with_label_values(&[operation])
            .inc();
    }
    match step {
        ScheduleStep::Keep { paused_externally }
        | ScheduleStep::Replace {
            paused_externally, ..
        } => paused_externally
            .clone()
            .map_or(ScheduleResult::Synced, ScheduleResult::PausedExternally),
        ScheduleStep::Create(_) | ScheduleStep::Delete | ScheduleStep::Unknown => {
            ScheduleResult::Synced
        }
    }
}

/// Creates a Schedule; one that has come to exist meanwhile is replaced.
async fn create(temporal: &temporal::Temporal, spec: &ScheduleSpec) -> Result<(), temporal::Error> {
    match temporal.create_schedule(spec).await {
        Err(error) if error.is_already_exists() => temporal.replace_schedule(spec).await,
        done => done,
    }
}

/// Replaces a Schedule; one that has vanished meanwhile is created (temporal#9752).
async fn replace(
    temporal: &temporal::Temporal,
    spec: &ScheduleSpec,
) -> Result<(), temporal::Error> {
    match temporal.replace_schedule(spec).await {
        Err(error) if error.is_not_found() => temporal.create_schedule(spec).await,
        done => done,
    }
}

/// Removes what a definition made: first the Schedule, so that nothing fires any more, then the
/// mirror row. What belongs to another object is left alone.
pub(super) async fn clean_up(context: &Context, object: &ActivityDefinition) -> Result<(), Error> {
    let (Some(activity), Some(uid)) = (
        object.activity_id(),
        object.uid().and_then(|uid| uid.parse::<Uuid>().ok()),
    ) else {
        return Ok(());
    };
    let name = super::describe(object);
    let abandon = object
        .annotations()
        .get(ABANDON_ANNOTATION)
        .is_some_and(|value| value == "true");
    if abandon {
        tracing::warn!(
            definition = name,
            schedule = names::schedule_id(activity),
            "the Schedule is abandoned as asked by the annotation"
        );
    } else {
        delete_own_schedule(context, activity, uid)
            .await
            .map_err(|source| Error::DeleteSchedule {
                object: name.clone(),
                source,
            })?;
    }
    context.leadership.check()?;
    context
        .store
        .delete_definition(activity, uid)
        .await
        .map(|_| ())
        .map_err(|source| Error::DeleteMirror {
            object: name.clone(),
            source,
        })?;
    context.claims.forget(object);
    let namespace = object.namespace().unwrap_or_default();
    context
        .metrics
        .definitions
        .forget(&namespace, &object.name_any());
    Ok(())
}

async fn delete_own_schedule(
    context: &Context,
    activity: domain::ActivityId,
    uid: Uuid,
) -> Result<(), temporal::Error> {
    let present = context.temporal.schedule(activity).await?;
    // A second claimant of an activity id must not take the first one's Schedule with it.
    if present.is_some_and(|schedule| schedule.object_uid == Some(uid)) {
        context.temporal.delete_schedule(activity).await?;
    }
    Ok(())
}
