use super::*;
use crate::{CronExpression, CronSchedule, TimeZone};

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-11-24T{text}Z").parse().unwrap()
}

fn trigger(expression: &str) -> CronTrigger {
    CronTrigger {
        schedule: CronSchedule {
            expression: CronExpression::parse(expression).unwrap(),
            time_zone: TimeZone::UTC,
            start: None,
            end: None,
        },
        catch_up: CatchUp::Skip,
        overlap: OverlapPolicy::Skip,
        jitter: Duration::ZERO,
    }
}

fn hourly() -> CronTrigger {
    trigger("0 * * * *")
}

fn window() -> WindowCause {
    WindowCause {
        uid: Uuid::from_u128(9),
        name: "upgrade".to_owned(),
        reason: "new disks".to_owned(),
        approved_by: "Ada".to_owned(),
    }
}

fn period(from: &str, until: Option<&str>, state: PeriodState) -> Period {
    Period {
        from: at(from),
        until: until.map(at),
        in_force: InForce {
            trigger: (state != PeriodState::Withdrawn).then(hourly),
            state,
        },
        generation: 3,
    }
}

fn active() -> Vec<Period> {
    vec![period("00:00:00", None, PeriodState::Active)]
}

fn run(time: &str, fired: Option<&str>, completed: Option<&str>) -> ScheduledRun {
    ScheduledRun {
        run_id: RunId::new(Uuid::from_u128(u128::from(
            at(time).timestamp().unsigned_abs(),
        ))),
        scheduled_for: at(time),
        fired_at: fired.map(at),
        completed_at: completed.map(at),
        outcome: match (fired, completed) {
            (None, _) => RunOutcome::Missed,
            (Some(_), None) => RunOutcome::Running,
            (Some(_), Some(_)) => RunOutcome::Succeeded,
        },
    }
}

fn history(periods: Vec<Period>, runs: Vec<ScheduledRun>) -> History {
    History {
        periods,
        runs,
        grace: Duration::from_mins(15),
    }
}

fn look(history: &History, time: &str, now: &str) -> Look {
    let expected = history.expected(at(time), at(time) + TimeDelta::seconds(1), 10);
    history.look(expected[0], at(now))
}

fn outcome(look: &Look) -> Option<RunOutcome> {
    match look {
        Look::Enter(finding) => Some(finding.outcome),
        Look::Settled | Look::NotExpected | Look::Wait(_) | Look::Ask => None,
    }
}

fn schedule() -> ScheduleSeen {
    ScheduleSeen {
        id: "activity-schedule-1".to_owned(),
        paused: None,
        next: Some(at("10:00:00")),
        last: Some(at("08:00:00")),
        exhausted: None,
    }
}

fn nothing(schedule: Option<&ScheduleSeen>) -> Asked<'_> {
    Asked {
        workflow_id: "activity-run-1-2026-11-24T09:00:00Z",
        workflow: None,
        schedule,
        retention: Some(Duration::from_hours(72)),
        gaps: &[],
        declared_window: None,
    }
}

fn judge(history: &History, time: &str, asked: &Asked<'_>, now: &str) -> Verdict {
    let expected = history.expected(at(time), at(time) + TimeDelta::seconds(1), 10);
    history.judge(expected[0], asked, at(now))
}

fn entered(verdict: Verdict) -> Finding {
    match verdict {
        Verdict::Enter(finding) => finding,
        Verdict::Wait(until) => panic!("waits until {until}"),
    }
}

#[test]
fn what_the_ledger_has_is_settled_however_it_stands() {
    for run in [
        run("09:00:00", Some("09:00:01"), None),
        run("09:00:00", Some("09:14:00"), Some("09:20:00")),
        run("09:00:00", None, Some("09:20:00")),
    ] {
        let history = history(active(), vec![run]);
        assert_eq!(look(&history, "09:00:00", "09:00:30"), Look::Settled);
    }
}

#[test]
fn an_absent_run_is_asked_for_when_its_grace_is_over_and_not_before() {
    let history = history(active(), Vec::new());
    assert_eq!(
        look(&history, "09:00:00", "09:00:59"),
        Look::Wait(at("09:01:00"))
    );
    assert_eq!(
        look(&history, "09:00:00", "09:01:00"),
        Look::Wait(at("09:15:00"))
    );
    assert_eq!(look(&history, "09:00:00", "09:15:00"), Look::Ask);
}

