//! The bodies of the REST API, to the letter of the reference runbook.

mod event_type;
mod feedback;
mod verification;

use std::fmt;
use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

pub use event_type::{EventType, EventTypeUpdate, NewEventType, PayloadValidation};
pub use feedback::{Feedback, FeedbackKind, FeedbackList, NewFeedback, Note};
pub use verification::{Verification, VerificationCheck, VerificationResult, VerificationVerdict};

/// The body of `POST /activity-definitions/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewActivityDefinition {
    /// A name that people recognise, unique in the namespace.
    #[schema(example = "daily-report", min_length = 1, max_length = 253)]
    pub name: String,
    /// Whether runs are started; true when left out.
    #[serde(default = "enabled_by_default")]
    #[schema(default = true)]
    pub enabled: bool,
    /// What starts a run.
    pub trigger_config: TriggerConfig,
}

const fn enabled_by_default() -> bool {
    true
}

/// The body of `PUT /activity-definitions/{id}`: what is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivityDefinitionUpdate {
    /// A new name for people. The custom resource keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "daily-report", min_length = 1, max_length = 253)]
    pub name: Option<String>,
    /// Whether runs are started. False pauses the Schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = false)]
    pub enabled: Option<bool>,
    /// What starts a run; replaced as a whole. What the custom resource says beyond these fields
    /// (overlapPolicy, condition …) is kept while the trigger type stays the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_config: Option<TriggerConfig>,
}

/// What starts a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(
    tag = "trigger_type",
    rename_all = "snake_case",
    deny_unknown_fields,
    try_from = "JsonObject<FlatTriggerConfig>"
)]
pub enum TriggerConfig {
    /// The clock.
    Cron {
        /// Five fields: minute, hour, day of month, month, day of week.
        #[schema(example = "0 9 * * 1-5", min_length = 1, max_length = 256)]
        cron_expression: String,
        /// An IANA time zone; UTC when left out.
        #[serde(default = "utc")]
        #[schema(
            example = "Europe/Berlin",
            default = "UTC",
            min_length = 1,
            max_length = 64
        )]
        timezone: String,
        /// What becomes of missed times; `skip` when left out.
        #[serde(default)]
        misfire_policy: MisfirePolicy,
    },
    /// Events of one type.
    Event {
        /// The type to wait for.
        #[schema(
            example = "user.created",
            min_length = 1,
            max_length = 253,
            pattern = "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
        )]
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

/// [`TriggerConfig`] as it is read: all fields side by side, so that an error can name the one
/// that is wrong.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FlatTriggerConfig {
    trigger_type: TriggerType,
    #[serde(default, deserialize_with = "present")]
    cron_expression: Option<String>,
    #[serde(default, deserialize_with = "present")]
    timezone: Option<String>,
    #[serde(default, deserialize_with = "present")]
    misfire_policy: Option<MisfirePolicy>,
    #[serde(default, deserialize_with = "present")]
    event_type: Option<String>,
    #[serde(default, deserialize_with = "present")]
    filters: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TriggerType {
    Cron,
    Event,
    Manual,
}

impl TriggerType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Cron => "cron",
            Self::Event => "event",
            Self::Manual => "manual",
        }
    }
}

/// Reads a struct from an object only. By itself serde reads it from a list of its fields as well,
/// which no schema says.
struct JsonObject<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for JsonObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = JsonObject<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(JsonObject)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// Reads a value that is there: `null` is no way to leave it out.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Fields of a trigger that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum InvalidTriggerConfig {
    #[error("missing field `{field}`, which trigger_type {trigger_type} needs")]
    Missing {
        field: &'static str,
        trigger_type: &'static str,
    },
    #[error("unknown field `{field}`: trigger_type {trigger_type} does not have it")]
    Surplus {
        field: &'static str,
        trigger_type: &'static str,
    },
}

impl FlatTriggerConfig {
    fn surplus(&self) -> Option<&'static str> {
        let of_cron = [
            ("cron_expression", self.cron_expression.is_some()),
            ("timezone", self.timezone.is_some()),
            ("misfire_policy", self.misfire_policy.is_some()),
        ];
        let of_event = [
            ("event_type", self.event_type.is_some()),
            ("filters", self.filters.is_some()),
        ];
        let foreign: Vec<(&'static str, bool)> = match self.trigger_type {
            TriggerType::Cron => of_event.to_vec(),
            TriggerType::Event => of_cron.to_vec(),
            TriggerType::Manual => of_cron.into_iter().chain(of_event).collect(),
        };
        foreign
            .into_iter()
            .find_map(|(field, given)| given.then_some(field))
    }
}

