//! The bare work that ours is held against: a workflow with as many activities that do nothing,
//! and plain calls, with the same client and the same concurrency.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use domain::{ActivityId, CronTrigger, Trigger};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use temporal::{Pause, ScheduleAction, ScheduleSpec, Temporal};
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::IntoRequest as _;
use temporalio_client::{Client, NamespacedClient as _};
use temporalio_common::protos::temporal::api::common::v1::{Payload, Payloads, WorkflowType};
use temporalio_common::protos::temporal::api::enums::v1::WorkflowIdReusePolicy;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::runtime::RuntimeOptions;
use temporalio_sdk::{
    ActivityOptions, LocalActivityOptions, Runtime, Worker, WorkerOptions, WorkflowContext,
    WorkflowResult,
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// The queue of the bare workflow; nobody of ours polls it.
pub(crate) const TASK_QUEUE: &str = "bare-tq";

/// The queue of its remote activities.
const ACTIVITY_TASK_QUEUE: &str = "bare-activity-tq";

/// The workflow's type.
pub(crate) const WORKFLOW_TYPE: &str = "BareRun";

const TIMEOUT: Duration = Duration::from_secs(30);

/// A local activity, as many remote ones as it is told, a local activity: the shape of our runs.
#[workflow]
#[derive(Debug, Default)]
struct BareRun;

#[workflow_methods]
impl BareRun {
    #[run(name = WORKFLOW_TYPE)]
    async fn run(ctx: &mut WorkflowContext<Self>, remote: u32) -> WorkflowResult<()> {
        let local = || {
            LocalActivityOptions::builder()
                .start_to_close_timeout(TIMEOUT)
                .build()
        };
        ctx.execute_local_activity(BareActivities::begin, (), local())
            .await?;
        for _ in 0..remote {
            let options = ActivityOptions::with_start_to_close_timeout(TIMEOUT)
                .task_queue(ACTIVITY_TASK_QUEUE)
                .build();
            ctx.execute_activity(BareActivities::work, (), options)
                .await?;
        }
        ctx.execute_local_activity(BareActivities::end, (), local())
            .await?;
        Ok(())
    }
}

#[derive(Clone)]
struct BareActivities {
    begun: mpsc::UnboundedSender<DateTime<Utc>>,
    ends: Arc<Mutex<Ends>>,
}

#[activities]
#[expect(clippy::unused_async, reason = "the SDK's activities are async")]
impl BareActivities {
    #[activity(name = "bare_begin")]
    async fn begin(self: Arc<Self>, _context: ActivityContext) -> Result<(), ActivityError> {
        // The receiver goes with the benchmark; then nobody counts any more.
        let _ = self.begun.send(Utc::now());
        Ok(())
    }

    #[activity(name = "bare_work")]
    async fn work(self: Arc<Self>, _context: ActivityContext) -> Result<(), ActivityError> {
        Ok(())
    }

    #[activity(name = "bare_end")]
    async fn end(self: Arc<Self>, _context: ActivityContext) -> Result<(), ActivityError> {
        let mut ends = lock(&self.ends);
        ends.count += 1;
        ends.last = Utc::now();
        Ok(())
    }
}

/// The workflows that have ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ends {
    /// How many.
    pub(crate) count: usize,
    /// When the last one did.
    pub(crate) last: DateTime<Utc>,
}

fn lock(ends: &Mutex<Ends>) -> MutexGuard<'_, Ends> {
    ends.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A worker of the bare workflow, in this process. Dropping it ends it.
pub(crate) struct BareWorker {
    ends: Arc<Mutex<Ends>>,
    begun: mpsc::UnboundedReceiver<DateTime<Utc>>,
    stop: Stop,
    thread: Option<JoinHandle<Result<()>>>,
}

impl BareWorker {
    /// Starts polling both queues, on a thread of its own: the SDK's workers can't change threads.
    pub(crate) async fn start(temporal: &Temporal) -> Result<Self> {
        let (sender, begun) = mpsc::unbounded_channel();
        let ends = Arc::<Mutex<Ends>>::default();
        let activities = BareActivities {
            begun: sender,
            ends: Arc::clone(&ends),
        };
        let (ready, started) = oneshot::channel();
        let client = temporal.client().clone();
        let thread = std::thread::spawn(move || poll(client, activities, ready));
        let stop = started.await.context("the bare worker did not start")?;
        Ok(Self {
            ends,
            begun,
            stop,
            thread: Some(thread),
        })
    }

