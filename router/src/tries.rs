//! How often an event failed through what may be its own fault.
//!
//! The server's delivery count would be the obvious number, and is the wrong one: a delivery is
//! also used up when a router is killed or NATS restarts, and an event that came through ten
//! rolling restarts has not failed once. So each router counts what it saw fail itself. A router
//! that is restarted, or another replica that gets the event next, begins anew: an event may be
//! tried somewhat more often than is set, never less.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::origin::Place;

/// How many events are remembered. More than can be waiting for their next try: the consumer
/// hands out no more.
const REMEMBERED: usize = crate::streams::MAX_ACK_PENDING;

/// The longest pause before a next try.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What follows from a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another try, after this pause.
    After(Duration),
    /// None; that many failed.
    Exhausted(u16),
}

/// The failed tries of the events that are not settled yet.
#[derive(Debug)]
pub(crate) struct Tries {
    maximum: u16,
    failed: Mutex<BTreeMap<Place, u16>>,
}

impl Tries {
    /// Nothing failed yet; an event is tried `maximum` times.
    pub(crate) fn new(maximum: u16) -> Self {
        Self {
            maximum,
            failed: Mutex::default(),
        }
    }

    /// Enters a failed try and says what follows from it.
    pub(crate) fn fail(&self, place: Place) -> Next {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failed.entry(place).or_default();
        *count = count.saturating_add(1);
        let count = *count;
        if failed.len() > REMEMBERED {
            // The oldest have most likely been settled by another replica.
            failed.pop_first();
        }
        if count >= self.maximum {
            Next::Exhausted(count)
        } else {
            Next::After(pause_after(count))
        }
    }

    /// Forgets an event that is settled.
    pub(crate) fn settle(&self, place: Place) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.remove(&place);
    }
}

/// 1 s, 2 s, 4 s … up to a minute.
fn pause_after(failed: u16) -> Duration {
    let doublings = u32::from(failed.saturating_sub(1)).min(6);
    Duration::from_secs(1 << doublings).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        sequence: 7,
        published_nanoseconds: 1,
    };

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses: Vec<u64> = (1..=9).map(|count| pause_after(count).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause_after(u16::MAX).as_secs(), 60);
    }

    #[test]
    fn an_event_is_tried_as_often_as_is_set() {
        let tries = Tries::new(3);
        assert_eq!(tries.fail(PLACE), Next::After(Duration::from_secs(1)));
        assert_eq!(tries.fail(PLACE), Next::After(Duration::from_secs(2)));
        assert_eq!(tries.fail(PLACE), Next::Exhausted(3));
    }

    #[test]
    fn a_settled_event_is_forgotten() {
        let tries = Tries::new(2);
        assert_eq!(tries.fail(PLACE), Next::After(Duration::from_secs(1)));
        tries.settle(PLACE);
        assert_eq!(tries.fail(PLACE), Next::After(Duration::from_secs(1)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let tries = Tries::new(2);
        for sequence in 0..=REMEMBERED as u64 {
            tries.fail(Place {
                sequence,
                published_nanoseconds: 1,
            });
        }
        assert_eq!(tries.failed.lock().unwrap().len(), REMEMBERED);
    }
}
