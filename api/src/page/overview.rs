//! All definitions on one day: judged, problems first, and cut into pages. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use domain::{ActivityId, RunOutcome, TimeZone};
use serde::Serialize;
use store::{ActivityDay, DayRuns, DefinitionSummary, Problem};
use uuid::Uuid;

use super::moment::Moment;
use super::standing::{Known, Standing, State};
use super::trigger::{Trigger, Triggers, grace};
use super::verdict::{Badge, Level, Tally, UNKNOWN, outcome_badge};

/// Definitions per page of the table.
pub(super) const PAGE_SIZE: usize = 50;

/// How many times are told of one definition that did not come out well.
pub(super) const TOLD_TIMES: usize = 3;

/// How many of the runs to come are listed.
const LISTED_NEXT: usize = 8;

/// One definition and its day, before the ledger is asked.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) summary: DefinitionSummary,
    pub(super) trigger: Trigger,
    /// The instants of the day in the definition's time zone.
    pub(super) day: ActivityDay,
    times: Arc<[DateTime<Utc>]>,
    grace: TimeDelta,
}

/// One definition on its day.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) subject: Subject,
    pub(super) standing: Standing,
    pub(super) tally: Tally,
    badge: Badge,
}

impl Subject {
    /// A definition on a day of its time zone.
    pub(super) fn of(summary: DefinitionSummary, date: NaiveDate, triggers: &mut Triggers) -> Self {
        let trigger = triggers.of(&summary);
        let times = match &trigger {
            Trigger::Clock(clock) if summary.enabled => triggers.times(clock, date),
            _ => Arc::default(),
        };
        let day = trigger.time_zone().day(date);
        Self {
            day: ActivityDay {
                activity: ActivityId::new(summary.activity_id),
                from: day.start,
                until: day.end,
            },
            grace: grace(&summary),
            summary,
            trigger,
            times,
        }
    }

    /// Judges it by what the ledger has, seen from `now`.
    pub(super) fn judge(self, runs: Option<&DayRuns>, now: DateTime<Utc>) -> Judged {
        let known = Known {
            times: &self.times,
            decided_until: self.summary.decided_until,
            grace: self.grace,
            runs,
        };
        let standing = Standing::of(&known, now);
        let mut tally = Tally::of(&standing);
        tally.others = runs.map_or(0, |runs| runs.others);
        tally.others_failed = runs.map_or(0, |runs| runs.others_failed);
        tally.unknown = usize::from(matches!(self.trigger, Trigger::Unreadable(_)));
        let badge = match (&self.trigger, self.summary.enabled) {
            (Trigger::Unreadable(_), _) => UNKNOWN,
            (_, false) if tally.badge().level == Level::Calm => Badge {
                level: Level::Calm,
                sign: "–",
                word: "Disabled",
            },
            _ => tally.badge(),
        };
        Judged {
            subject: self,
            standing,
            tally,
            badge,
        }
    }
}

impl Judged {
    /// What people want to see first has the lowest.
    const fn rank(&self) -> u8 {
        match self.badge.level {
            Level::Bad => 0,
            Level::Waiting => 1,
            Level::Calm if self.tally.skipped > 0 => 2,
            Level::Good => 3,
            Level::Calm => 4,
        }
    }

    /// The day in one word.
    pub(super) const fn badge(&self) -> Badge {
        self.badge
    }
}

/// Judges all definitions, problems first.
pub(super) fn judge_all(
    subjects: Vec<Subject>,
    runs: &[DayRuns],
    now: DateTime<Utc>,
) -> Vec<Judged> {
    let runs: HashMap<ActivityId, &DayRuns> =
        runs.iter().map(|runs| (runs.activity, runs)).collect();
    let judged = subjects.into_iter().map(|subject| {
        let of_it = runs.get(&subject.day.activity).copied();
        subject.judge(of_it, now)
    });
    let mut judged: Vec<Judged> = judged.collect();
    // Within a rank in the order of namespaces and names, in which they came.
    judged.sort_by_key(Judged::rank);
    judged
}

/// All definitions together.
pub(super) fn tally(judged: &[Judged]) -> Tally {
    let mut all = Tally::default();
    for one in judged {
        all.add(one.tally);
    }
    all
}

/// One expected time that did not come out well, or not yet.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Told {
    time: Moment,
    badge: Badge,
    reason: Option<String>,
    evidence: Vec<String>,
    run: Option<Uuid>,
}

/// A line of the table.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    id: Uuid,
    name: String,
    namespace: String,
    trigger: String,
    proven: String,
    badge: Badge,
    told: Vec<Told>,
    untold: usize,
    next: Option<Moment>,
}

/// The table's lines for some of the definitions.
pub(super) fn lines(
    judged: &[Judged],
    problems: &[Problem],
    (date, now): (NaiveDate, DateTime<Utc>),
) -> Vec<Line> {
    judged
        .iter()
        .map(|one| {
            let (told, untold) = told(one, problems, date);
            let summary = &one.subject.summary;
            Line {
                id: summary.activity_id,
                name: summary.display_name.clone(),
                namespace: summary.namespace.clone(),
                trigger: one.subject.trigger.in_words(),
                proven: proven(one.tally),
                badge: one.badge,
                told,
                untold,
                next: next(&one.subject, date, now),
            }
        })
        .collect()
}

