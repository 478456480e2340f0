//! Reconciles ActivityDefinitions: observe → validate → plan → execute → report.
//!
//! Only the first and the last two steps touch the world. What is decided in between is plain
//! data that can be printed and tested.

mod execute;
mod observe;
mod plan;
mod report;
mod request;
mod status;
mod validate;
mod verified;

pub(crate) use observe::{cause, selects};
pub(crate) use plan::ScheduleStep;
pub(crate) use status::Standing;

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use contracts::names::FINALIZER;
use crds::ActivityDefinition;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event, finalizer};
use kube::{Api, ResourceExt};
use serde_json::json;
use uuid::Uuid;

use crate::{Context, Error};

/// How long one reconcile may take. Each of its calls has a limit of its own; this is for what they
/// add up to.
const DEADLINE: Duration = Duration::from_secs(30);

/// Brings one definition a step closer to what it declares.
pub(crate) async fn reconcile(
    object: Arc<ActivityDefinition>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let timer = context.metrics.reconcile_seconds.start_timer();
    context.leadership.check()?;
    let namespace = object.namespace().unwrap_or_default();
    let definitions: Api<ActivityDefinition> = Api::namespaced(context.client.clone(), &namespace);
    let reconciling = async {
        let Some((object, is_newest)) = newest(&context, &definitions, object).await? else {
            return Ok(Action::await_change());
        };
        finalizer(&definitions, FINALIZER, object, |event| async {
            match event {
                Event::Apply(object) => apply(&context, &object, is_newest).await,
                Event::Cleanup(object) => clean_up(&context, &object).await,
            }
        })
        .await
        .map_err(|error| Error::Finalizer(Box::new(error)))
    };
    let deadline = Err(Error::Deadline {
        seconds: DEADLINE.as_secs(),
    });
    let action = tokio::time::timeout(DEADLINE, reconciling)
        .await
        .unwrap_or(deadline);
    timer.observe_duration();
    action
}

/// The object, and whether it came from the API server a moment ago: where the watch is known to be
/// behind it is read anew, and where our finalizer is missing that is put on. `None` when it is gone.
async fn newest(
    context: &Context,
    definitions: &Api<ActivityDefinition>,
    mut object: Arc<ActivityDefinition>,
) -> Result<Option<(Arc<ActivityDefinition>, bool)>, Error> {
    let is_old = context.unseen.is_ahead_of(&object);
    if is_old {
        match read(definitions, &object).await? {
            Some(newest) => object = Arc::new(newest),
            None => return Ok(None),
        }
    }
    Ok(Some(match guard(definitions, &object).await? {
        Some(guarded) => {
            context.unseen.wrote(&guarded);
            (Arc::new(guarded), true)
        }
        None => (object, is_old),
    }))
}

/// Asks the API server for the same object; `None` when it is gone, or another has its name.
async fn read(
    definitions: &Api<ActivityDefinition>,
    object: &ActivityDefinition,
) -> Result<Option<ActivityDefinition>, Error> {
    let now = definitions
        .get_opt(&object.name_any())
        .await
        .map_err(Error::kubernetes(
            "read the newest version",
            &describe(object),
        ))?;
    Ok(now.filter(|now| now.uid() == object.uid()))
}

