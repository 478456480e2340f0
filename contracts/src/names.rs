//! The names that users, alerts and other programs meet. They do not change.

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};

use domain::{ActivityId, RunId};

/// The task queue on which workflows run.
pub const WORKFLOW_TASK_QUEUE: &str = "orchestrator-tq";

/// The task queue on which long or outward activities run.
pub const ACTIVITY_TASK_QUEUE: &str = "task-execution-tq";

/// The search attribute (Keyword) with the activity's id.
pub const SEARCH_ATTRIBUTE_ACTIVITY_ID: &str = "ActivityId";

/// The search attribute (Keyword) with the activity's name.
pub const SEARCH_ATTRIBUTE_ACTIVITY_NAME: &str = "ActivityName";

/// The workflow type of a run.
pub const WORKFLOW_TYPE: &str = "ActivityRun";

/// The JetStream stream of events.
pub const EVENT_STREAM: &str = "ACTIVITY_EVENTS";

/// The subjects of [`EVENT_STREAM`].
pub const EVENT_SUBJECTS: &str = "activity.>";

/// The durable pull consumer that all event routers share.
pub const EVENT_CONSUMER: &str = "activity-core-event-router";

/// The JetStream stream of dead letters.
pub const DEAD_LETTER_STREAM: &str = "ACTIVITY_DLQ";

/// The subjects of [`DEAD_LETTER_STREAM`].
pub const DEAD_LETTER_SUBJECTS: &str = "activity-dlq.>";

/// The event type of the State Hub progress entry that feedback on a run becomes.
pub const FEEDBACK_EVENT_TYPE: &str = "calibration_feedback";

/// The field manager of every server-side apply.
pub const FIELD_MANAGER: &str = "activity-core.io/operator";

/// The finalizer that keeps a definition until its Schedule and mirror row are gone.
pub const FINALIZER: &str = "activity-core.io/schedule";

/// The annotation that asks for a manual run; its value is the request id.
pub const TRIGGER_ANNOTATION: &str = "activity-core.io/trigger";

/// The annotation that asks for a reconcile; its value is any text that was not there before, and
/// comes back in `status.lastHandledReconcile`.
pub const RECONCILE_ANNOTATION: &str = "activity-core.io/reconcile";

/// The id of an activity's Temporal Schedule.
pub fn schedule_id(activity: ActivityId) -> String {
    format!("{SCHEDULE_PREFIX}{activity}")
}

const SCHEDULE_PREFIX: &str = "activity-schedule-";

/// The activity whose Schedule has this id; `None` for a Schedule that is not ours.
pub fn activity_of_schedule(schedule_id: &str) -> Option<ActivityId> {
    schedule_id.strip_prefix(SCHEDULE_PREFIX)?.parse().ok()
}

/// The workflow id that a Schedule's action has. Temporal appends `-` and the nominal time.
pub fn scheduled_workflow_id(activity: ActivityId) -> String {
    format!("activity-run-{activity}")
}

/// The workflow id that the run of a nominal time has: the Schedule's, and the time that Temporal
/// appends.
pub fn workflow_id_at(activity: ActivityId, nominal: DateTime<Utc>) -> String {
    let nominal = nominal.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!("{}-{nominal}", scheduled_workflow_id(activity))
}

/// The workflow id of an event's run. It holds the run id, so that equal event ids of two
/// sources stay two runs.
pub fn event_workflow_id(activity: ActivityId, run: RunId) -> String {
    format!("activity-event-{activity}-{run}")
}

/// The workflow id of a manual run.
pub fn manual_workflow_id(activity: ActivityId, request_id: &str) -> String {
    format!("activity-manual-{activity}-{request_id}")
}

/// The workflow id of the run that makes up for a nominal time. The same time is always the same
/// workflow, and never that of the Schedule.
pub fn backfill_workflow_id(activity: ActivityId, nominal: DateTime<Utc>) -> String {
    let nominal = nominal.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!("activity-backfill-{activity}-{nominal}")
}

/// The nominal time that Temporal appended to a scheduled workflow's id, to the second; `None`
/// when the id is not that of a scheduled run of this activity.
pub fn nominal_time(activity: ActivityId, workflow_id: &str) -> Option<DateTime<Utc>> {
    let suffix = workflow_id
        .strip_prefix(&scheduled_workflow_id(activity))?
        .strip_prefix('-')?;
    let time: DateTime<Utc> = suffix.parse().ok()?;
    Some(time.trunc_subsecs(0))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn activity() -> ActivityId {
        "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f".parse().unwrap()
    }

    #[test]
    fn a_schedule_id_leads_back_to_its_activity() {
        assert_eq!(
            activity_of_schedule(&schedule_id(activity())),
            Some(activity())
        );
        assert_eq!(activity_of_schedule("somebody-elses"), None);
        assert_eq!(activity_of_schedule("activity-schedule-x"), None);
    }

    #[test]
    fn the_nominal_time_is_read_from_the_workflow_id() {
        let nominal = Utc.with_ymd_and_hms(2026, 11, 24, 0, 26, 49).unwrap();
        let id = format!("{}-2026-11-24T00:26:49Z", scheduled_workflow_id(activity()));
        assert_eq!(nominal_time(activity(), &id), Some(nominal));
        assert_eq!(workflow_id_at(activity(), nominal), id);
        assert_eq!(nominal_time(activity(), "activity-run-x"), None);
        assert_eq!(
            nominal_time(activity(), &scheduled_workflow_id(activity())),
            None
        );
    }
}
