//! Starts runs in the order of their events, for definitions that ask for it.
//!
//! # What is guaranteed
//!
//! **For events of one subject, Temporal accepts a definition's runs in the order of the stream.**
//! A run is asked for only after every earlier event of its subject either has its run accepted, or
//! starts none, or is a dead letter.
//!
//! # How
//!
//! Nobody is waited for and no lock is shared. Which events come before another and may not be
//! settled is seen in the stream, between the consumer's floor and the event ([`crate::window`]);
//! and whoever has an event in hand first starts the runs of those itself. It may, because a run's
//! identity is a function of definition and event: whoever is late finds the run started. So it
//! does not matter which router has which event, how often it comes, or whether the router that has
//! the earlier one hangs. See `docs/adr/0004-order-by-helping.md`.
//!
//! An earlier event whose start fails, though Temporal is there, holds up the later ones of its
//! subject: they are delivered again after a pause, and nothing is counted against them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::event::Received;
use domain::ActivityId;
use routing::{PlannedStart, Snapshot, decide};
use runtime::describe;
use tokio::time::Instant;

use crate::dispatch::{Dispatcher, StartOutcome};
use crate::window::{self, Earlier, Headline, Window};

/// How long the later events of a subject rest while an earlier one can't be started.
pub(crate) const REST: Duration = Duration::from_secs(5);

/// How many lanes are kept that nobody is in.
const IDLE_LANES: usize = 1024;

/// An event in hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InHand<'event> {
    /// Its sequence in the stream.
    pub(crate) sequence: u64,
    /// Its type.
    pub(crate) event_type: &'event str,
    /// What it was decided on.
    pub(crate) snapshot: &'event Arc<Snapshot>,
}

/// What became of a start and of those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InOrder {
    /// The start itself.
    pub(crate) outcome: StartOutcome,
    /// How many runs of earlier events were started on the way.
    pub(crate) earlier_started: u64,
}

/// Starts runs in order.
#[derive(Debug)]
pub(crate) struct Order {
    window: Window,
    dispatcher: Dispatcher,
    lanes: Mutex<HashMap<Lane, Arc<tokio::sync::Mutex<Turn>>>>,
}

/// What has one order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Lane {
    activity: ActivityId,
    subject: String,
}

/// Whose turn it is in a lane, and what needs no second look.
#[derive(Debug, Default)]
struct Turn {
    era: Option<DateTime<Utc>>,
    /// Sequences whose run is accepted or will never be.
    done: BTreeSet<u64>,
    /// Sequences that start no run, by the word of `snapshot`.
    passed: BTreeSet<u64>,
    snapshot: Option<Arc<Snapshot>>,
    /// Until when nobody tries, after an earlier event could not be started.
    closed: Option<(Instant, String)>,
}

impl Turn {
    /// Forgets what does not hold any more.
    fn refresh(&mut self, earlier: &Earlier, snapshot: &Arc<Snapshot>) {
        if self.era != Some(earlier.era) {
            *self = Self {
                era: Some(earlier.era),
                ..Self::default()
            };
        }
        let is_same = |known: &Arc<Snapshot>| Arc::ptr_eq(known, snapshot);
        if !self.snapshot.as_ref().is_some_and(is_same) {
            self.passed.clear();
            self.snapshot = Some(snapshot.clone());
        }
        let after = earlier.floor + 1;
        self.done = self.done.split_off(&after);
        self.passed = self.passed.split_off(&after);
    }

    /// Why nobody tries at the moment.
    fn closed(&self) -> Option<String> {
        let (until, reason) = self.closed.as_ref()?;
        (Instant::now() < *until).then(|| reason.clone())
    }
}

/// Why the event's own run is not to be started yet.
#[derive(Debug, thiserror::Error)]
enum Held {
    #[error("{0}")]
    Closed(String),
    #[error("the order can't be told")]
    Unknown(#[source] window::Error),
    #[error("the run of the earlier event {sequence} could not be started: {error}")]
    Earlier { sequence: u64, error: String },
}

impl Order {
    /// Looks at the stream by `jetstream` and starts runs by `dispatcher`.
    pub(crate) fn new(jetstream: async_nats::jetstream::Context, dispatcher: Dispatcher) -> Self {
        Self {
            window: Window::new(jetstream),
            dispatcher,
            lanes: Mutex::default(),
        }
    }

    /// Remembers an event that was delivered here.
    pub(crate) fn note(&self, sequence: u64, headline: Option<Headline>) {
        self.window.note(sequence, headline);
    }