/// What is to be told about a definition's day, and how many times more there are.
pub(super) fn told(one: &Judged, problems: &[Problem], date: NaiveDate) -> (Vec<Told>, usize) {
    let activity = one.subject.day.activity;
    let zone = one.subject.trigger.time_zone();
    let rows: Vec<&Problem> = problems
        .iter()
        .filter(|problem| problem.run.activity == activity && one.subject.has(problem))
        .collect();
    let is_told = |state: State| !matches!(state, State::Proven | State::Upcoming);
    let mut times: Vec<(&DateTime<Utc>, &State)> = one.standing.times.iter().collect();
    times.retain(|(_, state)| is_told(**state));
    // What is bad comes before what was meant to be.
    times.sort_by_key(|(time, state)| (state.badge().level, std::cmp::Reverse(**time)));
    let mut told: Vec<Told> = times
        .iter()
        .take(TOLD_TIMES)
        .map(|(time, state)| {
            let row = rows
                .iter()
                .find(|problem| problem.run.scheduled_for == Some(**time));
            Told::of_time((**time, **state), row.copied(), (zone, date))
        })
        .collect();
    let mut untold = times.len() - told.len();
    let failed = rows
        .iter()
        .filter(|problem| problem.run.scheduled_for.is_none() && is_failed(problem));
    told.extend(
        failed
            .take(TOLD_TIMES)
            .map(|problem| Told::of_run(problem, (zone, date))),
    );
    if let Trigger::Unreadable(problem) = &one.subject.trigger {
        told.push(Told {
            time: Moment::on(zone, one.subject.day.from, date),
            badge: UNKNOWN,
            reason: Some(format!("its trigger can't be read: {problem}")),
            evidence: Vec::new(),
            run: None,
        });
    }
    let others_failed = usize::try_from(one.tally.others_failed).unwrap_or(usize::MAX);
    untold += others_failed.saturating_sub(TOLD_TIMES);
    (told, untold)
}

fn is_failed(problem: &Problem) -> bool {
    problem.run.outcome == RunOutcome::Failed
}

impl Subject {
    fn has(&self, problem: &Problem) -> bool {
        (self.day.from..self.day.until).contains(&problem.run.sort_time)
    }
}

impl Told {
    fn of_time(
        (time, state): (DateTime<Utc>, State),
        row: Option<&Problem>,
        (zone, date): (TimeZone, NaiveDate),
    ) -> Self {
        let error = row.and_then(|problem| problem.run.error.clone());
        Self {
            time: Moment::on(zone, time, date),
            badge: state.badge(),
            reason: error.or_else(|| state.reason().map(str::to_owned)),
            evidence: row.map_or_else(Vec::new, |problem| problem.evidence.clone()),
            run: row.map(|problem| problem.run.run_id.as_uuid()),
        }
    }

    fn of_run(problem: &Problem, (zone, date): (TimeZone, NaiveDate)) -> Self {
        Self {
            time: Moment::on(zone, problem.run.sort_time, date),
            badge: outcome_badge(problem.run.outcome),
            reason: problem.run.error.clone(),
            evidence: problem.evidence.clone(),
            run: Some(problem.run.run_id.as_uuid()),
        }
    }
}

/// Proven against expected, in short.
pub(super) fn proven(tally: Tally) -> String {
    if tally.expected > 0 {
        format!("{} of {}", tally.proven, tally.expected)
    } else if tally.others > 0 {
        format!("{} ran", tally.others - tally.others_failed)
    } else {
        "–".to_owned()
    }
}

/// When a definition runs next, seen from `now`.
pub(super) fn next(subject: &Subject, date: NaiveDate, now: DateTime<Utc>) -> Option<Moment> {
    match &subject.trigger {
        Trigger::Clock(clock) if subject.summary.enabled => {
            let zone = clock.schedule.time_zone;
            let next = clock.schedule.next_after(now)?;
            Some(Moment::on(zone, next, date))
        }
        _ => None,
    }
}

/// One of the runs that come next.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NextRun {
    id: Uuid,
    name: String,
    time: Moment,
}

/// The runs that come next on this day, the soonest first, a few at most.
pub(super) fn next_runs(judged: &[Judged], date: NaiveDate) -> Vec<NextRun> {
    let mut next: Vec<(DateTime<Utc>, &Judged)> = judged
        .iter()
        .filter_map(|one| Some((one.standing.next()?, one)))
        .collect();
    next.sort_by_key(|(time, _)| *time);
    let listed = next.into_iter().take(LISTED_NEXT);
    listed
        .map(|(time, one)| NextRun {
            id: one.subject.summary.activity_id,
            name: one.subject.summary.display_name.clone(),
            time: Moment::on(one.subject.trigger.time_zone(), time, date),
        })
        .collect()
}

#[cfg(test)]
mod tests;