impl TryFrom<JsonObject<FlatTriggerConfig>> for TriggerConfig {
    type Error = InvalidTriggerConfig;

    fn try_from(
        JsonObject(flat): JsonObject<FlatTriggerConfig>,
    ) -> Result<Self, InvalidTriggerConfig> {
        let trigger_type = flat.trigger_type.as_str();
        if let Some(field) = flat.surplus() {
            return Err(InvalidTriggerConfig::Surplus {
                field,
                trigger_type,
            });
        }
        let missing = |field| InvalidTriggerConfig::Missing {
            field,
            trigger_type,
        };
        Ok(match flat.trigger_type {
            TriggerType::Cron => Self::Cron {
                cron_expression: flat
                    .cron_expression
                    .ok_or_else(|| missing("cron_expression"))?,
                timezone: flat.timezone.unwrap_or_else(utc),
                misfire_policy: flat.misfire_policy.unwrap_or_default(),
            },
            TriggerType::Event => Self::Event {
                event_type: flat.event_type.ok_or_else(|| missing("event_type"))?,
                filters: flat.filters.unwrap_or_default(),
            },
            TriggerType::Manual => Self::Manual,
        })
    }
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
    /// The field, parameter or header of the request that is wrong, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "trigger_config.cron_expression")]
    pub field: Option<String>,
    /// This occurrence, by which the log can be searched; only where the API itself failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "urn:uuid:9b3b1a6e-8f1d-4c55-9e0e-7d4c5ce0a3c4")]
    pub instance: Option<String>,
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
    /// The trace (W3C trace context) that it belongs to.
    pub trace_id: Option<String>,
    /// What its instruction took, if it had one that was answered.
    pub usage: Option<InstructionUsage>,
}

/// What a run's instruction took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstructionUsage {
    /// The model that answered.
    pub model: String,
    /// The SHA-256 of the rendered prompt, in hexadecimal.
    pub prompt_sha256: String,
    /// Tokens of the prompt.
    pub prompt_tokens: i64,
    /// Tokens of the answer.
    pub completion_tokens: i64,
    /// How long the answer took.
    pub milliseconds: i64,
}

/// The answer to `GET /activity-definitions/{id}/runs`: one page, the newest run first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunPage {
    /// The runs.
    pub items: Vec<Run>,
    /// What to send as `after` for the next page; null on the last.
    pub next: Option<String>,
}

/// The answer to `GET /runs/{run_id}`: a run with its deliveries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunDetail {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// What became of its report and tasks, one entry for each sink.
    pub deliveries: Vec<Delivery>,
}

/// A delivery of one run to one sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// The sink's name in the definition.
    pub sink: String,
    /// What kind of sink it is, for example `stateHub`.
    pub kind: String,
    /// How it stands: Pending, Delivered, Exists, DryRun or Failed.
    pub result: String,
    /// How often it was tried.
    pub attempts: i32,
    /// The sink's own name for what was delivered.
    pub external_reference: Option<String>,
    /// The last error.
    pub last_error: Option<String>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
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

    #[test]
    fn a_field_of_another_trigger_type_is_refused_and_named() {
        for (body, expected) in [
            (
                json!({"trigger_type": "event", "event_type": "x", "timezone": "UTC"}),
                "timezone",
            ),
            (json!({"trigger_type": "cron"}), "cron_expression"),
            (json!({"trigger_type": "event"}), "event_type"),
            (json!(["cron", "0 9 * * *"]), "an object"),
            (json!({"trigger_type": "manual", "filters": {}}), "filters"),
            (
                json!({"trigger_type": "cron", "cron_expression": null}),
                "null",
            ),
        ] {
            let refused = serde_json::from_value::<TriggerConfig>(body).unwrap_err();
            assert!(refused.to_string().contains(expected), "{refused}");
        }
    }

    #[test]
    fn a_trigger_is_read_as_it_is_written() {
        for trigger in [
            TriggerConfig::Manual,
            TriggerConfig::Event {
                event_type: "user.created".into(),
                filters: Map::new(),
            },
        ] {
            let text = serde_json::to_string(&trigger).unwrap();
            assert_eq!(
                serde_json::from_str::<TriggerConfig>(&text).unwrap(),
                trigger
            );
        }
    }
}
