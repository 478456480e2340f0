//! `ActivityDefinition`: something that must run, and be known to have run.

mod status;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub use status::{ActivityDefinitionStatus, HandledReconcile, LastRun};

/// Declares an activity: what starts it, what it does, where its reports go, and who is told
/// when a run is missing.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "activity-core.io",
    version = "v1alpha1",
    kind = "ActivityDefinition",
    plural = "activitydefinitions",
    shortname = "actdef",
    category = "activity-core",
    namespaced,
    status = "ActivityDefinitionStatus",
    derive = "PartialEq",
    doc = "ActivityDefinition declares something that must run, by the clock, on events or on request, and be known to have run.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Verified",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"RunVerified\")].status"
    ),
    printcolumn(name = "Enabled", type_ = "boolean", json_path = ".spec.enabled"),
    printcolumn(
        name = "Schedule",
        type_ = "string",
        json_path = ".spec.trigger.cron.expression"
    ),
    printcolumn(
        name = "Event",
        type_ = "string",
        json_path = ".spec.trigger.event.eventType",
        priority = 1
    ),
    printcolumn(
        name = "Last Run",
        type_ = "date",
        json_path = ".status.lastRun.completedAt"
    ),
    printcolumn(
        name = "Result",
        type_ = "string",
        json_path = ".status.lastRun.result"
    ),
    printcolumn(name = "Next Run", type_ = "string", json_path = ".status.nextRunTime"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Activity Id",
        type_ = "string",
        json_path = ".status.activityId",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(oldSelf.activityId) == has(self.activityId) && (!has(self.activityId) || self.activityId == oldSelf.activityId)",
        "message": "spec.activityId can't be changed; delete the definition and create another",
        "reason": "FieldValueInvalid",
        "fieldPath": ".activityId",
    },
]))]
pub struct ActivityDefinitionSpec {
    /// The activity's identity everywhere: Schedule, ledger, metrics. The object's UID when left
    /// out. It can't be changed, and no two definitions of a cluster may share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity_id: Option<Uuid>,

    /// A name for people, shown in Temporal, reports and alerts. The object's name when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub display_name: Option<String>,

    /// Whether runs are started. False pauses the Schedule and ignores events; runs that fall
    /// into the pause are entered as skipped.
    #[serde(default = "enabled_by_default")]
    #[schemars(default = "enabled_by_default")]
    pub enabled: bool,

    /// Who is told when a run is missing: Critical pages somebody at once, Standard opens a
    /// warning for working hours.
    #[serde(default)]
    pub tier: TierSpec,

    /// What starts a run: exactly one of `cron` and `event`. Without a trigger the activity runs
    /// on request only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<TriggerSpec>,

    /// Named inputs that are fetched before the prompt is rendered and shown to it as
    /// `context.<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub context: Vec<ContextSourceSpec>,

    /// What a language model is asked. Its answer is the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction: Option<InstructionSpec>,

    /// Where the report goes. Every sink gets it, whatever happens to the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub reports: Vec<ReportSpec>,

    /// Where tasks that the run finds are filed.
    #[serde(default)]
    pub tasks: TasksSpec,

    /// When a run that should have happened counts as missing.
    #[serde(default)]
    pub verification: VerificationSpec,

    /// What becomes of a pause that somebody makes in Temporal by hand: Report leaves it and says
    /// so in the condition ScheduleSynced, Repair undoes it.
    #[serde(default)]
    pub external_pause_policy: ExternalPausePolicySpec,
}

const fn enabled_by_default() -> bool {
    true
}

/// Who is told when a run is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum TierSpec {
    /// Somebody is paged at once.
    Critical,
    /// A warning for working hours.
    #[default]
    Standard,
}

/// What starts a run: exactly one of `cron` and `event`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.cron) != has(self.event)",
        "message": "spec.trigger: set exactly one of cron and event; leave trigger out for manual runs only",
    },
]))]
pub struct TriggerSpec {
    /// Runs at the times of a cron expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<CronTriggerSpec>,

    /// Runs once for each event that matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventTriggerSpec>,
}

/// A start by the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(self.startTime) || !has(self.endTime) || self.startTime < self.endTime",
        "message": "spec.trigger.cron: endTime must be after startTime",
    },
    {
        "rule": "!has(self.catchUpWindowSeconds) || self.misfirePolicy == 'CatchUp'",
        "message": "spec.trigger.cron: catchUpWindowSeconds needs misfirePolicy: CatchUp",
    },
]))]
pub struct CronTriggerSpec {
    /// Five fields: minute, hour, day of month, month, day of week (0 or 7 is Sunday); day of
    /// month and day of week must both match. With a sixth field it is the year, with seven the
    /// first is the second. Also @hourly, @daily, @weekly, @monthly, @yearly.
    #[schemars(length(min = 1, max = 256))]
    pub expression: String,

