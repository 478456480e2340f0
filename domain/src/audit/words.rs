//! The words of the evidence: what a person on call reads at three in the morning.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::{
    Asked, Expected, Finding, FoundWorkflow, HowClosed, Period, PeriodState, ScheduleSeen,
    ScheduledRun, WindowCause,
};
use crate::{OverlapPolicy, RunOutcome};

pub(super) fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(super) fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 7200 && seconds.is_multiple_of(3600) => {
            format!("{} h", seconds / 3600)
        }
        seconds if seconds >= 120 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

/// Why the time was expected.
fn expectation(expected: Expected<'_>) -> String {
    let Expected { time, period } = expected;
    let Some(trigger) = &period.in_force.trigger else {
        return format!("expected at {}", shown(time));
    };
    format!(
        "expected at {} ({}) by \"{}\", in force since {} (generation {})",
        shown(time),
        trigger.schedule.time_zone.shown(time),
        trigger.schedule.expression,
        shown(period.from),
        period.generation
    )
}

/// A run that was left out on purpose, for the reason of `because`, or of a window that nobody was
/// there to carry out.
pub(super) fn left_out(
    expected: Expected<'_>,
    because: &Period,
    window: Option<&WindowCause>,
) -> Finding {
    let declared = match &because.in_force.state {
        PeriodState::Maintenance(cause) => Some(cause),
        PeriodState::Active | PeriodState::Disabled | PeriodState::Withdrawn => window,
    };
    let mut facts = vec![expectation(expected)];
    let (outcome, summary) = match declared {
        Some(cause) => {
            facts.push(format!(
                "the maintenance window {} was open: {} (approved by {})",
                cause.name, cause.reason, cause.approved_by
            ));
            (
                RunOutcome::SkippedMaintenance,
                format!(
                    "left out on purpose: maintenance window {}: {} (approved by {})",
                    cause.name, cause.reason, cause.approved_by
                ),
            )
        }
        None => (
            RunOutcome::SkippedDisabled,
            format!(
                "left out on purpose: the definition was disabled (since {}, generation {})",
                shown(because.from),
                because.generation
            ),
        ),
    };
    if window.is_some() {
        facts.push(
            "no operator was there to pause the Schedule; the window had been declared before"
                .to_owned(),
        );
    } else {
        facts.push(pause(because));
    }
    facts.push("the ledger has no run of it".to_owned());
    Finding {
        outcome,
        summary,
        facts,
        workflow: None,
        window: declared.cloned(),
    }
}

fn pause(because: &Period) -> String {
    let until = because.until.map_or_else(
        || "and still is".to_owned(),
        |until| format!("until {}", shown(until)),
    );
    format!(
        "the Schedule was paused by the operator from {} on {until}",
        shown(because.from)
    )
}

/// A run that Temporal has and the ledger has not.
pub(super) fn in_temporal(
    expected: Expected<'_>,
    asked: &Asked<'_>,
    workflow: &FoundWorkflow,
) -> Finding {
    let id = asked.workflow_id;
    let began = shown(workflow.started_at);
    let (outcome, summary) = match &workflow.closed {
        None => (
            RunOutcome::Running,
            format!("Temporal began {id} at {began}; no worker has taken it up yet"),
        ),
        Some((closed, HowClosed::Completed)) => (
            RunOutcome::Succeeded,
            format!("Temporal says that {id} completed at {}", shown(*closed)),
        ),
        Some((closed, HowClosed::Otherwise(how))) => (
            RunOutcome::Failed,
            format!(
                "{id} {how} at {} before its end was entered",
                shown(*closed)
            ),
        ),
    };
    Finding {
        outcome,
        facts: vec![
            expectation(expected),
            "the ledger had no run of it".to_owned(),
            format!("Temporal has the workflow {id}, begun at {began}"),
            summary.clone(),
        ],
        summary,
        workflow: Some(workflow.clone()),
        window: None,
    }
}

