//! What wakes the reconcilers: watches, the resync, runs that begin or end, and maintenance
//! windows. What they do then is theirs.

use std::sync::Arc;
use std::time::Duration;

use crds::{ActivityDefinition, EventType, MaintenanceWindow};
use futures::{Stream, StreamExt as _, TryStreamExt as _, future, stream};
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{Predicate as _, WatchStreamExt as _, predicates, watcher};
use kube::{Api, Client, ResourceExt};
use runtime::{Backoff, Shutdown};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::run_news::RunNews;
use crate::window_watch::WindowWatch;
use crate::{
    Arguments, Context, activity_definition, audit_loop, event_type, maintenance_window, resync,
};

/// Where `kubectl apply` keeps the whole object once more.
const LAST_APPLIED_ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How long one comparison of everything may take. Reading a hundred thousand rows takes seconds.
const RESYNC_DEADLINE: Duration = Duration::from_mins(1);

/// What the operator watches: everything, or one namespace.
pub(crate) fn api<K>(client: &Client, arguments: &Arguments) -> Api<K>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match &arguments.watch_namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The writers behind the context's caches.
pub(crate) struct Caches {
    /// Fills [`Context::definitions`].
    pub definitions: reflector::store::Writer<ActivityDefinition>,
    /// Fills [`Context::windows`].
    pub windows: reflector::store::Writer<MaintenanceWindow>,
}

/// Runs all controllers until the process is to stop and what is under way is done.
pub(crate) async fn run(
    context: Arc<Context>,
    caches: Caches,
    arguments: &Arguments,
    shutdown: &Shutdown,
) {
    let (wake, woken) = mpsc::channel(1024);
    let windows = maintenance_windows(&context, caches.windows, arguments);
    let definitions = definitions(&context, caches.definitions, arguments, shutdown, woken);
    let event_types = event_types(&context, arguments, shutdown);
    let window_statuses = window_statuses(&context, arguments, shutdown);
    let wakers = future::join4(
        watch_windows(&context, windows, &wake, shutdown),
        resync_regularly(&context, arguments, &wake, shutdown),
        follow_runs(&context, &wake, shutdown),
        audit_loop::run(&context, arguments, &wake, shutdown),
    );
    // On the heap: together they are too large for a stack that is shared.
    Box::pin(future::join4(
        definitions,
        event_types,
        window_statuses,
        wakers,
    ))
    .await;
}

async fn definitions(
    context: &Arc<Context>,
    writer: reflector::store::Writer<ActivityDefinition>,
    arguments: &Arguments,
    shutdown: &Shutdown,
    woken: mpsc::Receiver<ObjectRef<ActivityDefinition>>,
) {
    // A status that we wrote ourselves is no reason to look again.
    let changes = predicates::generation
        .combine(predicates::annotations)
        .combine(predicates::labels)
        .combine(activity_definition::lost_finalizer);
    let reader = writer.as_reader();
    let noting = Arc::clone(context);
    let stream = watcher(api(&context.client, arguments), watcher::Config::default())
        .default_backoff()
        .modify(slim)
        .reflect(writer)
        .touched_objects()
        .inspect_ok(move |object| {
            noting.claims.note(object);
            noting.unseen.saw(object);
        })
        .predicate_filter(changes, kube::runtime::PredicateConfig::default());
    let woken = stream::unfold(woken, |mut woken| async move {
        let object = woken.recv().await?;
        Some((object, woken))
    });
    let stopping = shutdown.clone();
    Controller::for_stream(stream, reader)
        .with_config(Config::default().concurrency(arguments.reconcile_concurrency))
        .reconcile_on(woken)
        .graceful_shutdown_on(async move { stopping.begun().await })
        .run(
            activity_definition::reconcile,
            activity_definition::error_policy,
            context.clone(),
        )
        .for_each(|result| {
            let _: () = log_queue_errors(&result);
            future::ready(())
        })
        .await;
}

/// Leaves out of a definition what nothing is decided on: more than half of its size.
fn slim(object: &mut ActivityDefinition) {
    object.metadata.managed_fields = None;
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.remove(LAST_APPLIED_ANNOTATION);
    }
    if let Some(status) = &mut object.status {
        status.conditions.shrink_to_fit();
    }
}

async fn event_types(context: &Arc<Context>, arguments: &Arguments, shutdown: &Shutdown) {
    let stopping = shutdown.clone();
    Controller::new(
        api::<EventType>(&context.client, arguments),
        watcher::Config::default(),
    )
    .with_config(Config::default().concurrency(4))
    .graceful_shutdown_on(async move { stopping.begun().await })
    .run(
        event_type::reconcile,
        event_type::error_policy,
        context.clone(),
    )
    .for_each(|result| {
        let _: () = log_queue_errors(&result);
        future::ready(())
    })
    .await;
}

async fn window_statuses(context: &Arc<Context>, arguments: &Arguments, shutdown: &Shutdown) {
    let stopping = shutdown.clone();
    Controller::new(
        api::<MaintenanceWindow>(&context.client, arguments),
        watcher::Config::default(),
    )
    .with_config(Config::default().concurrency(4))
    .graceful_shutdown_on(async move { stopping.begun().await })
    .run(
        maintenance_window::reconcile,
        maintenance_window::error_policy,
        context.clone(),
    )
    .for_each(|result| {
        let _: () = log_queue_errors(&result);
        future::ready(())
    })
    .await;
}

