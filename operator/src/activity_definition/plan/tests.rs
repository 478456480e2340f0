use chrono::DateTime;
use serde_json::{Value, json};
use store::{MirrorState, RunSummary};

use super::super::observe::Maintenance;
use super::super::validate::validate;
use super::*;

fn desired(spec: Value, maintenance: Maintenance) -> Desired {
    let object = json!({
        "apiVersion": "activity-core.io/v1alpha1", "kind": "ActivityDefinition",
        "metadata": {"name": "daily", "namespace": "one", "generation": 1,
                     "uid": "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f"},
        "spec": spec,
    });
    let object = serde_json::from_value(object).unwrap();
    let observed = Observed {
        maintenance,
        ..nothing()
    };
    validate(&object, &observed, std::time::Duration::from_mins(15)).unwrap()
}

fn nothing() -> Observed {
    Observed {
        now: DateTime::UNIX_EPOCH,
        schedule: Ok(None),
        mirror: Ok(None),
        runs: Ok(RunSummary {
            latest: None,
            latest_ended: None,
            newest_expected: None,
            reported: None,
            missed: 0,
            skipped: 0,
        }),
        rival: None,
        maintenance: Maintenance::default(),
        is_distrusted: false,
    }
}

fn cron() -> Value {
    json!({"trigger": {"cron": {"expression": "0 9 * * *"}}})
}

/// The world as it is after a plan for `desired` was carried out.
fn settled(desired: &Desired) -> Observed {
    Observed {
        schedule: Ok(desired.schedule.as_ref().map(schedule_of)),
        mirror: Ok(Some(mirror_of(desired))),
        ..nothing()
    }
}

fn schedule_of(spec: &ScheduleSpec) -> temporal::Observed {
    temporal::Observed {
        pause: spec.pause.clone(),
        digest: Some(spec.digest()),
        object_uid: Some(spec.object_uid),
        overlap: spec.trigger.overlap,
        missed_catchup_window: 0,
        overlap_skipped: 0,
    }
}

fn mirror_of(desired: &Desired) -> MirrorState {
    MirrorState {
        row: desired.mirror.clone(),
        since: DateTime::UNIX_EPOCH,
        in_force: Some(desired.declared.in_force.clone()),
    }
}

/// The window "upgrade".
fn upgrade() -> Maintenance {
    Maintenance {
        open: Some(domain::audit::WindowCause {
            uid: uuid::Uuid::nil(),
            name: "upgrade".to_owned(),
            reason: "new disks".to_owned(),
            approved_by: "Ada".to_owned(),
        }),
        next_change: None,
    }
}

#[test]
fn what_is_in_force_is_entered_when_it_changes_and_only_then() {
    let before = desired(cron(), Maintenance::default());
    let in_window = desired(cron(), upgrade());
    assert_eq!(
        plan(&in_window, &settled(&before)).mirror,
        MirrorStep::Enter
    );
    assert_eq!(
        plan(&before, &settled(&in_window)).mirror,
        MirrorStep::Enter
    );
    assert_eq!(
        plan(&in_window, &settled(&in_window)).mirror,
        MirrorStep::Keep
    );
    let by_hand = desired(json!({}), Maintenance::default());
    let mut never = settled(&by_hand);
    if let Ok(Some(mirror)) = &mut never.mirror {
        mirror.in_force = None;
    }
    assert_eq!(plan(&by_hand, &never).mirror, MirrorStep::Keep);
}

#[test]
fn a_schedule_that_did_not_fire_is_written_anew_although_it_looks_as_declared() {
    let desired = desired(cron(), Maintenance::default());
    let observed = Observed {
        is_distrusted: true,
        ..settled(&desired)
    };
    assert!(is_replaced(&plan(&desired, &observed).schedule));
}

fn schedule_step(desired: &Desired, schedule: temporal::Observed) -> ScheduleStep {
    let observed = Observed {
        schedule: Ok(Some(schedule)),
        ..settled(desired)
    };
    plan(desired, &observed).schedule
}

const KEEP: ScheduleStep = ScheduleStep::Keep {
    paused_externally: None,
};

fn is_replaced(step: &ScheduleStep) -> bool {
    matches!(step, ScheduleStep::Replace { .. })
}

#[test]
fn what_is_missing_is_made() {
    let desired = desired(cron(), Maintenance::default());
    let plan = plan(&desired, &nothing());
    assert_eq!(plan.mirror, MirrorStep::Write);
    assert!(matches!(plan.schedule, ScheduleStep::Create(_)));
}

#[test]
fn what_is_as_declared_is_not_written() {
    let desired = desired(cron(), Maintenance::default());
    let plan = plan(&desired, &settled(&desired));
    assert_eq!(
        plan,
        Plan {
            mirror: MirrorStep::Keep,
            schedule: KEEP
        }
    );
}

