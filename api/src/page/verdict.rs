//! A day in words: for one definition, and for all of them together. Pure.

use domain::RunOutcome;
use serde::Serialize;

use super::standing::{Standing, State};

/// How good or bad something is, in the order in which people want to see it. Its name is the
/// style that it is shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Somebody has to look.
    Bad,
    /// It can still come out well.
    Waiting,
    /// Nothing is to be done.
    Calm,
    /// It is proven.
    Good,
}

/// A state in one word, with a sign beside it, so that colour is never the only bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Badge {
    /// How it is shown.
    pub(super) level: Level,
    /// The sign.
    pub(super) sign: &'static str,
    /// The word.
    pub(super) word: &'static str,
}

const fn badge(level: Level, sign: &'static str, word: &'static str) -> Badge {
    Badge { level, sign, word }
}

/// What could not be judged: never good.
pub(super) const UNKNOWN: Badge = badge(Level::Bad, "?", "Unknown");

impl State {
    /// One expected time in one word.
    pub(super) const fn badge(self) -> Badge {
        match self {
            Self::Proven => badge(Level::Good, "✓", "Proven"),
            Self::MadeUp => badge(Level::Good, "✓", "Made up for"),
            Self::Running => badge(Level::Waiting, "▸", "Running"),
            Self::Failed => badge(Level::Bad, "✗", "Failed"),
            Self::Missed => badge(Level::Bad, "✗", "Missing"),
            Self::NoTrace => badge(Level::Bad, "✗", "No trace"),
            Self::Awaited => badge(Level::Waiting, "…", "Awaited"),
            Self::Skipped(_) => badge(Level::Calm, "–", "Skipped"),
            Self::Upcoming => badge(Level::Calm, "○", "To come"),
        }
    }

    /// Why, where the word alone does not say it.
    pub(super) const fn reason(self) -> Option<&'static str> {
        match self {
            Self::NoTrace => {
                Some("its time and its grace have passed, and nothing shows that it ran")
            }
            Self::Awaited => Some("it is due, and has not begun yet"),
            Self::Skipped(RunOutcome::SkippedOverlap) => Some("the run before was still going"),
            Self::Skipped(RunOutcome::SkippedMaintenance) => Some("a maintenance window was open"),
            Self::Skipped(RunOutcome::SkippedDisabled) => Some("the definition was disabled"),
            _ => None,
        }
    }
}

/// How a run stands in one word.
pub(super) const fn outcome_badge(outcome: RunOutcome) -> Badge {
    match outcome {
        RunOutcome::Running => badge(Level::Waiting, "▸", "Running"),
        RunOutcome::Succeeded => badge(Level::Good, "✓", "Succeeded"),
        RunOutcome::Failed => badge(Level::Bad, "✗", "Failed"),
        RunOutcome::SkippedOverlap => badge(Level::Calm, "–", "Skipped: overlap"),
        RunOutcome::SkippedMaintenance => badge(Level::Calm, "–", "Skipped: maintenance"),
        RunOutcome::SkippedDisabled => badge(Level::Calm, "–", "Skipped: disabled"),
        RunOutcome::Missed => badge(Level::Bad, "✗", "Missed"),
    }
}

/// How many expected times came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// Expected and due by now, not counting those left out on purpose.
    pub(super) expected: usize,
    /// Those that evidence shows.
    pub(super) proven: usize,
    /// Those that never ran.
    pub(super) missing: usize,
    /// Those that failed.
    pub(super) failed: usize,
    /// Those that go on or are in their grace.
    pub(super) under_way: usize,
    /// Left out on purpose.
    pub(super) skipped: usize,
    /// Still to come.
    pub(super) upcoming: usize,
    /// Definitions that could not be judged.
    pub(super) unknown: usize,
    /// Runs without a nominal time: on events and requests.
    pub(super) others: i64,
    /// Those of them that failed.
    pub(super) others_failed: i64,
}

impl Tally {
    /// The tally of one definition.
    pub(super) fn of(standing: &Standing) -> Self {
        Self {
            expected: standing.count(State::is_expected),
            proven: standing.count(State::is_proven),
            missing: standing.count(State::is_missing),
            failed: standing.count(|state| state == State::Failed),
            under_way: standing.count(State::is_under_way),
            skipped: standing.count(|state| matches!(state, State::Skipped(_))),
            upcoming: standing.count(|state| state == State::Upcoming),
            ..Self::default()
        }
    }

    /// Adds another definition's.
    pub(super) fn add(&mut self, other: Self) {
        self.expected += other.expected;
        self.proven += other.proven;
        self.missing += other.missing;
        self.failed += other.failed;
        self.under_way += other.under_way;
        self.skipped += other.skipped;
        self.upcoming += other.upcoming;
        self.unknown += other.unknown;
        self.others += other.others;
        self.others_failed += other.others_failed;
    }