#[test]
fn jitter_and_the_catch_up_window_put_off_when_a_run_is_missing() {
    let mut periods = active();
    let declared = periods[0].in_force.trigger.as_mut().unwrap();
    declared.jitter = Duration::from_mins(5);
    declared.catch_up = CatchUp::Within(Duration::from_hours(1));
    let waiting = history(periods.clone(), Vec::new());
    assert_eq!(
        look(&waiting, "09:00:00", "09:25:00"),
        Look::Wait(at("10:20:00"))
    );
    // Temporal catches up in order: what is behind a later start does not come any more.
    let later = run("10:00:00", Some("10:01:00"), Some("10:02:00"));
    let passed = history(periods, vec![later]);
    assert_eq!(look(&passed, "09:00:00", "10:03:00"), Look::Ask);
}

#[test]
fn what_was_in_force_then_decides_and_not_what_is_now() {
    let disabled = vec![
        period("00:00:00", Some("08:30:00"), PeriodState::Active),
        period("08:30:00", Some("09:30:00"), PeriodState::Disabled),
        period("09:30:00", None, PeriodState::Active),
    ];
    let history = history(disabled, Vec::new());
    let left_out = look(&history, "09:00:00", "12:00:00");
    assert_eq!(outcome(&left_out), Some(RunOutcome::SkippedDisabled));
    assert_eq!(look(&history, "08:00:00", "12:00:00"), Look::Ask);
    assert_eq!(look(&history, "10:00:00", "12:00:00"), Look::Ask);
}

#[test]
fn a_window_is_named_with_its_reason_and_who_approved_it() {
    let maintenance = vec![
        period("00:00:00", Some("08:30:00"), PeriodState::Active),
        period("08:30:00", None, PeriodState::Maintenance(window())),
    ];
    let history = history(maintenance, Vec::new());
    let Look::Enter(finding) = look(&history, "09:00:00", "09:01:00") else {
        panic!("nothing was entered");
    };
    assert_eq!(finding.outcome, RunOutcome::SkippedMaintenance);
    assert_eq!(
        finding.summary,
        "left out on purpose: maintenance window upgrade: new disks (approved by Ada)"
    );
    assert_eq!(finding.window, Some(window()));
}

#[test]
fn nothing_is_expected_before_the_first_period_or_while_withdrawn() {
    let withdrawn = vec![
        period("08:30:00", Some("10:30:00"), PeriodState::Active),
        period("10:30:00", Some("11:30:00"), PeriodState::Withdrawn),
        period("11:30:00", None, PeriodState::Active),
    ];
    let history = history(withdrawn, Vec::new());
    let times: Vec<_> = history
        .expected(at("00:00:00"), at("12:30:00"), 100)
        .iter()
        .map(|expected| expected.time)
        .collect();
    assert_eq!(times, [at("09:00:00"), at("10:00:00"), at("12:00:00")]);
    assert_eq!(history.expected(at("00:00:00"), at("12:30:00"), 2).len(), 2);
}

/// The Schedule follows a change of the spec by a moment, on either side.
#[test]
fn a_time_right_at_a_change_is_judged_by_both_sides() {
    use PeriodState::{Active, Disabled};
    let nightly = InForce {
        trigger: Some(trigger("30 3 * * *")),
        state: PeriodState::Active,
    };
    let hourly = |state| InForce {
        trigger: Some(hourly()),
        state,
    };
    let cases = [
        // Right after the beginning.
        (None, "08:59:55", hourly(Active), Look::NotExpected),
        (None, "08:59:45", hourly(Active), Look::Ask),
        (
            Some(nightly.clone()),
            "08:59:55",
            hourly(Active),
            Look::NotExpected,
        ),
        (
            Some(InForce::WITHDRAWN),
            "08:59:55",
            hourly(Active),
            Look::NotExpected,
        ),
        // Expected before and after: the change is no excuse.
        (Some(hourly(Active)), "08:59:55", hourly(Active), Look::Ask),
        // Right before the end.
        (
            Some(hourly(Active)),
            "09:00:01",
            nightly.clone(),
            Look::NotExpected,
        ),
        (Some(hourly(Active)), "09:00:05", nightly, Look::Ask),
        (
            Some(hourly(Active)),
            "09:00:01",
            InForce::WITHDRAWN,
            Look::NotExpected,
        ),
    ];
    for (before, change, after, expected) in cases {
        let mut periods = Vec::new();
        periods.extend(before.map(|in_force| Period {
            from: at("00:00:00"),
            until: Some(at(change)),
            in_force,
            generation: 1,
        }));
        periods.push(Period {
            from: at(change),
            until: None,
            in_force: after,
            generation: 2,
        });
        let history = history(periods.clone(), Vec::new());
        assert_eq!(
            look(&history, "09:00:00", "09:30:00"),
            expected,
            "{periods:#?}"
        );
    }
    // Enabled a moment before, and the Schedule was still paused; disabled a moment after.
    for (before, change, after) in [
        (Disabled, "08:59:55", Active),
        (Active, "09:00:01", Disabled),
    ] {
        let periods = vec![
            period("00:00:00", Some(change), before),
            period(change, None, after),
        ];
        let found = look(&history(periods, Vec::new()), "09:00:00", "09:30:00");
        assert_eq!(outcome(&found), Some(RunOutcome::SkippedDisabled));
    }
}