    /// The IANA time zone whose wall clock the expression is matched against. A time that a
    /// daylight-saving change skips does not run; one that it repeats runs twice.
    #[serde(default = "utc")]
    #[schemars(default = "utc", length(min = 1, max = 64))]
    pub timezone: String,

    /// What becomes of times that passed while Temporal could not fire: Skip leaves them out if
    /// they are older than a minute, CatchUp makes up for those younger than
    /// catchUpWindowSeconds.
    #[serde(default)]
    pub misfire_policy: MisfirePolicySpec,

    /// How old a missed time may be to be made up for, in seconds; one hour when left out. Only
    /// with misfirePolicy CatchUp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 31_536_000))]
    pub catch_up_window_seconds: Option<i64>,

    /// What happens when a time comes while the run before is still going.
    #[serde(default)]
    pub overlap_policy: OverlapPolicySpec,

    /// The most by which a start is put off at random, in seconds, to spread load. The run's
    /// nominal time stays that of the expression.
    #[serde(default)]
    #[schemars(range(min = 0, max = 86_400))]
    pub jitter_seconds: i64,

    /// No run before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<DateTime<Utc>>,

    /// No run after this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<DateTime<Utc>>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What becomes of times that passed while Temporal could not fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum MisfirePolicySpec {
    /// They are left out.
    #[default]
    Skip,
    /// They are made up for within the catch-up window.
    CatchUp,
}

/// What happens when a time comes while the run before is still going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum OverlapPolicySpec {
    /// The new run is left out and entered as SkippedOverlap.
    #[default]
    Skip,
    /// One new run waits for the end of the present one.
    BufferOne,
    /// Every new run waits.
    BufferAll,
    /// The present run is asked to cancel, then the new one starts.
    CancelOther,
    /// The present run is ended at once, then the new one starts.
    TerminateOther,
    /// Both go on side by side.
    AllowAll,
}

/// A start by events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventTriggerSpec {
    /// The event type that is waited for, for example user.created.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    )]
    pub event_type: String,

    /// Keys of the payload, or dotted paths, and the values they must equal, all of them. A
    /// number never equals a text; a missing key equals nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::filters")]
    pub filters: BTreeMap<String, Value>,

    /// A CEL expression over `event` and `payload` that must answer true, for example
    /// payload.seats > 10. An error in it makes the event a dead letter, and so do loops (all,
    /// exists, map, filter) inside of each other that could take more than 100 million steps on
    /// the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub condition: Option<String>,

    /// In which order the runs of several events start: None starts each as soon as its event is
    /// there. BySubject starts the runs of events with the same subject one after the other, in the
    /// order of the stream; one that can't be started holds up the later ones of its subject until
    /// it starts or is a dead letter.
    #[serde(default)]
    pub ordering: EventOrderingSpec,
}

/// In which order the runs of several events start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum EventOrderingSpec {
    /// In any.
    #[default]
    None,
    /// For events of one subject, in the order of the stream.
    BySubject,
}

/// A named input to the prompt: exactly one of `stateHub`, `http` and `previousReport`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "[has(self.stateHub), has(self.http), has(self.previousReport)].filter(x, x).size() == 1",
        "message": "spec.context: set exactly one of stateHub, http and previousReport in each source",
    },
]))]
pub struct ContextSourceSpec {
    /// The name under which the prompt sees it, as context.<name>.
    #[schemars(length(max = 63), regex(pattern = r"^[a-z][a-zA-Z0-9_]*$"))]
    pub name: String,

    /// State Hub's latest progress entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_hub: Option<StateHubContextSpec>,

    /// The JSON or text at a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpContextSpec>,

    /// The report of this activity's last run that succeeded; an empty text before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_report: Option<PreviousReportSpec>,
}

/// State Hub's latest progress entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateHubContextSpec {
    /// Only entries of this type; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub event_type: Option<String>,

    /// At most so many entries, the newest first.
    #[serde(default = "default_limit")]
    #[schemars(default = "default_limit", range(min = 1, max = 500))]
    pub limit: i32,
}

const fn default_limit() -> i32 {
    50
}

/// The JSON or text at a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpContextSpec {
    /// The URL. Its host must be in the worker's egress allow-list.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://"))]
    pub url: String,

    /// Headers that go with the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<HttpHeaderSpec>,
}

/// A header of a request: exactly one of `value` and `secretRef`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.value) != has(self.secretRef)",
        "message": "spec.context: set exactly one of value and secretRef in each header",
    },
]))]
pub struct HttpHeaderSpec {
    /// The header's name, for example Authorization.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9-]*$")
    )]
    pub name: String,

    /// Its value. Whoever can read the definition can read it: no secrets here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = r"^[\x20-\x7e]*$"))]
    pub value: Option<String>,

    /// Where the worker finds the value, the whole of it: Bearer included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRefSpec>,
}

