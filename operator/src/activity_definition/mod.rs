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
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event, finalizer};
use kube::{Api, ResourceExt};

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
    let reconciling = finalizer(&definitions, FINALIZER, object, |event| async {
        match event {
            Event::Apply(object) => apply(&context, &object).await,
            Event::Cleanup(object) => clean_up(&context, &object).await,
        }
    });
    let action = match tokio::time::timeout(DEADLINE, reconciling).await {
        Ok(done) => done.map_err(|error| Error::Finalizer(Box::new(error))),
        Err(_) => Err(Error::Deadline {
            seconds: DEADLINE.as_secs(),
        }),
    };
    timer.observe_duration();
    action
}

async fn apply(context: &Context, object: &ActivityDefinition) -> Result<Action, Error> {
    let now = Utc::now();
    let observed = observe::observe(context, object, now).await;
    let (outcome, changes) = match validate::validate(object, &observed, context.time_limit) {
        Ok(desired) => {
            let plan = plan::plan(&desired, &observed);
            tracing::debug!(definition = describe(object), ?plan, "planned");
            if plan.makes_anew(&observed) && !is_declared(context, object).await? {
                tracing::info!(
                    definition = describe(object),
                    "the watch is behind: the definition is gone or going"
                );
                return Ok(Action::await_change());
            }
            let changes = request::Changes::planned(&plan, &observed);
            (execute::execute(context, desired, plan).await?, changes)
        }
        Err(refusal) => (status::Outcome::Refused(refusal), request::Changes::REFUSED),
    };
    let answer = request::answer(context, object, (changes, &outcome)).await;
    let is_unanswered = answer.is_none() && request::pending(object).is_some();
    let standing = report::report(context, object, &observed, (&outcome, answer)).await?;
    Ok(match standing {
        Standing::Waiting => Action::requeue(retry_delay(object)),
        Standing::Ready | Standing::Stalled if is_unanswered => {
            Action::requeue(retry_delay(object))
        }
        Standing::Ready | Standing::Stalled => observed
            .next_look(&outcome, now)
            .map_or_else(Action::await_change, Action::requeue),
    })
}

/// Whether the API server itself knows the object, and not as one that is going away. What is made
/// for an object that is gone would stay for ever: nobody is left whose finalizer would remove it.
async fn is_declared(context: &Context, object: &ActivityDefinition) -> Result<bool, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let definitions: Api<ActivityDefinition> = Api::namespaced(context.client.clone(), &namespace);
    let now = definitions
        .get_opt(&object.name_any())
        .await
        .map_err(Error::kubernetes(
            "read the newest version",
            &describe(object),
        ))?;
    Ok(now
        .is_some_and(|now| now.uid() == object.uid() && now.metadata.deletion_timestamp.is_none()))
}

async fn clean_up(context: &Context, object: &ActivityDefinition) -> Result<Action, Error> {
    execute::clean_up(context, object).await?;
    tracing::info!(
        definition = describe(object),
        "deleted the Schedule and the mirror row; the run history stays"
    );
    Ok(Action::await_change())
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

/// Five to fifteen seconds, different for each object: when Temporal comes back after an outage,
/// ten thousand definitions do not ask it in the same moment.
fn retry_delay(object: &ActivityDefinition) -> Duration {
    let spread = object
        .uid()
        .unwrap_or_default()
        .bytes()
        .map(u64::from)
        .sum::<u64>()
        % 10_000;
    Duration::from_millis(5_000 + spread)
}

/// An object as logs name it.
pub(crate) fn describe(object: &ActivityDefinition) -> String {
    format!(
        "{}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}
