//! What the ledger says about a day, in words for whoever is woken up.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::{
    AbsentEvidence, Answer, Evidence, LedgerEvidence, Subject, Verdict, time_zone, unknown,
};
use crate::{RunId, RunOutcome, Trigger};

/// How a day stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Day<'evidence> {
    /// The ledger could not be looked at.
    Unseen(&'evidence str),
    /// A run began, and this is the newest; the rest of the day is as it should be.
    Ran(&'evidence LedgerEvidence, &'evidence [AbsentEvidence]),
    /// It runs, and may still.
    Running(&'evidence LedgerEvidence),
    /// At least one run is missing; the newest that began, and the missing ones, the newest first.
    Missed(
        Option<&'evidence LedgerEvidence>,
        Vec<&'evidence AbsentEvidence>,
    ),
    /// No run began, because of another one that was going.
    Overlapped(&'evidence AbsentEvidence),
    /// No run began, and none was to: the newest time that was left out on purpose.
    LeftOut(&'evidence AbsentEvidence),
    /// No run is due yet: when the first is expected, and when it counts as missing.
    NotYet(DateTime<Utc>, DateTime<Utc>),
    /// There is nothing.
    Nothing,
}

/// Sorts what was seen.
pub(super) fn day<'evidence>(
    subject: &Subject<'_>,
    evidence: &'evidence Evidence,
) -> Day<'evidence> {
    let (row, absent) = match (&evidence.ledger, &evidence.absent) {
        (Err(reason), _) | (_, Err(reason)) => return Day::Unseen(reason),
        (Ok(row), Ok(absent)) => (row.as_ref(), absent.as_slice()),
    };
    let missed: Vec<&AbsentEvidence> = absent
        .iter()
        .filter(|absent| absent.outcome == RunOutcome::Missed)
        .collect();
    if !missed.is_empty() {
        return Day::Missed(row, missed);
    }
    match (row, absent.first()) {
        (Some(row), _) if row.outcome == RunOutcome::Running => {
            let began = row.fired_at.or(row.scheduled_for);
            if began.is_some_and(|began| subject.is_in_grace(began)) {
                Day::Running(row)
            } else {
                Day::Ran(row, absent)
            }
        }
        (Some(row), _) => Day::Ran(row, absent),
        (None, Some(absent)) if absent.outcome == RunOutcome::SkippedOverlap => {
            Day::Overlapped(absent)
        }
        (None, Some(absent)) => Day::LeftOut(absent),
        (None, None) => not_yet(subject).unwrap_or(Day::Nothing),
    }
}

/// A day of which no expected time is past its grace, and at least one is to come.
fn not_yet(subject: &Subject<'_>) -> Option<Day<'static>> {
    let Trigger::Cron(cron) = &subject.definition.trigger else {
        return None;
    };
    if !subject.definition.enabled {
        return None;
    }
    let day = time_zone(subject.definition).day(subject.date);
    let first = cron.schedule.first_occurrences(day, 1).first().copied()?;
    let wait = TimeDelta::from_std(subject.definition.grace + cron.jitter).ok()?;
    let due = first.checked_add_signed(wait)?;
    (subject.now < due).then_some(Day::NotYet(first, due))
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The ledger's condition.
pub(super) fn check(subject: &Subject<'_>, day: &Day<'_>) -> Answer {
    let date = subject.date;
    match day {
        Day::Unseen(reason) => unknown(reason),
        Day::Running(row) => (
            Verdict::Unknown,
            format!(
                "run {} of {date} is still going, within its grace",
                row.run_id
            ),
        ),
        Day::Ran(row, absent) => ran(subject, row, absent),
        Day::Missed(_, missed) => (Verdict::Failed, missing(missed)),
        Day::Overlapped(absent) => (
            Verdict::Failed,
            format!("no run of {date} began: {}", absent.words),
        ),
        Day::LeftOut(absent) => (
            Verdict::NotApplicable,
            format!("no run of {date}, and none was to be: {}", absent.words),
        ),
        Day::NotYet(first, due) => (
            Verdict::Unknown,
            format!(
                "the run of {date} is not due yet: expected at {}, missing from {} on",
                shown(*first),
                shown(*due)
            ),
        ),
        Day::Nothing => (
            Verdict::Failed,
            format!("activity_runs has no run of {date}"),
        ),
    }
}

fn ran(subject: &Subject<'_>, row: &LedgerEvidence, absent: &[AbsentEvidence]) -> Answer {
    let date = subject.date;
    let run = row.run_id;
    match row.outcome {
        RunOutcome::Succeeded => {
            let left_out = match absent.first() {
                None => String::new(),
                Some(newest) => format!(
                    "; {} of the day did not run: {}",
                    absent.len(),
                    newest.words
                ),
            };
            (
                Verdict::Ok,
                format!("run {run} of {date} succeeded{left_out}"),
            )
        }
        RunOutcome::Running => (
            Verdict::Failed,
            format!("run {run} of {date} is still going, for longer than its grace"),
        ),
        outcome => {
            let error = row.error.as_ref().map(|error| format!(": {error}"));
            (
                Verdict::Failed,
                format!(
                    "run {run} of {date} is {outcome}{}",
                    error.unwrap_or_default()
                ),
            )
        }
    }
}

fn missing(missed: &[&AbsentEvidence]) -> String {
    let newest = missed.first().map_or("", |newest| newest.words.as_str());
    match missed.len() {
        0 | 1 => newest.to_owned(),
        several => format!("{several} runs of the day are missing; the last: {newest}"),
    }
}

/// The run whose reports are to be looked for, or the answer where there is none.
pub(super) fn reported_run(day: &Day<'_>, what: &str) -> Result<RunId, Answer> {
    match day {
        Day::Ran(row, _) | Day::Running(row) | Day::Missed(Some(row), _) => Ok(row.run_id),
        Day::Unseen(_) => Err(unknown("the ledger does not say which run to look for")),
        Day::LeftOut(_) => Err((
            Verdict::NotApplicable,
            format!("no run was to be, so no {what} was to be"),
        )),
        Day::NotYet(..) => Err((
            Verdict::Unknown,
            format!("the run is not due yet, so there is no {what}"),
        )),
        Day::Missed(None, _) | Day::Overlapped(_) | Day::Nothing => Err((
            Verdict::Failed,
            format!("there is no run whose {what} could be looked for"),
        )),
    }
}

/// A report that is not there: not there yet, while the run is going.
pub(super) fn unreported(day: &Day<'_>, words: String) -> Answer {
    match day {
        Day::Running(_) => (
            Verdict::Unknown,
            format!("{words} yet; the run is still going"),
        ),
        _ => (Verdict::Failed, words),
    }
}