#[test]
fn every_field_of_a_schedule_changes_its_digest() {
    let base = desired(cron(), Maintenance::default());
    let base = base.schedule.unwrap().digest();
    for change in [
        json!({"expression": "1 9 * * *"}),
        json!({"timezone": "Europe/Berlin"}),
        json!({"misfirePolicy": "CatchUp"}),
        json!({"overlapPolicy": "AllowAll"}),
        json!({"jitterSeconds": 5}),
        json!({"startTime": "2026-01-01T00:00:00Z"}),
        json!({"endTime": "2026-01-01T00:00:00Z"}),
    ] {
        let mut spec = cron();
        let cron = spec["trigger"]["cron"].as_object_mut().unwrap();
        cron.extend(change.as_object().unwrap().clone());
        let changed = desired(spec, Maintenance::default());
        assert_ne!(changed.schedule.unwrap().digest(), base, "{change}");
    }
}

#[test]
fn a_schedule_that_was_edited_is_written_anew() {
    let desired = desired(cron(), Maintenance::default());
    let edited = temporal::Observed {
        digest: None,
        ..schedule_of(desired.schedule.as_ref().unwrap())
    };
    assert!(is_replaced(&schedule_step(&desired, edited)));
}

#[test]
fn a_definition_that_lost_its_cron_trigger_loses_its_schedule() {
    let cron = desired(cron(), Maintenance::default());
    let manual = desired(json!({}), Maintenance::default());
    let left_over = schedule_of(cron.schedule.as_ref().unwrap());
    assert_eq!(schedule_step(&manual, left_over), ScheduleStep::Delete);
    assert_eq!(plan(&manual, &settled(&manual)).schedule, KEEP);
}

#[test]
fn a_pause_by_hand_stays_or_goes_as_declared() {
    let by_hand = |desired: &Desired| temporal::Observed {
        pause: Pause::Because {
            owner: PauseOwner::External,
            reason: "paused by Ada".to_owned(),
        },
        digest: None,
        ..schedule_of(desired.schedule.as_ref().unwrap())
    };
    let report = desired(cron(), Maintenance::default());
    let step = schedule_step(&report, by_hand(&report));
    let ScheduleStep::Replace {
        spec,
        paused_externally,
    } = step
    else {
        panic!("the digest is not put back: {step:?}");
    };
    assert_eq!(paused_externally.as_deref(), Some("paused by Ada"));
    // Once written back with its digest, it is left alone.
    assert_eq!(
        schedule_step(&report, schedule_of(&spec)),
        ScheduleStep::Keep { paused_externally }
    );

    let mut spec = cron();
    spec["externalPausePolicy"] = json!("Repair");
    let repair = desired(spec, Maintenance::default());
    let step = schedule_step(&repair, by_hand(&repair));
    let ScheduleStep::Replace { spec, .. } = step else {
        panic!("not repaired: {step:?}");
    };
    assert_eq!(spec.pause, Pause::No);
}

#[test]
fn a_disabled_definition_and_an_open_window_pause_and_resume() {
    let mut spec = cron();
    spec["enabled"] = json!(false);
    let enabled = desired(cron(), Maintenance::default());
    let disabled = desired(spec, Maintenance::default());
    let in_window = desired(cron(), upgrade());
    let running = schedule_of(enabled.schedule.as_ref().unwrap());
    for paused in [&disabled, &in_window] {
        assert!(is_replaced(&schedule_step(paused, running.clone())));
        let ours = schedule_of(paused.schedule.as_ref().unwrap());
        // Our own pause is no pause by hand: it ends with its reason.
        assert!(is_replaced(&schedule_step(&enabled, ours)));
    }
}

#[test]
fn nothing_is_decided_about_what_could_not_be_seen() {
    let desired = desired(cron(), Maintenance::default());
    let blind = Observed {
        schedule: Err(temporal::Error::Malformed {
            operation: "describe a Schedule",
            missing: "schedule",
        }),
        mirror: Err(store::Error::Unreadable {
            table: "activity_definitions",
            problem: String::new(),
        }),
        ..nothing()
    };
    let plan = plan(&desired, &blind);
    assert_eq!(plan.mirror, MirrorStep::Unknown);
    assert_eq!(plan.schedule, ScheduleStep::Unknown);
}

/// A list from before, as an API server gives it whose cache is behind, must not bring back the
/// spec from before.
#[test]
fn what_is_mirrored_of_a_newer_generation_is_not_undone_on_the_word_of_a_cache() {
    let old = desired(cron(), Maintenance::default());
    let mut newer = settled(&old);
    if let Ok(Some(mirror)) = &mut newer.mirror {
        mirror.row.generation += 1;
    }
    assert!(plan(&old, &newer).needs_newest(&old, &newer));
    if let Ok(Some(mirror)) = &mut newer.mirror {
        mirror.row.uid = uuid::Uuid::nil();
    }
    assert!(!plan(&old, &newer).needs_newest(&old, &newer));
    let as_declared = settled(&old);
    assert!(!plan(&old, &as_declared).needs_newest(&old, &as_declared));
}
