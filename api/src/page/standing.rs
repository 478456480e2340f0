//! How one definition stands on one day: each expected time and what became of it. Pure.
//!
//! The ledger has a row for every expected time that the audit has decided. For the time since then
//! the expected times are computed here, so that a run that never came shows at once, even if the
//! audit itself is not at work.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::RunOutcome;
use store::DayRuns;

/// What became of one expected time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The ledger has its run, which succeeded.
    Proven,
    /// It was missed or failed, and a later run made up for it.
    MadeUp,
    /// Its run goes on.
    Running,
    /// Its run failed.
    Failed,
    /// The audit found that it never ran.
    Missed,
    /// Its grace is over and nothing shows that it ran; the audit has not decided yet.
    NoTrace,
    /// It is due, and its grace is not over.
    Awaited,
    /// It was left out on purpose.
    Skipped(RunOutcome),
    /// It is still to come.
    Upcoming,
}

/// What is known of one definition on one day.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// The times that the clock names on that day, by the trigger of now; none while it is
    /// disabled.
    pub(super) times: &'a [DateTime<Utc>],
    /// Every expected time before it is decided.
    pub(super) decided_until: DateTime<Utc>,
    /// How long after its time a run may begin.
    pub(super) grace: TimeDelta,
    /// What the ledger has.
    pub(super) runs: Option<&'a DayRuns>,
}

/// How one definition stands on one day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Each expected time and what became of it.
    pub(super) times: BTreeMap<DateTime<Utc>, State>,
}

impl Standing {
    /// Judges a day, seen from `now`.
    pub(super) fn of(known: &Known<'_>, now: DateTime<Utc>) -> Self {
        let mut times = BTreeMap::new();
        let undecided = known.times.iter().filter(|time| {
            // What the audit has decided has its row, or was not to be expected after all.
            **time >= known.decided_until.min(now)
        });
        for time in undecided {
            times.insert(*time, without_row(*time, known.grace, now));
        }
        if let Some(runs) = known.runs {
            times.extend(
                runs.expected
                    .iter()
                    .map(|(time, outcome)| (*time, of_row(*outcome))),
            );
            for (time, outcome) in &runs.made_up {
                if let Some(state) = times.get_mut(time) {
                    *state = made_up(*state, *outcome);
                }
            }
        }
        Self { times }
    }

    /// How many times came to one of these.
    pub(super) fn count(&self, is_one: impl Fn(State) -> bool) -> usize {
        self.times.values().filter(|state| is_one(**state)).count()
    }

    /// The first expected time that is still to come.
    pub(super) fn next(&self) -> Option<DateTime<Utc>> {
        let mut times = self.times.iter();
        times
            .find(|(_, state)| **state == State::Upcoming)
            .map(|(time, _)| *time)
    }
}

fn without_row(time: DateTime<Utc>, grace: TimeDelta, now: DateTime<Utc>) -> State {
    if time > now {
        State::Upcoming
    } else if time.checked_add_signed(grace).is_none_or(|due| now < due) {
        State::Awaited
    } else {
        State::NoTrace
    }
}

const fn of_row(outcome: RunOutcome) -> State {
    match outcome {
        RunOutcome::Succeeded => State::Proven,
        RunOutcome::Running => State::Running,
        RunOutcome::Failed => State::Failed,
        RunOutcome::Missed => State::Missed,
        RunOutcome::SkippedOverlap
        | RunOutcome::SkippedMaintenance
        | RunOutcome::SkippedDisabled => State::Skipped(outcome),
    }
}

/// What a time comes to for which a later run was started.
const fn made_up(state: State, later: RunOutcome) -> State {
    match (state, later) {
        (State::Proven, _) => State::Proven,
        (_, RunOutcome::Succeeded) => State::MadeUp,
        (_, RunOutcome::Running) => State::Running,
        (state, _) => state,
    }
}

impl State {
    /// Whether the run was expected and should have begun by now.
    pub(super) const fn is_expected(self) -> bool {
        !matches!(self, Self::Skipped(_) | Self::Upcoming)
    }

