//! Which Schedules did not fire although they look as declared. Each is written anew by the next
//! reconcile.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::ActivityId;

/// The activities whose Schedule is distrusted.
#[derive(Debug, Default)]
pub(crate) struct Distrusted(Mutex<HashSet<ActivityId>>);

impl Distrusted {
    /// Its Schedule did not fire.
    pub(crate) fn note(&self, activity: ActivityId) {
        self.lock().insert(activity);
    }

    /// Whether its Schedule is to be written anew.
    pub(crate) fn contains(&self, activity: ActivityId) -> bool {
        self.lock().contains(&activity)
    }

    /// Its Schedule was written.
    pub(crate) fn clear(&self, activity: ActivityId) {
        self.lock().remove(&activity);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<ActivityId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
