//! The two SDK workers of the process, from their first poll to the end of the last activity.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use contracts::names;
use runtime::Shutdown;
use temporalio_client::Client;
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

/// Polls both task queues until the process is to stop, then drains them.
pub(crate) async fn serve(
    runtime: &Runtime,
    client: &Client,
    services: &Arc<Services>,
    shutdown: &Shutdown,
) -> Result<()> {
    let options = WorkerOptions::new(names::WORKFLOW_TASK_QUEUE)
        .graceful_shutdown_period(GRACE)
        .register_activities(LedgerActivities::new(Arc::clone(services)))
        .register_workflow::<ActivityRun>()?
        .build();
    let mut workflows = Worker::new(runtime, client.clone(), options)?;
    let options = WorkerOptions::new(names::ACTIVITY_TASK_QUEUE)
        .graceful_shutdown_period(GRACE)
        .register_activities(StepActivities::new(Arc::clone(services)))
        .build();
    let mut activities = Worker::new(runtime, client.clone(), options)?;
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
