//! The payloads between those who start runs, the workflow and its activities.
//!
//! They are recorded in Temporal's histories, so fields are only ever added, with a default.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::{ActivityId, Event, RunId, TriggerKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::names;

/// The input of a run's workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRequest {
    /// The activity to run.
    pub activity_id: Uuid,
    /// What started it.
    pub trigger: RunTrigger,
}

/// What started a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum RunTrigger {
    /// The Schedule. The nominal time is the end of the workflow's id, because a Schedule starts
    /// every workflow with the same input.
    Schedule,
    /// An event.
    #[serde(rename_all = "camelCase")]
    Event {
        /// The publisher's id.
        event_id: String,
        /// What happened.
        event_type: String,
        /// Who published it.
        source: String,
        /// When it happened.
        occurred_at: DateTime<Utc>,
        /// What it happened to.
        subject: Option<String>,
        /// The trace it belongs to.
        trace_id: Option<String>,
        /// What the publisher says about it.
        payload: Value,
    },
    /// A request.
    #[serde(rename_all = "camelCase")]
    Manual {
        /// The request's id; the same id twice is one run.
        request_id: String,
    },
    /// A past time that is made up for.
    #[serde(rename_all = "camelCase")]
    Backfill {
        /// The nominal time.
        scheduled_for: DateTime<Utc>,
    },
}

/// A scheduled workflow whose id has no nominal time in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the workflow id \"{workflow_id}\" does not end in the nominal time of a run of activity \
     {activity}; scheduled runs are started by the Schedule only"
)]
pub struct NoNominalTime {
    workflow_id: String,
    activity: ActivityId,
}

impl RunRequest {
    /// The request that `event` makes for an activity.
    pub fn of_event(activity: ActivityId, event: &Event) -> Self {
        Self {
            activity_id: activity.as_uuid(),
            trigger: RunTrigger::Event {
                event_id: event.event_id.clone(),
                event_type: event.event_type.clone(),
                source: event.source.clone(),
                occurred_at: event.occurred_at,
                subject: event.subject.clone(),
                trace_id: event.trace_id.clone(),
                payload: event.payload.clone(),
            },
        }
    }

    /// The activity to run.
    pub const fn activity(&self) -> ActivityId {
        ActivityId::new(self.activity_id)
    }

    /// The key of the trigger, given the id of the workflow that has this input.
    pub fn trigger_key(&self, workflow_id: &str) -> Result<TriggerKey, NoNominalTime> {
        Ok(match &self.trigger {
            RunTrigger::Schedule => names::nominal_time(self.activity(), workflow_id)
                .map(TriggerKey::Schedule)
                .ok_or_else(|| NoNominalTime {
                    workflow_id: workflow_id.to_owned(),
                    activity: self.activity(),
                })?,
            RunTrigger::Event {
                source, event_id, ..
            } => TriggerKey::Event {
                source: source.clone(),
                event_id: event_id.clone(),
            },
            RunTrigger::Manual { request_id } => TriggerKey::Manual {
                request_id: request_id.clone(),
            },
            RunTrigger::Backfill { scheduled_for } => TriggerKey::Backfill(*scheduled_for),
        })
    }

    /// The trace that the run belongs to, if its trigger carries one.
    pub fn trace_id(&self) -> Option<&str> {
        match &self.trigger {
            RunTrigger::Event { trace_id, .. } => trace_id.as_deref(),
            RunTrigger::Schedule | RunTrigger::Manual { .. } | RunTrigger::Backfill { .. } => None,
        }
    }
}

/// The result of a run's workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// The run (`activity_core_run_id`).
    pub run_id: Uuid,
    /// How it ended: a [`domain::RunOutcome`] by name.
    pub outcome: String,
}

impl RunResult {
    /// The result of a run that succeeded.
    pub fn succeeded(run: RunId) -> Self {
        Self {
            run_id: run.as_uuid(),
            outcome: domain::RunOutcome::Succeeded.as_str().to_owned(),
        }
    }
}

/// An instant as all our JSON writes it: RFC 3339 in UTC, to the second.
pub fn format_time(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_shapes_in_recorded_histories_stay_readable() {
        let shapes = [
            json!({"activityId": "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f", "trigger": {"kind": "schedule"}}),
            json!({"activityId": "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f",
                   "trigger": {"kind": "manual", "requestId": "r1"}}),
            json!({"activityId": "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f",
                   "trigger": {"kind": "backfill", "scheduledFor": "2026-11-24T09:00:00Z"}}),
            json!({"activityId": "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f",
                   "trigger": {"kind": "event", "eventId": "1", "eventType": "user.created",
                               "source": "users", "occurredAt": "2026-11-24T09:00:00Z",
                               "subject": null, "traceId": null, "payload": {"tier": "pro"}}}),
        ];
        for shape in shapes {
            let request: RunRequest = serde_json::from_value(shape.clone()).unwrap();
            assert_eq!(serde_json::to_value(request).unwrap(), shape);
        }
    }

    #[test]
    fn a_scheduled_run_takes_its_time_from_the_workflow_id() {
        let request = RunRequest {
            activity_id: Uuid::from_u128(1),
            trigger: RunTrigger::Schedule,
        };
        let id = "activity-run-00000000-0000-0000-0000-000000000001-2026-11-24T09:00:00Z";
        assert_eq!(
            request.trigger_key(id).unwrap().to_string(),
            "schedule/2026-11-24T09:00:00Z"
        );
        assert!(request.trigger_key("by-hand").is_err());
    }
}
