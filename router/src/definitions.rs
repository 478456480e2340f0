//! Keeps the snapshot of definitions and event types up to date with the mirror.
//!
//! # What is guaranteed
//!
//! **An event is decided on a snapshot that was current at some moment after the event had
//! arrived.** A definition that is Ready stands in the mirror, so every event that is published
//! after a definition became Ready meets it, in every router; and an event that "matched no
//! definitions" did so by the mirror's word of that moment and not by an old copy.
//!
//! It costs one small query for all events that wait at the moment, not one for each: whoever
//! needs the snapshot takes a ticket, and a single keeper asks the mirror for its version. An
//! answer serves every ticket that was taken before the question was put. Only another version
//! makes it read the rows.
//!
//! `LISTEN` and the periodic comparison are not needed for that. They see to it that reading and
//! compiling is done before an event waits for it, and that an idle router knows how old its
//! knowledge is.
//!
//! While Postgres is away, nothing can be decided, and events wait: whether a definition was
//! added, disabled or deleted can't be known. They are not sent back, and not counted as failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use routing::Snapshot;
use runtime::{Backoff, Shutdown, describe};
use store::{MirrorVersion, SchemaState, Store};
use tokio::sync::{Notify, watch};

use crate::metrics::RouterMetrics;

/// How long one look at the mirror may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest pause after a failed look. Events wait for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A look at the mirror that failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("unable to read the mirror")]
    Store(#[source] store::Error),
    #[error("{0}")]
    Schema(SchemaState),
    #[error("Postgres did not answer within {} s", READ_TIMEOUT.as_secs())]
    TimedOut,
    #[error("failed to index the definitions")]
    Index(#[source] tokio::task::JoinError),
}

/// What has been heard of the mirror.
#[derive(Debug, Default)]
struct Heard {
    /// Every ticket up to this one is served.
    served: u64,
    /// For every ticket up to this one the mirror was asked, though maybe in vain.
    asked: u64,
    known: Option<Known>,
}

/// What is known of the mirror.
#[derive(Debug, Clone)]
struct Known {
    /// When the question was put whose answer this is.
    asked_at: Instant,
    version: MirrorVersion,
    snapshot: Arc<Snapshot>,
}

#[derive(Debug)]
struct Shared {
    tickets: AtomicU64,
    wake: Notify,
    is_failing: AtomicBool,
    heard: watch::Sender<Heard>,
}

/// The definitions, as current as they need to be. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Definitions(Arc<Shared>);

impl Definitions {
    /// Nothing is known yet; [`Keeper::run`] changes that.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            tickets: AtomicU64::new(0),
            wake: Notify::new(),
            is_failing: AtomicBool::new(false),
            heard: watch::Sender::new(Heard::default()),
        }))
    }

    /// A snapshot that is current at some moment after this call. Waits for as long as Postgres
    /// is away: the caller bounds it.
    pub(crate) async fn current(&self) -> Arc<Snapshot> {
        let ticket = self.ask();
        self.wait_for(|heard| heard.snapshot(ticket)).await
    }

    /// The same, but asks once: `None` when Postgres does not answer. Needs no bound.
    pub(crate) async fn at_once(&self) -> Option<Arc<Snapshot>> {
        if self.is_failing() {
            return None;
        }
        let ticket = self.ask();
        self.wait_for(|heard| {
            let snapshot = heard.snapshot(ticket);
            (snapshot.is_some() || heard.asked >= ticket).then_some(snapshot)
        })
        .await
    }

    /// Takes a ticket.
    fn ask(&self) -> u64 {
        let ticket = self.0.tickets.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.wake.notify_one();
        ticket
    }

    /// Waits until the mirror has been read once.
    pub(crate) async fn loaded(&self) {
        self.wait_for(|heard| heard.snapshot(0)).await;
    }

    /// How long ago the snapshot was known to be current; `None` before the first read.
    pub(crate) fn age(&self) -> Option<Duration> {
        let heard = self.0.heard.borrow();
        heard.known.as_ref().map(|known| known.asked_at.elapsed())
    }

    /// Whether the last look at the mirror failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.0.is_failing.load(Ordering::Relaxed)
    }

    /// An error says why events can't be decided at the moment.
    pub(crate) fn check(&self, oldest: Duration) -> Result<(), String> {
        match self.age() {
            None => Err("the definitions are not read yet".to_owned()),
            Some(age) if age > oldest => Err(format!(
                "the definitions were last compared with the mirror {} s ago",
                age.as_secs()
            )),
            Some(_) => Ok(()),
        }
    }

    /// Tells what came of a look, that was for every ticket up to this one.
    fn answer(&self, ticket: u64, known: Option<Known>) {
        self.0.is_failing.store(known.is_none(), Ordering::Relaxed);
        self.0.heard.send_modify(|heard| {
            heard.asked = ticket;
            if known.is_some() {
                heard.served = ticket;
                heard.known = known;
            }
        });
    }

    async fn wait_for<T>(&self, wanted: impl Fn(&Heard) -> Option<T>) -> T {
        let mut heard = self.0.heard.subscribe();
        loop {
            if let Some(found) = wanted(&heard.borrow_and_update()) {
                return found;
            }
            if heard.changed().await.is_err() {
                // Can't be: the sender lives as long as `self`.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Heard {
    /// The snapshot, if it is younger than a ticket.
    fn snapshot(&self, ticket: u64) -> Option<Arc<Snapshot>> {
        let known = self.known.as_ref().filter(|_| self.served >= ticket);
        known.map(|known| known.snapshot.clone())
    }
}

/// Reads the mirror for everybody.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// Where what is known is published.
    pub(crate) definitions: Definitions,
    /// The mirror.
    pub(crate) store: Store,
    /// How often it is looked at when nobody asks.
    pub(crate) refresh: Duration,
    /// Where it is counted.
    pub(crate) metrics: RouterMetrics,
}

impl Keeper {
    /// Looks at the mirror whenever somebody asks, when it has changed, and now and then. Ends
    /// with the process.
    pub(crate) async fn run(&self, shutdown: &Shutdown) {
        // Dropping the loop is what ends it.
        shutdown.or(self.keep()).await;
        self.definitions.answer(u64::MAX, None);
    }

    async fn keep(&self) {
        let shared = &self.definitions.0;
        let mut backoff = Backoff::up_to(LONGEST_PAUSE);
        loop {
            // What events are there already share a look: their tasks go first.
            tokio::task::yield_now().await;
            // Before the question is put, so that its answer is younger than these tickets.
            let ticket = shared.tickets.load(Ordering::SeqCst);
            match self.look().await {
                Ok(known) => {
                    self.definitions.answer(ticket, Some(known));
                    backoff = Backoff::up_to(LONGEST_PAUSE);
                }
                Err(error) => {
                    self.definitions.answer(ticket, None);
                    let pause = backoff.next_delay();
                    tracing::warn!(
                        error = describe(&error),
                        retry_in_seconds = pause.as_secs(),
                        "unable to compare the definitions with the mirror; events wait"
                    );
                    // The tickets that could not be served wait for no other occasion.
                    shared.wake.notify_one();
                    tokio::time::sleep(pause).await;
                }
            }
            tokio::select! {
                () = shared.wake.notified() => {}
                () = tokio::time::sleep(self.refresh) => {}
            }
        }
    }

    /// Hears of changes in the mirror, on a connection of its own. Ends with the process.
    pub(crate) async fn listen(&self, shutdown: &Shutdown) {
        let mut backoff = Backoff::up_to(LONGEST_PAUSE);
        loop {
            let Some(error) = shutdown.or(self.hear(&mut backoff)).await else {
                return;
            };
            let pause = backoff.next_delay();
            tracing::warn!(
                error = describe(&error),
                retry_in_seconds = pause.as_secs(),
                "unable to listen for changes of the mirror"
            );
            if !shutdown.sleep(pause).await {
                return;
            }
        }
    }

    /// Listens until the connection fails.
    async fn hear(&self, backoff: &mut Backoff) -> store::Error {
        let mut listener = match self.store.follow_definitions().await {
            Ok(listener) => listener,
            Err(error) => return error,
        };
        *backoff = Backoff::up_to(LONGEST_PAUSE);
        loop {
            // Also at the beginning and after a lost connection: what changed in between was
            // announced to nobody.
            self.definitions.0.wake.notify_one();
            if let Err(error) = listener.next().await {
                return error;
            }
        }
    }

    async fn look(&self) -> Result<Known, Error> {
        let before = self.definitions.0.heard.borrow().known.clone();
        let asked_at = Instant::now();
        let looking = self.read(before.as_ref());
        let read = tokio::time::timeout(READ_TIMEOUT, looking).await;
        let (version, snapshot) = read.unwrap_or(Err(Error::TimedOut))?;
        Ok(Known {
            asked_at,
            version,
            snapshot,
        })
    }

    async fn read(&self, known: Option<&Known>) -> Result<(MirrorVersion, Arc<Snapshot>), Error> {
        if known.is_none() {
            let state = self.store.schema_state().await.map_err(Error::Store)?;
            if !matches!(state, SchemaState::Current { .. }) {
                return Err(Error::Schema(state));
            }
        }
        // The version first: rows that are newer than it are read once more, and no harm done.
        let version = self.store.mirror_version().await.map_err(Error::Store)?;
        if let Some(known) = known.filter(|known| known.version == version) {
            return Ok((version, known.snapshot.clone()));
        }
        let definitions = self.store.event_definitions().await.map_err(Error::Store)?;
        let event_types = self.store.event_types().await.map_err(Error::Store)?;
        // Compiling thousands of conditions takes longer than a task may keep the others waiting.
        let indexing = tokio::task::spawn_blocking(|| Snapshot::build(definitions, event_types));
        let snapshot = indexing.await.map_err(Error::Index)?;
        for unreadable in snapshot.unreadable() {
            tracing::error!(
                object = %unreadable.object,
                error = unreadable.problem,
                "unable to read an object of the mirror; its events become dead letters"
            );
        }
        self.metrics.set_definitions(&snapshot);
        Ok((version, Arc::new(snapshot)))
    }
}