    /// The day of one definition, or of all, in one word.
    pub(super) const fn badge(self) -> Badge {
        if self.missing > 0 {
            badge(Level::Bad, "✗", "Missing")
        } else if self.failed > 0 || self.others_failed > 0 {
            badge(Level::Bad, "✗", "Failed")
        } else if self.unknown > 0 {
            UNKNOWN
        } else if self.under_way > 0 {
            badge(Level::Waiting, "…", "Under way")
        } else if self.expected > 0 {
            badge(Level::Good, "✓", "Proven")
        } else if self.upcoming > 0 {
            badge(Level::Calm, "○", "To come")
        } else if self.skipped > 0 {
            badge(Level::Calm, "–", "Skipped")
        } else if self.others > 0 {
            badge(Level::Good, "✓", "Ran")
        } else {
            badge(Level::Calm, "·", "Nothing due")
        }
    }

    /// The answer to "did everything run?" in a word or two.
    pub(super) const fn answer(self) -> &'static str {
        match self.badge().level {
            Level::Bad if self.missing == 0 && self.failed == 0 && self.others_failed == 0 => {
                "Unknown"
            }
            Level::Bad => "No",
            Level::Waiting => "Not yet",
            Level::Good => "Yes",
            Level::Calm => "Nothing was due",
        }
    }

    /// The same in one sentence.
    pub(super) fn sentence(self) -> String {
        let mut parts = vec![match (self.expected, self.proven) {
            (0, _) => "No expected run is due".to_owned(),
            (1, 1) => "The one expected run is proven".to_owned(),
            (expected, proven) if expected == proven => {
                format!("All {expected} expected runs are proven")
            }
            (1, _) => "The one expected run is not proven".to_owned(),
            (expected, proven) => {
                format!(
                    "{proven} of {expected} expected runs {} proven",
                    are(proven)
                )
            }
        }];
        for (count, what) in [
            (self.missing, "missing"),
            (self.failed, "failed"),
            (self.under_way, "under way"),
            (self.skipped, "skipped on purpose"),
            (self.upcoming, "to come"),
        ] {
            match (count, what) {
                (0, _) => {}
                (count, "failed") => parts.push(format!("{count} failed")),
                (count, what) => parts.push(format!("{count} {} {what}", are(count))),
            }
        }
        if self.unknown > 0 {
            let definitions = if self.unknown == 1 {
                "definition"
            } else {
                "definitions"
            };
            parts.push(format!(
                "{} {definitions} could not be judged",
                self.unknown
            ));
        }
        if self.others_failed > 0 {
            parts.push(format!(
                "{} of {} runs on events and requests failed",
                self.others_failed, self.others
            ));
        }
        format!("{}.", parts.join("; "))
    }
}

const fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(counts: [usize; 6]) -> Tally {
        let [proven, missing, failed, under_way, skipped, upcoming] = counts;
        Tally {
            expected: proven + missing + failed + under_way,
            proven,
            missing,
            failed,
            under_way,
            skipped,
            upcoming,
            ..Tally::default()
        }
    }

    #[test]
    fn a_day_is_told_in_one_sentence() {
        for (counts, answer, sentence) in [
            (
                [7, 1, 0, 0, 0, 0],
                "No",
                "7 of 8 expected runs are proven; 1 is missing.",
            ),
            ([8, 0, 0, 0, 0, 0], "Yes", "All 8 expected runs are proven."),
            ([1, 0, 0, 0, 0, 0], "Yes", "The one expected run is proven."),
            (
                [0, 1, 0, 0, 0, 0],
                "No",
                "The one expected run is not proven; 1 is missing.",
            ),
            (
                [1, 2, 1, 0, 1, 2],
                "No",
                "1 of 4 expected runs is proven; 2 are missing; 1 failed; 1 is skipped on purpose; \
                 2 are to come.",
            ),
            (
                [2, 0, 0, 1, 0, 0],
                "Not yet",
                "2 of 3 expected runs are proven; 1 is under way.",
            ),
            (
                [0, 0, 0, 0, 0, 3],
                "Nothing was due",
                "No expected run is due; 3 are to come.",
            ),
            ([0; 6], "Nothing was due", "No expected run is due."),
        ] {
            let tally = tally(counts);
            assert_eq!(
                (tally.answer(), tally.sentence().as_str()),
                (answer, sentence)
            );
        }
    }

    #[test]
    fn what_could_not_be_judged_is_never_a_yes() {
        let mut tally = tally([5, 0, 0, 0, 0, 0]);
        tally.unknown = 1;
        assert_eq!(tally.answer(), "Unknown");
        assert!(
            tally
                .sentence()
                .contains("1 definition could not be judged")
        );
        tally.unknown = 0;
        tally.others = 3;
        tally.others_failed = 1;
        assert_eq!(tally.answer(), "No");
    }

    #[test]
    fn every_state_has_a_word_and_a_sign_of_its_level() {
        for state in [State::Missed, State::NoTrace, State::Failed] {
            assert_eq!(state.badge().level, Level::Bad);
            assert_eq!(state.badge().sign, "✗");
        }
        for outcome in RunOutcome::ALL {
            assert!(!outcome_badge(outcome).word.is_empty());
        }
    }
}