#[test]
fn a_run_that_was_open_explains_what_was_left_out() {
    let long = run("08:00:00", Some("08:00:01"), Some("09:40:00"));
    let history = history(active(), vec![long.clone()]);
    // It can be told at once, but Temporal has the last word.
    assert_eq!(look(&history, "09:00:00", "09:01:00"), Look::Ask);
    let seen = schedule();
    let finding = entered(judge(
        &history,
        "09:00:00",
        &nothing(Some(&seen)),
        "09:01:00",
    ));
    assert_eq!(finding.outcome, RunOutcome::SkippedOverlap);
    assert!(finding.summary.contains(&long.run_id.to_string()));
}

#[test]
fn a_run_that_had_ended_explains_nothing() {
    let short = run("08:00:00", Some("08:00:01"), Some("08:59:50"));
    let history = history(active(), vec![short]);
    let seen = schedule();
    let finding = entered(judge(
        &history,
        "09:00:00",
        &nothing(Some(&seen)),
        "09:15:00",
    ));
    assert_eq!(finding.outcome, RunOutcome::Missed);
    let early = judge(&history, "09:00:00", &nothing(Some(&seen)), "09:01:00");
    assert!(matches!(early, Verdict::Wait(_)));
}

#[test]
fn each_overlap_policy_waits_skips_or_does_neither() {
    let open = run("07:00:00", Some("07:00:01"), None);
    let buffered = run("08:00:00", Some("09:20:00"), None);
    let ended = run("07:00:00", Some("07:00:01"), Some("09:19:00"));
    let later = run("10:00:00", Some("10:00:01"), None);
    let cases = [
        (
            OverlapPolicy::Skip,
            vec![open.clone()],
            Some(RunOutcome::SkippedOverlap),
        ),
        (
            OverlapPolicy::AllowAll,
            vec![open.clone()],
            Some(RunOutcome::Missed),
        ),
        (OverlapPolicy::BufferAll, vec![open.clone()], None),
        (OverlapPolicy::BufferOne, vec![open.clone()], None),
        // Another one was waiting already.
        (
            OverlapPolicy::BufferOne,
            vec![ended.clone(), buffered],
            Some(RunOutcome::SkippedOverlap),
        ),
        // A later one took its place.
        (
            OverlapPolicy::CancelOther,
            vec![ended.clone(), later],
            Some(RunOutcome::SkippedOverlap),
        ),
        (
            OverlapPolicy::TerminateOther,
            vec![ended],
            Some(RunOutcome::Missed),
        ),
    ];
    for (policy, runs, expected) in cases {
        let mut periods = active();
        periods[0].in_force.trigger.as_mut().unwrap().overlap = policy;
        let history = history(periods, runs);
        let seen = schedule();
        let found = match judge(&history, "09:00:00", &nothing(Some(&seen)), "10:05:00") {
            Verdict::Enter(finding) => Some(finding.outcome),
            Verdict::Wait(_) => None,
        };
        assert_eq!(found, expected, "{policy:?} {:#?}", history.runs);
    }
}