/// Puts our finalizer on a definition that has none, and returns the object as the API server has
/// it then; `None` when there is nothing to do.
///
/// kube's `finalizer` would do it too, and then wait until the watch shows it. Going on at once
/// spares a second reconcile, and the question whether the object is still there.
async fn guard(
    definitions: &Api<ActivityDefinition>,
    object: &ActivityDefinition,
) -> Result<Option<ActivityDefinition>, Error> {
    let mut finalizers = object.finalizers().to_vec();
    let is_guarded = finalizers.iter().any(|finalizer| finalizer == FINALIZER);
    if is_guarded || object.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    finalizers.push(FINALIZER.to_owned());
    // With the version that we saw: nobody else's finalizer is overwritten.
    let patch = json!({"metadata": {
        "resourceVersion": object.resource_version(),
        "uid": object.uid(),
        "finalizers": finalizers,
    }});
    let guarded = definitions
        .patch(
            &object.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await
        .map_err(Error::kubernetes("put the finalizer on", &describe(object)))?;
    Ok(Some(guarded))
}

/// Carries out what is declared. `is_newest` says that the object came from the API server a moment
/// ago, and not from the watch.
async fn apply(
    context: &Context,
    object: &ActivityDefinition,
    is_newest: bool,
) -> Result<Action, Error> {
    let now = Utc::now();
    let observed = observe::observe(context, object, now).await;
    let (outcome, changes) = match validate::validate(object, &observed, context.time_limit) {
        Ok(desired) => {
            let plan = plan::plan(&desired, &observed);
            tracing::debug!(definition = describe(object), ?plan, "planned");
            let may_be_old = !is_newest && plan.needs_newest(&desired, &observed);
            if may_be_old && !is_declared(context, object).await? {
                tracing::info!(
                    definition = describe(object),
                    "the watch is behind: the definition is gone, going or another by now"
                );
                return Ok(Action::await_change());
            }
            let changes = request::Changes::planned(&plan, &observed);
            (execute::execute(context, desired, plan).await?, changes)
        }
        Err(refusal) => (status::Outcome::Refused(refusal), request::Changes::REFUSED),
    };
    let answer = request::answer(context, object, (changes, &outcome)).await;
    // What could not be read of the runs is told by nobody again.
    let is_owed = observed.runs.is_err() || answer.is_none() && request::pending(object).is_some();
    let standing = report::report(context, object, &observed, (&outcome, answer)).await?;
    Ok(match standing {
        Standing::Waiting => Action::requeue(retry_delay(object)),
        Standing::Ready | Standing::Stalled if is_owed => Action::requeue(retry_delay(object)),
        Standing::Ready | Standing::Stalled => observed
            .next_look(object, &outcome)
            .map_or_else(Action::await_change, Action::requeue),
    })
}

/// Whether the API server itself knows the object with this spec, and not as one that is going away.
/// What is made for an object that is gone would stay for ever: nobody is left whose finalizer would
/// remove it. If it is another by now, the watch is about to tell.
async fn is_declared(context: &Context, object: &ActivityDefinition) -> Result<bool, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let definitions: Api<ActivityDefinition> = Api::namespaced(context.client.clone(), &namespace);
    let now = read(&definitions, object).await?;
    Ok(now.is_some_and(|now| {
        now.metadata.generation == object.metadata.generation
            && now.metadata.deletion_timestamp.is_none()
    }))
}

async fn clean_up(context: &Context, object: &ActivityDefinition) -> Result<Action, Error> {
    execute::clean_up(context, object).await?;
    tracing::info!(
        definition = describe(object),
        "deleted the Schedule and the mirror row; the run history stays"
    );
    Ok(Action::await_change())
}

/// A predicate that turns when somebody takes our finalizer from a definition that has been dealt
/// with. That we put it on is no reason to look again.
#[expect(clippy::unnecessary_wraps, reason = "a predicate of kube's")]
pub(crate) fn lost_finalizer(object: &ActivityDefinition) -> Option<u64> {
    let is_guarded = object.finalizers().iter().any(|name| name == FINALIZER);
    Some((object.status.is_some() && !is_guarded).into())
}

/// What a failed reconcile leads to. Statuses are written inside the reconcile; here is only
/// when to try again.
pub(crate) fn error_policy(
    object: Arc<ActivityDefinition>,
    error: &Error,
    context: Arc<Context>,
) -> Action {
    context
        .metrics
        .reconciles
        .with_label_values(&["error"])
        .inc();
    tracing::warn!(
        definition = describe(&object),
        error = runtime::describe(error),
        kind = error.as_str(),
        "unable to reconcile"
    );
    Action::requeue(retry_delay(&object))
}

/// Five to fifteen seconds: when Temporal comes back after an outage, ten thousand definitions do not
/// ask it in the same moment.
fn retry_delay(object: &ActivityDefinition) -> Duration {
    Duration::from_secs(5) + share(object, Duration::from_secs(10))
}

/// The part of a span that is the object's own, so that what many do is spread over all of it.
fn share(object: &ActivityDefinition, span: Duration) -> Duration {
    let uid = object.uid().and_then(|uid| uid.parse::<Uuid>().ok());
    let milliseconds = uid.unwrap_or_default().as_u128() % span.as_millis().max(1);
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
}

/// An object as logs name it.
pub(crate) fn describe(object: &ActivityDefinition) -> String {
    format!(
        "{}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_definitions_do_is_spread_evenly() {
        let mut tenths = [0; 10];
        for _ in 0..1000 {
            let object = json!({
                "apiVersion": "activity-core.io/v1alpha1", "kind": "ActivityDefinition",
                "metadata": {"name": "daily", "uid": Uuid::new_v4()}, "spec": {},
            });
            let object = serde_json::from_value(object).unwrap();
            let share = share(&object, Duration::from_secs(10));
            tenths[usize::try_from(share.as_secs()).unwrap()] += 1;
        }
        // A hundred each, give or take five standard deviations.
        assert!(
            tenths.iter().all(|count| (50..150).contains(count)),
            "{tenths:?}"
        );
    }
}