    /// The workflows that have ended.
    pub(crate) fn ends(&self) -> Ends {
        *lock(&self.ends)
    }

    /// When each of the workflows so far had its first activity.
    pub(crate) fn begun(&mut self) -> Vec<DateTime<Utc>> {
        let mut times = Vec::new();
        while let Ok(time) = self.begun.try_recv() {
            times.push(time);
        }
        times
    }
}

impl Drop for BareWorker {
    fn drop(&mut self) {
        (self.stop)();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => eprintln!("bench: {error:#}"),
            Some(Err(_)) => eprintln!("bench: the bare worker panicked"),
            Some(Ok(Ok(()))) | None => {}
        }
    }
}

/// What ends a worker.
type Stop = Box<dyn Fn() + Send>;

/// Polls until it is stopped.
fn poll(client: Client, activities: BareActivities, ready: oneshot::Sender<Stop>) -> Result<()> {
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio.block_on(async {
        let runtime = Runtime::from_current_tokio(RuntimeOptions::default())?;
        let options = WorkerOptions::new(TASK_QUEUE)
            .register_activities(activities.clone())
            .register_workflow::<BareRun>()?
            .build();
        let mut workflows = Worker::new(&runtime, client.clone(), options)?;
        let options = WorkerOptions::new(ACTIVITY_TASK_QUEUE)
            .register_activities(activities)
            .build();
        let mut remote = Worker::new(&runtime, client, options)?;
        let (first, second) = (workflows.shutdown_handle(), remote.shutdown_handle());
        let stop: Stop = Box::new(move || {
            first();
            second();
        });
        if ready.send(stop).is_err() {
            return Ok(());
        }
        tokio::try_join!(workflows.run(), remote.run())
            .map(|_| ())
            .context("the bare worker failed")
    })
}

/// Starts `count` bare workflows with `concurrency` calls at once.
pub(crate) async fn start_many(
    temporal: &Temporal,
    count: usize,
    concurrency: usize,
    remote: u32,
) -> Result<()> {
    let starting = (0..count).map(|_| start(temporal, remote));
    let mut starting = stream::iter(starting).buffer_unordered(concurrency);
    while starting.try_next().await?.is_some() {}
    Ok(())
}

async fn start(temporal: &Temporal, remote: u32) -> Result<()> {
    let mut client = temporal.client().clone();
    let request = StartWorkflowExecutionRequest {
        namespace: client.namespace(),
        workflow_id: format!("bare-{}", Uuid::new_v4()),
        workflow_type: Some(WorkflowType {
            name: WORKFLOW_TYPE.to_owned(),
        }),
        task_queue: Some(TaskQueue {
            name: TASK_QUEUE.to_owned(),
            ..Default::default()
        }),
        input: Some(payloads(remote)?),
        identity: client.identity(),
        request_id: Uuid::new_v4().to_string(),
        workflow_id_reuse_policy: WorkflowIdReusePolicy::RejectDuplicate.into(),
        ..Default::default()
    };
    WorkflowService::start_workflow_execution(&mut client, request.into_request()).await?;
    Ok(())
}

/// A Schedule that never fires while it is measured.
pub(crate) fn schedule(id: Uuid) -> Result<ScheduleSpec> {
    Ok(ScheduleSpec {
        object_uid: id,
        action: ScheduleAction {
            activity: ActivityId::new(id),
            activity_name: "bare".to_owned(),
        },
        trigger: yearly(id)?,
        pause: Pause::No,
    })
}

fn yearly(id: Uuid) -> Result<CronTrigger> {
    let spec: crds::ActivityDefinitionSpec = serde_json::from_value(
        serde_json::json!({"trigger": {"cron": {"expression": "0 0 1 1 *"}}}),
    )?;
    let definition = spec
        .validate(ActivityId::new(id), "bare")
        .map_err(|problem| anyhow::anyhow!("{problem:?}"))?;
    match definition.trigger {
        Trigger::Cron(cron) => Ok(cron),
        _ => anyhow::bail!("the bare trigger is no cron"),
    }
}

/// The bare workflow's input.
pub(crate) fn payloads(remote: u32) -> Result<Payloads> {
    Ok(Payloads {
        payloads: vec![Payload {
            metadata: HashMap::from([("encoding".to_owned(), b"json/plain".to_vec())]),
            data: serde_json::to_vec(&remote)?,
            ..Default::default()
        }],
    })
}
