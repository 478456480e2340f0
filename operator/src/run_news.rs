//! Gathers the news of runs: a definition is looked at once for a run that begins and soon ends, and
//! not many at once. A look asks Temporal and writes a status, so a thousand runs that are due
//! together would otherwise wait for the servers that tell of them.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use domain::ActivityId;
use tokio::time::Instant;

/// How long news of an activity wait for more. Most runs without a model end within it, and nobody
/// needs `lastRun` sooner.
const GATHER: Duration = Duration::from_secs(1);

/// How far apart two looks are: the next run comes before the news of the last one. The ledger, the
/// API and the metrics know of each run at once.
const PACE: Duration = Duration::from_millis(100);

/// The activities with news, in the order in which they are to be looked at.
#[derive(Debug, Default)]
pub(crate) struct RunNews {
    due: VecDeque<(Instant, ActivityId)>,
    waiting: HashSet<ActivityId>,
}

impl RunNews {
    /// Takes note that a run of an activity began or ended at `now`.
    pub(crate) fn note(&mut self, activity: ActivityId, now: Instant) {
        if self.waiting.insert(activity) {
            let gathered = now + GATHER;
            let last = self.due.back().map(|(due, _)| *due + PACE);
            let due = last.map_or(gathered, |paced| paced.max(gathered));
            self.due.push_back((due, activity));
        }
    }

    /// When the next activity is to be looked at.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.front().map(|(due, _)| *due)
    }

    /// An activity that is to be looked at by `now`. What happens from then on is news again.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<ActivityId> {
        self.next_due().filter(|due| *due <= now)?;
        let (_, activity) = self.due.pop_front()?;
        self.waiting.remove(&activity);
        Some(activity)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_run_that_begins_and_ends_soon_is_one_look() {
        let [one, other] = [1, 2].map(|number| ActivityId::new(Uuid::from_u128(number)));
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut news = RunNews::default();
        news.note(one, start);
        news.note(other, after(600));
        news.note(one, after(700));
        assert_eq!(news.take_due(after(999)), None);
        assert_eq!(news.take_due(after(1000)), Some(one));
        assert_eq!(news.take_due(after(1000)), None);
        assert_eq!(news.next_due(), Some(after(1600)));
        // It was looked at before this, so this is told once more.
        news.note(one, after(1100));
        assert_eq!(news.take_due(after(3000)), Some(other));
        assert_eq!(news.take_due(after(3000)), Some(one));
        assert_eq!(news.take_due(after(3000)), None);
    }

    #[test]
    fn of_many_runs_at_once_ten_are_looked_at_in_a_second() {
        let start = Instant::now();
        let mut news = RunNews::default();
        for number in 0..1000 {
            news.note(ActivityId::new(Uuid::from_u128(number)), start);
        }
        let mut looked_at = |seconds| {
            let now = start + Duration::from_secs(seconds);
            std::iter::from_fn(|| news.take_due(now)).count()
        };
        assert_eq!(looked_at(1), 1);
        assert_eq!(looked_at(2), 10);
        assert_eq!(looked_at(101), 989);
    }
}
