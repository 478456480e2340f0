//! Decides whether the last expected run is proven: the condition RunVerified, and what the paging
//! policy asks of a definition's runs.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::workflow::format_time;
use crds::condition::reasons;
use domain::audit::{Expected, History, InForce, Period, PeriodState};
use domain::{Definition, RunOutcome, Trigger};
use store::RunSummary;

use super::observe::Observed;

/// How long after it can be told what became of a run the audit may take to enter it.
const AUDIT_TAKES: TimeDelta = TimeDelta::seconds(60);

/// The condition's status, reason and message.
pub(super) type Verified = (&'static str, &'static str, String);

/// Whether the last expected run is proven.
pub(super) fn verified(definition: Option<&Definition>, observed: &Observed) -> Verified {
    let runs = match &observed.runs {
        Err(error) => {
            let problem = runtime::describe(error);
            return ("Unknown", reasons::POSTGRES_UNAVAILABLE, problem);
        }
        Ok(runs) => runs,
    };
    if let Some(undecided) = definition.and_then(|definition| undecided(definition, observed, runs))
    {
        return (
            "Unknown",
            reasons::RUN_UNDECIDED,
            format!(
                "the run of {} is past its grace and has no row: the audit has not been able to \
                 decide on it, as when Temporal can't be asked",
                format_time(undecided)
            ),
        );
    }
    if let Some(missing) = runs.newest_expected.as_ref().filter(|run| run.is_missing()) {
        let why = missing.error.as_deref().unwrap_or("nothing is known of it");
        return ("False", reasons::RUN_MISSED, why.to_owned());
    }
    by_latest(runs)
}

/// What the newest run says: the newest that has ended, because one that is still going proves
/// nothing yet, and disproves nothing.
fn by_latest(runs: &RunSummary) -> Verified {
    let Some(latest) = runs.latest_ended.as_ref().or(runs.latest.as_ref()) else {
        let nothing = "no run was expected yet".to_owned();
        return ("Unknown", reasons::NO_RUN_EXPECTED, nothing);
    };
    let what = format!("run {} ({})", latest.run_id, latest.trigger_key);
    let error = latest.error.as_deref();
    match latest.outcome {
        RunOutcome::Succeeded => ("True", reasons::RUN_SUCCEEDED, format!("{what} succeeded")),
        RunOutcome::Running => (
            "Unknown",
            reasons::RUN_IN_PROGRESS,
            format!("{what} is running"),
        ),
        RunOutcome::SkippedOverlap
        | RunOutcome::SkippedMaintenance
        | RunOutcome::SkippedDisabled => (
            "True",
            reasons::SUSPENDED,
            format!("{what}: {}", error.unwrap_or(latest.outcome.as_str())),
        ),
        RunOutcome::Missed => (
            "False",
            reasons::RUN_MISSED,
            error.map_or_else(|| format!("{what} is missing"), str::to_owned),
        ),
        RunOutcome::Failed => (
            "False",
            reasons::RUN_FAILED,
            format!(
                "{what} failed: {}",
                error.unwrap_or("the ledger says no reason")
            ),
        ),
    }
}

/// The last expected time of which the ledger should have a row by now and has none. What is ok
/// must not stay ok because nobody could look.
fn undecided(
    definition: &Definition,
    observed: &Observed,
    runs: &RunSummary,
) -> Option<DateTime<Utc>> {
    let Ok(Some(mirror)) = &observed.mirror else {
        return None;
    };
    if !definition.enabled || observed.maintenance.open.is_some() {
        return None;
    }
    let history = history(definition, mirror.since)?;
    let period = history.periods.first()?;
    let margin = history.due(Expected {
        time: observed.now,
        period,
    }) - observed.now
        + AUDIT_TAKES;
    let until = observed.now - margin;
    // Looking back a year at most finds the last time of every cron that matters, and a cron
    // that fires each second is not unrolled over more than its last hour.
    let last_due = [TimeDelta::hours(1), TimeDelta::days(366)]
        .into_iter()
        .find_map(|span| {
            let from = (until - span).max(mirror.since + domain::audit::SETTLING);
            let trigger = period.in_force.trigger.as_ref()?;
            trigger.schedule.occurrences(from, until).last().copied()
        })?;
    let newest = runs.newest_expected.as_ref().map(|run| run.scheduled_for);
    newest
        .is_none_or(|newest| newest < last_due)
        .then_some(last_due)
}

fn history(definition: &Definition, since: DateTime<Utc>) -> Option<History> {
    let Trigger::Cron(trigger) = &definition.trigger else {
        return None;
    };
    Some(History {
        periods: vec![Period {
            from: since,
            until: None,
            in_force: InForce {
                trigger: Some(trigger.clone()),
                state: PeriodState::Active,
            },
            generation: 0,
        }],
        runs: Vec::new(),
        grace: definition.grace,
    })
}

/// Whether the newest expected run is missing, as the paging policy means it.
pub(super) fn is_run_missing(definition: &Definition, runs: &RunSummary) -> bool {
    definition.enabled
        && matches!(definition.trigger, Trigger::Cron(_))
        && runs
            .newest_expected
            .as_ref()
            .is_some_and(store::ExpectedRun::is_missing)
}

/// Whether the newest run that completed should have reported and none of its sinks has it. A run
/// from before the definition declared reports has nothing to answer for.
pub(super) fn are_reports_missing(definition: &Definition, observed: &Observed) -> bool {
    let Ok(Some(reported)) = observed.runs.as_ref().map(|runs| runs.reported) else {
        return false;
    };
    let since = observed.mirror.as_ref().ok().and_then(Option::as_ref);
    let is_of_this_spec = since.is_some_and(|mirror| reported.fired_at >= mirror.since);
    !definition.reports.is_empty()
        && reported.present == 0
        && (reported.tried > 0 || is_of_this_spec)
}