/// The reconcilers log their own errors; what is left is the machinery's.
fn log_queue_errors<T, E, Q>(result: &Result<T, kube::runtime::controller::Error<E, Q>>)
where
    E: std::error::Error + 'static,
    Q: std::error::Error + 'static,
{
    use kube::runtime::controller::Error;
    match result {
        // An object that was deleted while it waited has nothing left to reconcile.
        Ok(_) | Err(Error::ReconcilerFailed(..) | Error::ObjectNotFound(_)) => {}
        Err(error) => tracing::warn!(error = runtime::describe(error), "the watch has trouble"),
    }
}

fn maintenance_windows(
    context: &Context,
    writer: reflector::store::Writer<MaintenanceWindow>,
    arguments: &Arguments,
) -> impl Stream<Item = watcher::Result<watcher::Event<MaintenanceWindow>>> + use<> {
    watcher(api(&context.client, arguments), watcher::Config::default())
        .default_backoff()
        .reflect(writer)
}

/// Wakes the definitions that a window selects or may have selected before it changed: every one
/// of its namespace. Windows change seldom.
async fn watch_windows(
    context: &Context,
    windows: impl Stream<Item = watcher::Result<watcher::Event<MaintenanceWindow>>>,
    wake: &mpsc::Sender<ObjectRef<ActivityDefinition>>,
    shutdown: &Shutdown,
) {
    let mut windows = std::pin::pin!(windows);
    let mut watch = WindowWatch::default();
    while let Some(Some(event)) = shutdown.or(windows.next()).await {
        // The watcher begins anew by itself, and the watch for the windows' statuses logs it.
        let Ok(event) = event else { continue };
        let touched = watch.touched(&event);
        if touched.is_empty() {
            continue;
        }
        for object in context.definitions.state() {
            let namespace = object.namespace();
            if namespace.is_some_and(|namespace| touched.contains(&namespace)) {
                send(wake, ObjectRef::from_obj(object.as_ref())).await;
            }
        }
    }
}

async fn resync_regularly(
    context: &Context,
    arguments: &Arguments,
    wake: &mpsc::Sender<ObjectRef<ActivityDefinition>>,
    shutdown: &Shutdown,
) {
    // Nothing may be judged by a cache that is not filled yet.
    let filled = shutdown.or(future::join(
        context.definitions.wait_until_ready(),
        context.windows.wait_until_ready(),
    ));
    if filled.await.is_none() {
        return;
    }
    let period = Duration::from_secs(u64::from(arguments.resync_seconds));
    while shutdown.sleep(period).await {
        let comparing = tokio::time::timeout(RESYNC_DEADLINE, resync::resync(context));
        // It only reads, and whoever leads next compares anew.
        let Some(compared) = shutdown.or(comparing).await else {
            return;
        };
        match compared.map_err(Into::into).flatten() {
            Ok(differing) => {
                for object in differing {
                    send(wake, object).await;
                }
            }
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                retry_in_seconds = period.as_secs(),
                "unable to compare with Temporal and the mirror"
            ),
        }
    }
}

/// Wakes the definition of each run that begins or ends.
async fn follow_runs(
    context: &Context,
    wake: &mpsc::Sender<ObjectRef<ActivityDefinition>>,
    shutdown: &Shutdown,
) {
    let mut backoff = Backoff::up_to(Duration::from_secs(30));
    while !shutdown.has_begun() {
        let listening = shutdown.or(listen(context, wake, &mut backoff)).await;
        let Some(Err(error)) = listening else { return };
        let delay = backoff.next_delay();
        tracing::warn!(
            error = runtime::describe(&error),
            retry_in_seconds = delay.as_secs(),
            "unable to follow the ledger"
        );
        if !shutdown.sleep(delay).await {
            return;
        }
    }
}

async fn listen(
    context: &Context,
    wake: &mpsc::Sender<ObjectRef<ActivityDefinition>>,
    backoff: &mut Backoff,
) -> Result<(), store::Error> {
    let mut listener = context.store.follow_runs().await?;
    *backoff = Backoff::up_to(Duration::from_secs(30));
    // What happened while nobody listened is in no notification: look at every definition once.
    for object in context.definitions.state() {
        send(wake, ObjectRef::from_obj(object.as_ref())).await;
    }
    let mut news = RunNews::default();
    loop {
        let due = async {
            match news.next_due() {
                Some(due) => tokio::time::sleep_until(due).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            announced = listener.next() => {
                // What is no activity id is not ours.
                if let Ok(activity) = announced?.parse() {
                    news.note(activity, Instant::now());
                }
            }
            () = due => {}
        }
        while let Some(activity) = news.take_due(Instant::now()) {
            for claimant in context.claims.of(activity) {
                send(wake, claimant).await;
            }
        }
    }
}

async fn send(
    wake: &mpsc::Sender<ObjectRef<ActivityDefinition>>,
    object: ObjectRef<ActivityDefinition>,
) {
    // The receiver goes away only when the process stops, and then nobody is to be woken.
    let _ = wake.send(object).await;
}