    /// Whether evidence shows that the run, or one that made up for it, succeeded.
    pub(super) const fn is_proven(self) -> bool {
        matches!(self, Self::Proven | Self::MadeUp)
    }

    /// Whether the run is missing.
    pub(super) const fn is_missing(self) -> bool {
        matches!(self, Self::Missed | Self::NoTrace)
    }

    /// Whether it can still come out well by itself.
    pub(super) const fn is_under_way(self) -> bool {
        matches!(self, Self::Running | Self::Awaited)
    }
}

#[cfg(test)]
mod tests {
    use domain::ActivityId;
    use uuid::Uuid;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-24T{text}:00Z").parse().unwrap()
    }

    /// One definition that is expected at 09:00, with ten minutes of grace.
    fn state(
        (decided_until, now): (&str, &str),
        row: Option<RunOutcome>,
        later: Option<RunOutcome>,
    ) -> Option<State> {
        let nine = at("09:00");
        let pair = |outcome: Option<RunOutcome>| {
            outcome.map(|outcome| (nine, outcome)).into_iter().collect()
        };
        let runs = DayRuns {
            activity: ActivityId::new(Uuid::nil()),
            from: at("00:00"),
            expected: pair(row),
            made_up: pair(later),
            others: 0,
            others_failed: 0,
        };
        let known = Known {
            times: &[nine],
            decided_until: at(decided_until),
            grace: TimeDelta::minutes(10),
            runs: Some(&runs),
        };
        Standing::of(&known, at(now)).times.get(&nine).copied()
    }

    #[test]
    fn each_time_comes_to_what_the_ledger_and_the_clock_say() {
        use RunOutcome::{Failed, Missed, Running, SkippedMaintenance, Succeeded};
        let before = ("08:00", "08:30");
        let in_grace = ("08:59", "09:09");
        let after_grace = ("08:59", "09:10");
        let decided = ("09:30", "09:31");
        for (times, row, later, expected) in [
            (before, None, None, Some(State::Upcoming)),
            (in_grace, None, None, Some(State::Awaited)),
            (after_grace, None, None, Some(State::NoTrace)),
            // The audit has looked and entered nothing: it was not to be expected.
            (decided, None, None, None),
            (decided, Some(Succeeded), None, Some(State::Proven)),
            (in_grace, Some(Running), None, Some(State::Running)),
            (decided, Some(Failed), None, Some(State::Failed)),
            (decided, Some(Missed), None, Some(State::Missed)),
            (
                decided,
                Some(SkippedMaintenance),
                None,
                Some(State::Skipped(SkippedMaintenance)),
            ),
            (decided, Some(Missed), Some(Succeeded), Some(State::MadeUp)),
            (decided, Some(Missed), Some(Running), Some(State::Running)),
            (decided, Some(Missed), Some(Failed), Some(State::Missed)),
            (decided, Some(Succeeded), Some(Failed), Some(State::Proven)),
            (after_grace, None, Some(Succeeded), Some(State::MadeUp)),
            // A made-up time that nobody expects any more is no expected time.
            (decided, None, Some(Succeeded), None),
        ] {
            let found = state(times, row, later);
            assert_eq!(found, expected, "{times:?} {row:?} {later:?}");
        }
    }

    #[test]
    fn a_row_of_a_time_that_the_trigger_no_longer_names_still_counts() {
        let runs = DayRuns {
            activity: ActivityId::new(Uuid::nil()),
            from: at("00:00"),
            expected: vec![(at("07:00"), RunOutcome::Failed)],
            made_up: Vec::new(),
            others: 0,
            others_failed: 0,
        };
        let known = Known {
            times: &[at("09:00")],
            decided_until: at("08:00"),
            grace: TimeDelta::minutes(10),
            runs: Some(&runs),
        };
        let standing = Standing::of(&known, at("08:30"));
        assert_eq!(standing.count(|state| state == State::Failed), 1);
        assert_eq!(standing.next(), Some(at("09:00")));
    }

    #[test]
    fn a_future_decision_does_not_hide_what_is_to_come() {
        // A definition that was changed a moment ago by a clock that is ahead.
        assert_eq!(state(("09:30", "08:30"), None, None), Some(State::Upcoming));
    }
}
