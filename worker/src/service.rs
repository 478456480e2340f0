//! The two SDK workers of the process, from their first poll to the end of the last activity.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use contracts::names;
use runtime::Shutdown;
use temporalio_client::Client;
use temporalio_common::worker::WorkerDeploymentOptions;
use temporalio_sdk::{Runtime, Worker, WorkerOptions};

use crate::activities::{LedgerActivities, StepActivities};
use crate::services::Services;
use crate::workflows::ActivityRun;

/// How long activities may go on when the process is to stop. What is cut off then is tried
/// again by another worker.
const GRACE: Duration = Duration::from_secs(20);

/// How long the SDK may take beyond that. Together they stay below the 30 s that Kubernetes
/// gives a pod.
const GRACE_OF_THE_SDK: Duration = Duration::from_secs(5);

/// For whom and as whom is polled.
pub(crate) struct Polled<'run> {
    /// The connection to Temporal.
    pub(crate) client: &'run Client,
    /// What the activities share.
    pub(crate) services: &'run Arc<Services>,
    /// The build's name in histories. It is told and decides nothing: every build takes every
    /// task, and recorded histories are replayed before a build is delivered (docs/adr/0003).
    pub(crate) build_id: &'run str,
}

/// Polls both task queues until the process is to stop, then drains them.
pub(crate) async fn serve(
    runtime: &Runtime,
    polled: &Polled<'_>,
    shutdown: &Shutdown,
) -> Result<()> {
    let Polled {
        client,
        services,
        build_id,
    } = polled;
    let deployment = WorkerDeploymentOptions::from_build_id((*build_id).to_owned());
    let options = WorkerOptions::new(names::WORKFLOW_TASK_QUEUE)
        .graceful_shutdown_period(GRACE)
        .deployment_options(deployment.clone())
        .register_activities(LedgerActivities::new(Arc::clone(services)))
        .register_workflow::<ActivityRun>()?
        .build();
    let mut workflows = Worker::new(runtime, (*client).clone(), options)?;
    let options = WorkerOptions::new(names::ACTIVITY_TASK_QUEUE)
        .graceful_shutdown_period(GRACE)
        .deployment_options(deployment.clone())
        .register_activities(StepActivities::new(Arc::clone(services)))
        .build();
    let mut activities = Worker::new(runtime, (*client).clone(), options)?;
    let stop_workflows = workflows.shutdown_handle();
    let stop_activities = activities.shutdown_handle();

    let polling = async {
        tokio::try_join!(
            poll(&mut workflows, shutdown),
            poll(&mut activities, shutdown)
        )
    };
    tokio::pin!(polling);
    tokio::select! {
        ended = &mut polling => return ended.map(|_| ()),
        () = shutdown.begun() => {}
    }
    stop_workflows();
    stop_activities();
    tracing::info!(grace_seconds = GRACE.as_secs(), "letting activities end");
    if let Ok(ended) = tokio::time::timeout(GRACE + GRACE_OF_THE_SDK, polling).await {
        return ended.map(|_| ());
    }
    tracing::warn!("activities did not end in time; other workers will repeat them");
    Ok(())
}

/// Runs a worker. One that ends although the process goes on is an error.
async fn poll(worker: &mut Worker, shutdown: &Shutdown) -> Result<()> {
    let task_queue = worker.task_queue().to_owned();
    tracing::info!(task_queue, "polling");
    worker
        .run()
        .await
        .with_context(|| format!("the worker of {task_queue} failed"))?;
    if !shutdown.has_begun() {
        bail!("the worker of {task_queue} ended by itself");
    }
    Ok(())
}
