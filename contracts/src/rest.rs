//! The bodies of the REST API, to the letter of the reference runbook.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

/// The body of `POST /activity-definitions/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewActivityDefinition {
    /// A name that people recognise, unique in the namespace.
    #[schema(example = "daily-report", min_length = 1, max_length = 253)]
    pub name: String,
    /// Whether runs are started; true when left out.
    #[serde(default = "enabled_by_default")]
    pub enabled: bool,
    /// What starts a run.
    pub trigger_config: TriggerConfig,
}

const fn enabled_by_default() -> bool {
    true
}

/// The body of `PUT /activity-definitions/{id}`: what is left out stays as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivityDefinitionUpdate {
    /// Whether runs are started. False pauses the Schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What starts a run; replaced as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_config: Option<TriggerConfig>,
}

/// What starts a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "trigger_type", rename_all = "snake_case", deny_unknown_fields)]
pub enum TriggerConfig {
    /// The clock.
    Cron {
        /// Five fields: minute, hour, day of month, month, day of week.
        #[schema(example = "0 9 * * 1-5")]
        cron_expression: String,
        /// An IANA time zone; UTC when left out.
        #[serde(default = "utc")]
        #[schema(example = "Europe/Berlin")]
        timezone: String,
        /// What becomes of missed times; `skip` when left out.
        #[serde(default)]
        misfire_policy: MisfirePolicy,
    },
    /// Events of one type.
    Event {
        /// The type to wait for.
        #[schema(example = "user.created")]
        event_type: String,
        /// Keys of the payload and the values that they must have.
        #[serde(default)]
        #[schema(value_type = Object, example = json!({"tier": "pro"}))]
        filters: Map<String, Value>,
    },
    /// Nothing but a request.
    Manual,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What becomes of times that passed while nothing could fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MisfirePolicy {
    /// They are left out.
    #[default]
    Skip,
    /// They are made up for.
    CatchUp,
}

/// A definition, as every answer shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActivityDefinition {
    /// The activity's id.
    pub id: Uuid,
    /// The name that people use.
    pub name: String,
    /// The Kubernetes namespace of the custom resource.
    pub namespace: String,
    /// Whether runs are started.
    pub enabled: bool,
    /// What starts a run.
    pub trigger_config: TriggerConfig,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// The answer to `POST /activity-definitions/{id}/trigger`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Triggered {
    /// The workflow that runs it.
    pub workflow_id: String,
    /// The run (`activity_core_run_id`).
    pub run_id: Uuid,
    /// The request's id: send it again as `Idempotency-Key` and it is the same run.
    pub request_id: String,
}

/// The answer to `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, or `unavailable` when a dependency is not there.
    #[schema(example = "ok")]
    pub status: String,
    /// Whether Postgres answers.
    pub db: bool,
    /// Whether Temporal answers.
    pub temporal: bool,
}

/// An error, as RFC 9457 has it (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The kind of problem; `about:blank` when the status says it all.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub problem_type: String,
    /// The kind of problem, for people.
    #[schema(example = "Unprocessable Entity")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// What is wrong with this request, and what would be right.
    pub detail: String,
}

/// One run in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// The run (`activity_core_run_id`).
    pub run_id: Uuid,
    /// The activity's id.
    pub activity_id: Uuid,
    /// The activity's name when it ran.
    pub activity_name: String,
    /// What started it, for example `schedule/2026-11-24T09:00:00Z`.
    pub trigger: String,
    /// Its nominal time.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// When it really began.
    pub fired_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// How it stands: Running, Succeeded, Failed, SkippedOverlap, SkippedMaintenance,
    /// SkippedDisabled or Missed.
    pub outcome: String,
    /// Why it did not end well.
    pub error: Option<String>,
    /// The workflow that ran it.
    pub workflow_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_the_runbooks_bodies() {
        let cron: NewActivityDefinition = serde_json::from_value(json!({
            "name": "daily-report",
            "trigger_config": {
                "trigger_type": "cron", "cron_expression": "0 9 * * 1-5",
                "timezone": "Europe/Berlin", "misfire_policy": "skip"
            }
        }))
        .unwrap();
        assert!(cron.enabled);
        let event: NewActivityDefinition = serde_json::from_value(json!({
            "name": "user-onboarding",
            "trigger_config": {
                "trigger_type": "event", "event_type": "user.created", "filters": {"tier": "pro"}
            }
        }))
        .unwrap();
        assert!(matches!(event.trigger_config, TriggerConfig::Event { .. }));
        let disable: ActivityDefinitionUpdate =
            serde_json::from_value(json!({"enabled": false})).unwrap();
        assert_eq!(disable.enabled, Some(false));
    }

    #[test]
    fn a_misspelt_key_is_refused_and_named() {
        let refused = serde_json::from_value::<NewActivityDefinition>(json!({
            "name": "x",
            "trigger_config": {"trigger_type": "cron", "cron_expresion": "0 9 * * *"}
        }))
        .unwrap_err();
        assert!(refused.to_string().contains("cron_expresion"), "{refused}");
    }
}