/// A run that was left out because of another.
pub(super) fn overlapped(
    expected: Expected<'_>,
    asked: &Asked<'_>,
    (open, grace): (&ScheduledRun, Duration),
) -> Finding {
    let policy = expected.period.in_force.trigger.as_ref();
    let policy = policy.map_or(OverlapPolicy::Skip, |trigger| trigger.overlap);
    let ended = open.completed_at.map_or_else(
        || "and has not ended yet".to_owned(),
        |ended| format!("and ended at {}", shown(ended)),
    );
    let mut facts = vec![
        expectation(expected),
        format!(
            "run {} of {} was open then: it began at {} {ended}",
            open.run_id,
            shown(open.scheduled_for),
            open.fired_at.map(shown).unwrap_or_default()
        ),
        format!("the overlap policy was {}", policy.as_str()),
        no_workflow(expected, asked),
    ];
    let late =
        open.completed_at.is_none() && expected.time - open.scheduled_for > super::delta(grace);
    if late {
        facts.push("that run has been going for longer than its grace".to_owned());
    }
    Finding {
        outcome: RunOutcome::SkippedOverlap,
        summary: format!(
            "left out by overlap policy {}: the run of {} ({}) was still going",
            policy.as_str(),
            shown(open.scheduled_for),
            open.run_id
        ),
        facts,
        workflow: None,
        window: None,
    }
}

/// A run that nothing explains.
pub(super) fn missed(
    expected: Expected<'_>,
    asked: &Asked<'_>,
    (due, last): (DateTime<Utc>, Option<&ScheduledRun>),
) -> Finding {
    let (schedule, explanation) = schedule(asked.schedule);
    let mut facts = vec![
        expectation(expected),
        format!("it counted as missing from {} on", shown(due)),
        "the ledger has no run of it".to_owned(),
        no_workflow(expected, asked),
        schedule,
        last.map_or_else(
            || "no earlier run of the Schedule is in sight".to_owned(),
            |last| {
                format!(
                    "the last run before it is that of {}: {}",
                    shown(last.scheduled_for),
                    last.outcome
                )
            },
        ),
    ];
    let gap = asked.gaps.iter().find(|gap| gap.contains(&expected.time));
    facts.extend(gap.map(|gap| {
        format!(
            "no operator was at work from {} to {}",
            shown(gap.start),
            shown(gap.end)
        )
    }));
    Finding {
        outcome: RunOutcome::Missed,
        summary: format!(
            "no run of {}: Temporal has no workflow of it; {explanation}",
            shown(expected.time)
        ),
        facts,
        workflow: None,
        window: None,
    }
}

fn no_workflow(expected: Expected<'_>, asked: &Asked<'_>) -> String {
    let id = asked.workflow_id;
    match asked.retention {
        Some(retention) => format!(
            "Temporal has no workflow {id} (it keeps those that ended for {}; this one was due {})",
            span(retention),
            shown(expected.time)
        ),
        None => format!("Temporal has no workflow {id}"),
    }
}

/// The Schedule as a fact, and what it explains in short.
fn schedule(seen: Option<&ScheduleSeen>) -> (String, String) {
    let Some(seen) = seen else {
        return (
            "Temporal has no Schedule of it".to_owned(),
            "the Schedule is gone".to_owned(),
        );
    };
    let id = &seen.id;
    let next = seen.next.map_or_else(
        || "names no next run".to_owned(),
        |next| format!("says that it runs next at {}", shown(next)),
    );
    let last = seen.last.map_or_else(
        || "has started nothing lately".to_owned(),
        |last| format!("last started the run of {}", shown(last)),
    );
    match (&seen.paused, &seen.exhausted) {
        (Some((note, false)), _) => {
            let words = if note.is_empty() {
                "without a word".to_owned()
            } else {
                format!("\"{note}\"")
            };
            (
                format!("the Schedule {id} is paused by somebody in Temporal: {words}"),
                format!("somebody paused the Schedule in Temporal: {words}"),
            )
        }
        (Some((note, true)), _) => (
            format!("the Schedule {id} is paused by the operator by now: {note}; it {last}"),
            "the Schedule is there".to_owned(),
        ),
        (None, Some(exhausted)) => (
            format!("the Schedule {id} is not paused, but {exhausted}; it {last}"),
            format!("the Schedule has stopped: {exhausted}"),
        ),
        (None, None) => (
            format!("the Schedule {id} is there and not paused; it {last} and {next}"),
            "the Schedule is there and not paused, yet it did not fire".to_owned(),
        ),
    }
}