#[test]
fn what_is_missed_says_what_was_looked_at() {
    let paused = ScheduleSeen {
        paused: Some(("Ada is looking into it".to_owned(), false)),
        ..schedule()
    };
    let ended = ScheduleSeen {
        exhausted: Some("it has no actions left".to_owned()),
        ..schedule()
    };
    let cases = [
        (None, "the Schedule is gone"),
        (Some(schedule()), "yet it did not fire"),
        (
            Some(paused),
            "somebody paused the Schedule in Temporal: \"Ada is looking into it\"",
        ),
        (Some(ended), "has stopped: it has no actions left"),
    ];
    for (schedule, words) in cases {
        let history = history(active(), Vec::new());
        let asked = nothing(schedule.as_ref());
        let finding = entered(judge(&history, "09:00:00", &asked, "09:15:00"));
        assert_eq!(finding.outcome, RunOutcome::Missed);
        assert!(finding.summary.contains(words), "{}", finding.summary);
        for fact in [
            "generation 3",
            "the ledger has no run",
            "keeps those that ended for 72 h",
        ] {
            assert!(
                finding.facts.iter().any(|line| line.contains(fact)),
                "{fact} is not in {:#?}",
                finding.facts
            );
        }
    }
}

#[test]
fn a_window_that_nobody_could_carry_out_counts_if_it_had_been_declared() {
    let gap = [at("08:00:00")..at("11:00:00")];
    let asked = Asked {
        gaps: &gap,
        declared_window: Some(window()),
        ..nothing(None)
    };
    let history = history(active(), Vec::new());
    let finding = entered(judge(&history, "09:00:00", &asked, "11:00:00"));
    assert_eq!(finding.outcome, RunOutcome::SkippedMaintenance);
    assert!(
        finding
            .facts
            .iter()
            .any(|fact| fact.contains("no operator was there"))
    );

    let asked = Asked {
        declared_window: None,
        ..asked
    };
    let finding = entered(judge(&history, "09:00:00", &asked, "11:00:00"));
    assert_eq!(finding.outcome, RunOutcome::Missed);
    let fact = "no operator was at work from 2026-11-24T08:00:00Z to 2026-11-24T11:00:00Z";
    assert!(finding.facts.iter().any(|line| line == fact));
}

fn workflow(closed: Option<(DateTime<Utc>, HowClosed)>) -> FoundWorkflow {
    FoundWorkflow {
        run_id: "w1".to_owned(),
        started_at: at("09:00:01"),
        closed,
    }
}

#[test]
fn a_workflow_that_only_temporal_has_is_entered_as_it_stands() {
    let terminated = HowClosed::Otherwise("was terminated".to_owned());
    let cases = [
        (None, RunOutcome::Running),
        (
            Some((at("09:01:00"), HowClosed::Completed)),
            RunOutcome::Succeeded,
        ),
        (Some((at("09:01:00"), terminated)), RunOutcome::Failed),
    ];
    for (closed, expected) in cases {
        let asked = Asked {
            workflow: Some(workflow(closed)),
            ..nothing(None)
        };
        let history = history(active(), Vec::new());
        let finding = entered(judge(&history, "09:00:00", &asked, "09:15:00"));
        assert_eq!(finding.outcome, expected);
        assert!(finding.workflow.is_some());
    }
}

#[test]
fn a_row_is_closed_only_when_nothing_of_its_workflow_runs() {
    let row = OpenRow {
        workflow_id: "activity-run-1".to_owned(),
        workflow_run_id: "w1".to_owned(),
        fired_at: at("09:00:01"),
    };
    let terminated = HowClosed::Otherwise("was terminated".to_owned());
    let ended = || Some(workflow(Some((at("09:05:00"), terminated.clone()))));
    let seen = |this, newest| OpenRowSeen {
        this,
        newest,
        retention: Some(Duration::from_hours(1)),
    };
    let failed = |seen: &OpenRowSeen, now: &str| match close(&row, seen, at(now)) {
        LooseEnd::Leave => None,
        LooseEnd::End { reason, .. } => Some(reason),
    };
    // It was reset, and goes on under another run id.
    assert_eq!(
        failed(&seen(ended(), Some(workflow(None))), "09:06:00"),
        None
    );
    assert_eq!(failed(&seen(Some(workflow(None)), None), "09:06:00"), None);
    let reason = failed(&seen(ended(), ended()), "09:06:00").unwrap();
    assert!(reason.contains("was terminated"), "{reason}");
    // Nobody knows it: not at once, and not in the same words before and after the retention.
    assert_eq!(failed(&seen(None, None), "09:10:00"), None);
    let lost = failed(&seen(None, None), "09:30:00").unwrap();
    assert!(lost.contains("its data was lost"), "{lost}");
    let forgotten = failed(&seen(None, None), "11:00:00").unwrap();
    assert!(forgotten.contains("has forgotten"), "{forgotten}");
}