/// One value of a Secret that is mounted into the worker, below its SECRETS_DIR. A definition can
/// name it and never hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRefSpec {
    /// The Secret's name.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub name: String,

    /// The key in it.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    )]
    pub key: String,
}

/// The report of the last run that succeeded. It has no settings; write `{}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PreviousReportSpec {}

/// What a language model is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstructionSpec {
    /// The model's name at the worker's OpenAI-compatible endpoint.
    #[schemars(length(min = 1, max = 253))]
    pub model: String,

    /// The question, as a Jinja template over activity, run, trigger, event and context. A name
    /// that does not exist is an error, never an empty text.
    #[schemars(length(min = 1, max = 65536))]
    pub prompt: String,

    /// The most tokens that the answer may take. A longer answer fails the run.
    #[serde(default = "default_maximum_tokens")]
    #[schemars(default = "default_maximum_tokens", range(min = 1, max = 1_000_000))]
    pub max_tokens: i32,

    /// How long one try may take, in seconds.
    #[serde(default = "default_instruction_timeout")]
    #[schemars(default = "default_instruction_timeout", range(min = 1, max = 86_400))]
    pub timeout_seconds: i64,

    /// A JSON Schema that the answer, read as JSON, must satisfy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::any_object")]
    pub output_schema: Option<Value>,
}

const fn default_maximum_tokens() -> i32 {
    4096
}

const fn default_instruction_timeout() -> i64 {
    300
}

/// Where a report goes: exactly one of `stateHub`, `workingMemory` and `webhook`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "[has(self.stateHub), has(self.workingMemory), has(self.webhook)].filter(x, x).size() == 1",
        "message": "spec.reports: set exactly one of stateHub, workingMemory and webhook in each report",
    },
]))]
pub struct ReportSpec {
    /// The sink's name in the ledger and in metrics, unique in the definition.
    #[schemars(length(max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// How long one try may take, in seconds.
    #[serde(default = "default_report_timeout")]
    #[schemars(default = "default_report_timeout", range(min = 1, max = 3600))]
    pub timeout_seconds: i64,

    /// A progress entry in State Hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_hub: Option<StateHubReportSpec>,

    /// A Markdown file in the working memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_memory: Option<WorkingMemoryReportSpec>,

    /// A CloudEvent by HTTP POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookReportSpec>,
}

const fn default_report_timeout() -> i64 {
    30
}

/// A progress entry in State Hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateHubReportSpec {
    /// The entry's event_type, for example daily_triage.
    #[schemars(
        length(max = 253),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    )]
    pub event_type: String,
}

/// A Markdown file in the working memory, named `<prefix>-YYYY-MM-DD-<run>.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkingMemoryReportSpec {
    /// The file name's beginning, for example daily-triage.
    #[schemars(
        length(max = 100),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    )]
    pub prefix: String,
}

/// A CloudEvent by HTTP POST.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookReportSpec {
    /// The URL. Its host must be in the worker's egress allow-list.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://"))]
    pub url: String,

    /// What the requests are signed with, after Standard Webhooks (webhook-id, webhook-timestamp,
    /// webhook-signature). The value is whsec_ and a key of 24 to 64 bytes in base64; two of them
    /// with a blank between both sign, while one replaces the other. Unsigned when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret_ref: Option<SecretRefSpec>,
}

/// Where tasks are filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TasksSpec {
    /// Null files nothing; IssueCore files issues at the worker's issue-core endpoint.
    #[serde(default, rename = "type")]
    pub sink_type: TaskSinkType,

    /// Checks the contract with issue-core without creating anything.
    #[serde(default)]
    pub dry_run: bool,
}

/// Where tasks are filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum TaskSinkType {
    /// Nowhere.
    #[default]
    Null,
    /// At issue-core.
    IssueCore,
}

/// When a run that should have happened counts as missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationSpec {
    /// How long after its time a run may still be under way, in seconds, before it counts as
    /// missing: the retry window.
    #[serde(default = "default_grace")]
    #[schemars(default = "default_grace", range(min = 1, max = 604_800))]
    pub grace_seconds: i64,
}

impl Default for VerificationSpec {
    fn default() -> Self {
        Self {
            grace_seconds: default_grace(),
        }
    }
}

const fn default_grace() -> i64 {
    1800
}

/// What becomes of a pause that somebody makes in Temporal by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ExternalPausePolicySpec {
    /// It stays and is reported.
    #[default]
    Report,
    /// It is undone.
    Repair,
}