    /// Starts a run after all earlier ones of its subject. Waits for as long as Temporal is away:
    /// the caller bounds it.
    pub(crate) async fn start(
        &self,
        planned: &PlannedStart,
        subject: &str,
        event: InHand<'_>,
    ) -> InOrder {
        let lane = self.lane(planned.start.activity, subject);
        let mut turn = lane.lock().await;
        let mut earlier_started = 0;
        let like = Headline {
            event_type: event.event_type.to_owned(),
            subject: subject.to_owned(),
        };
        let started = self
            .start_earlier(&mut turn, planned, (&like, event), &mut earlier_started)
            .await;
        let outcome = match started {
            Ok(()) => {
                let outcome = self.dispatcher.start(planned).await;
                if !matches!(outcome, StartOutcome::Failed(_)) {
                    turn.done.insert(event.sequence);
                }
                outcome
            }
            Err(held) => {
                let reason = describe(&held);
                if !matches!(held, Held::Closed(_)) {
                    turn.closed = Some((Instant::now() + REST, reason.clone()));
                }
                StartOutcome::Waits(reason)
            }
        };
        InOrder {
            outcome,
            earlier_started,
        }
    }

    /// Starts the runs of all earlier events of the subject that may have none yet.
    async fn start_earlier(
        &self,
        turn: &mut Turn,
        planned: &PlannedStart,
        (like, event): (&Headline, InHand<'_>),
        started: &mut u64,
    ) -> Result<(), Held> {
        if let Some(reason) = turn.closed() {
            return Err(Held::Closed(reason));
        }
        let earlier = self.window.before(event.sequence, like).await;
        let earlier = earlier.map_err(Held::Unknown)?;
        turn.refresh(&earlier, event.snapshot);
        for sequence in earlier.sequences {
            if turn.done.contains(&sequence) || turn.passed.contains(&sequence) {
                continue;
            }
            let Some(start) = self.plan(sequence, planned, event.snapshot).await? else {
                turn.passed.insert(sequence);
                continue;
            };
            match self.dispatcher.start(&start).await {
                StartOutcome::Started => *started += 1,
                StartOutcome::Duplicate | StartOutcome::Refused(_) => {}
                StartOutcome::Failed(error) | StartOutcome::Waits(error) => {
                    return Err(Held::Earlier { sequence, error });
                }
            }
            turn.done.insert(sequence);
        }
        Ok(())
    }

    /// The run that an earlier event starts of the same definition; `None` when it starts none.
    async fn plan(
        &self,
        sequence: u64,
        later: &PlannedStart,
        snapshot: &Snapshot,
    ) -> Result<Option<PlannedStart>, Held> {
        let Some(message) = self.window.read(sequence).await.map_err(Held::Unknown)? else {
            return Ok(None);
        };
        let headers = window::headers(&message.headers);
        let received = Received {
            body: &message.payload,
            headers: &headers,
            at: message.time,
        };
        let starts = decide(&received, snapshot).starts.into_iter();
        Ok(starts
            .filter(|start| start.in_order_of == later.in_order_of)
            .find(|start| start.start.activity == later.start.activity))
    }

    fn lane(&self, activity: ActivityId, subject: &str) -> Arc<tokio::sync::Mutex<Turn>> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() >= IDLE_LANES {
            // What an idle lane remembers saves work and nothing else.
            lanes.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        let lane = Lane {
            activity,
            subject: subject.to_owned(),
        };
        lanes.entry(lane).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn earlier(era: i64, floor: u64) -> Earlier {
        Earlier {
            era: DateTime::from_timestamp(era, 0).unwrap(),
            floor,
            sequences: Vec::new(),
        }
    }

    #[test]
    fn what_is_remembered_ends_with_the_floor_the_definitions_and_the_consumer() {
        let (first, second) = (Arc::new(Snapshot::default()), Arc::new(Snapshot::default()));
        let mut turn = Turn::default();
        turn.refresh(&earlier(1, 0), &first);
        turn.done.extend([1, 2]);
        turn.passed.extend([3, 4]);

        turn.refresh(&earlier(1, 1), &first);
        assert_eq!((turn.done.len(), turn.passed.len()), (1, 2));
        turn.refresh(&earlier(1, 1), &second);
        assert_eq!((turn.done.len(), turn.passed.len()), (1, 0));
        turn.refresh(&earlier(2, 0), &second);
        assert_eq!((turn.done.len(), turn.passed.len()), (0, 0));
    }
}