/// When the next expected run's grace ends, so that its absence can be told.
pub(super) fn next_verification(
    definition: &Definition,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    if !definition.enabled {
        return None;
    }
    let history = history(definition, now)?;
    let period = history.periods.first()?;
    let margin = history.due(Expected { time: now, period }) - now + AUDIT_TAKES;
    let trigger = period.in_force.trigger.as_ref()?;
    let next = trigger.schedule.next_after(now - margin)?;
    next.checked_add_signed(margin)
}

#[cfg(test)]
mod tests {
    use domain::{ActivityId, RunId};
    use serde_json::json;
    use store::{ExpectedRun, MadeUp, MirrorRow, MirrorState, Reported, Run};
    use uuid::Uuid;

    use super::super::observe::Maintenance;
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-24T{text}Z").parse().unwrap()
    }

    fn definition() -> Definition {
        let spec: crds::ActivityDefinitionSpec = serde_json::from_value(json!({
            "trigger": {"cron": {"expression": "0 * * * *"}},
            "reports": [{"name": "hub", "stateHub": {"eventType": "x"}}],
            "verification": {"graceSeconds": 600},
        }))
        .unwrap();
        spec.validate(ActivityId::new(Uuid::nil()), "hourly")
            .unwrap()
    }

    fn expected(time: &str, outcome: RunOutcome) -> ExpectedRun {
        ExpectedRun {
            run_id: RunId::new(Uuid::from_u128(1)),
            activity: ActivityId::new(Uuid::nil()),
            activity_name: "hourly".to_owned(),
            scheduled_for: at(time),
            fired_at: None,
            completed_at: Some(at(time)),
            outcome,
            error: Some("no run of it".to_owned()),
            evidence: Vec::new(),
            made_up_by: None,
        }
    }

    fn latest(outcome: RunOutcome) -> Run {
        Run {
            run_id: RunId::new(Uuid::from_u128(1)),
            activity: ActivityId::new(Uuid::nil()),
            activity_name: "hourly".to_owned(),
            trigger_key: "manual/1".to_owned(),
            scheduled_for: None,
            fired_at: Some(at("09:30:00")),
            completed_at: Some(at("09:31:00")),
            outcome,
            error: None,
            workflow_id: None,
            trace_id: None,
            usage: None,
            sort_time: at("09:30:00"),
        }
    }

    fn observed(now: &str, newest: Option<ExpectedRun>) -> Observed {
        let row: MirrorRow = MirrorRow {
            activity_id: Uuid::nil(),
            namespace: "one".to_owned(),
            name: "hourly".to_owned(),
            uid: Uuid::nil(),
            generation: 1,
            display_name: "hourly".to_owned(),
            enabled: true,
            event_type: None,
            spec: json!({}),
        };
        Observed {
            now: at(now),
            schedule: Ok(None),
            mirror: Ok(Some(MirrorState {
                row,
                since: at("00:30:00"),
                in_force: None,
            })),
            runs: Ok(RunSummary {
                latest: Some(latest(RunOutcome::Succeeded)),
                latest_ended: Some(latest(RunOutcome::Succeeded)),
                newest_expected: newest,
                reported: None,
                missed: 0,
                skipped: 0,
            }),
            rival: None,
            maintenance: Maintenance::default(),
            is_distrusted: false,
        }
    }

    fn reason(now: &str, newest: Option<ExpectedRun>) -> (&'static str, &'static str) {
        let (status, reason, _) = verified(Some(&definition()), &observed(now, newest));
        (status, reason)
    }

    #[test]
    fn a_missing_run_is_not_hidden_by_one_that_was_started_by_hand() {
        let missed = expected("09:00:00", RunOutcome::Missed);
        assert_eq!(
            reason("09:40:00", Some(missed.clone())),
            ("False", reasons::RUN_MISSED)
        );
        let made_up = ExpectedRun {
            made_up_by: Some(MadeUp {
                run_id: RunId::new(Uuid::from_u128(2)),
                outcome: RunOutcome::Succeeded,
            }),
            ..missed
        };
        assert_eq!(
            reason("09:40:00", Some(made_up)),
            ("True", reasons::RUN_SUCCEEDED)
        );
    }

    #[test]
    fn what_the_audit_could_not_decide_is_unknown_and_never_true() {
        let eight = || Some(expected("08:00:00", RunOutcome::Succeeded));
        assert_eq!(reason("09:10:59", eight()).0, "True");
        assert_eq!(
            reason("09:11:01", eight()),
            ("Unknown", reasons::RUN_UNDECIDED)
        );
        let nine = Some(expected("09:00:00", RunOutcome::Running));
        assert_eq!(reason("09:11:01", nine).0, "True");
        assert_eq!(
            next_verification(&definition(), at("09:11:00")),
            Some(at("10:11:00"))
        );
    }

    #[test]
    fn reports_are_missing_when_no_sink_has_the_newest_completed_run() {
        let missing = |tried, present, fired_at| {
            let mut observed = observed("09:40:00", None);
            if let Ok(runs) = &mut observed.runs {
                runs.reported = Some(Reported {
                    fired_at: at(fired_at),
                    tried,
                    present,
                });
            }
            are_reports_missing(&definition(), &observed)
        };
        assert!(missing(1, 0, "09:30:00"));
        assert!(missing(0, 0, "09:30:00"));
        assert!(!missing(2, 1, "09:30:00"));
        // It ran before reports were declared.
        assert!(!missing(0, 0, "00:10:00"));
    }
}
