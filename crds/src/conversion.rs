//! From the custom resource, as a user wrote it, to the validated [`Definition`].
//!
//! This is the only place where a raw spec is judged. What comes out can't be wrong; what is
//! refused names its field.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::SubsecRound as _;
use domain::{
    ActivityId, CatchUp, CelCondition, ContextKind, ContextSource, CronExpression, CronSchedule,
    CronTrigger, Definition, EventOrdering, EventTrigger, ExternalPausePolicy, Filters,
    HeaderSource, HttpHeader, Instruction, InvalidDefinition, InvalidSchedule, OutputSchema,
    OverlapPolicy, PromptTemplate, ReportSink, ReportSinkKind, SecretReference, StateHubQuery,
    TaskSink, Tier, TimeZone, Trigger,
};
use kube::ResourceExt;

use crate::{
    ActivityDefinition, ActivityDefinitionSpec, ContextSourceSpec, CronTriggerSpec,
    EventOrderingSpec, EventTriggerSpec, ExternalPausePolicySpec, HttpHeaderSpec, InstructionSpec,
    MisfirePolicySpec, OverlapPolicySpec, ReportSpec, SecretRefSpec, TaskSinkType, TasksSpec,
    TierSpec, TriggerSpec,
};

/// How old a missed time may be to be made up for, when the spec does not say.
const DEFAULT_CATCH_UP: Duration = Duration::from_hours(1);

impl ActivityDefinition {
    /// The activity's identity: `spec.activityId`, or the object's UID. `None` only for an object
    /// that the API server has not stored yet.
    pub fn activity_id(&self) -> Option<ActivityId> {
        self.spec
            .activity_id
            .map(ActivityId::new)
            .or_else(|| self.metadata.uid.as_deref()?.parse().ok())
    }

    /// The name that people use: `spec.displayName`, or the object's name.
    pub fn display_name(&self) -> String {
        self.spec
            .display_name
            .clone()
            .unwrap_or_else(|| self.name_any())
    }
}

impl ActivityDefinitionSpec {
    /// Validates the spec of the activity `id`, called `name` where it has no display name.
    pub fn validate(&self, id: ActivityId, name: &str) -> Result<Definition, InvalidDefinition> {
        let context = self.context.iter().map(context_source);
        let context = context.collect::<Result<Vec<_>, _>>()?;
        let context_names: BTreeSet<String> =
            context.iter().map(|source| source.name.clone()).collect();
        if context_names.len() != context.len() {
            return Err(duplicate("context"));
        }
        let reports = self.reports.iter().map(report_sink);
        let reports = reports.collect::<Result<Vec<_>, _>>()?;
        let report_names: BTreeSet<&str> =
            reports.iter().map(|report| report.name.as_str()).collect();
        if report_names.len() != reports.len() {
            return Err(duplicate("reports"));
        }
        let instruction = self
            .instruction
            .as_ref()
            .map(|instruction| instruction_of(instruction, &context_names))
            .transpose()?;
        Ok(Definition {
            id,
            name: self.display_name.clone().unwrap_or_else(|| name.to_owned()),
            enabled: self.enabled,
            tier: match self.tier {
                TierSpec::Critical => Tier::Critical,
                TierSpec::Standard => Tier::Standard,
            },
            trigger: trigger(self.trigger.as_ref())?,
            context,
            instruction,
            reports,
            tasks: task_sink(self.tasks),
            grace: seconds("verification.graceSeconds", self.verification.grace_seconds)?,
            external_pause: match self.external_pause_policy {
                ExternalPausePolicySpec::Report => ExternalPausePolicy::Report,
                ExternalPausePolicySpec::Repair => ExternalPausePolicy::Repair,
            },
        })
    }
}

fn field(field: impl Into<String>, problem: impl Into<String>) -> InvalidDefinition {
    InvalidDefinition::Field {
        field: field.into(),
        problem: problem.into(),
    }
}

fn duplicate(list: &str) -> InvalidDefinition {
    field(list, "two entries have the same name; give each its own")
}

fn seconds(name: &str, value: i64) -> Result<Duration, InvalidDefinition> {
    u64::try_from(value).map(Duration::from_secs).map_err(|_| {
        field(
            name,
            format!("{value} is negative; write a number of seconds"),
        )
    })
}

fn trigger(spec: Option<&TriggerSpec>) -> Result<Trigger, InvalidDefinition> {
    let Some(spec) = spec else {
        return Ok(Trigger::Manual);
    };
    match (&spec.cron, &spec.event) {
        (Some(cron), None) => cron_trigger(cron).map(Trigger::Cron),
        (None, Some(event)) => event_trigger(event).map(Trigger::Event),
        (Some(_), Some(_)) | (None, None) => Err(field(
            "trigger",
            "set exactly one of cron and event; leave trigger out for manual runs only",
        )),
    }
}

fn cron_trigger(spec: &CronTriggerSpec) -> Result<CronTrigger, InvalidDefinition> {
    // Postgres keeps no more: what is declared would differ from what is in force for ever.
    let [start, end] =
        [spec.start_time, spec.end_time].map(|time| time.map(|time| time.trunc_subsecs(6)));
    if let (Some(start), Some(end)) = (start, end)
        && start >= end
    {
        return Err(InvalidSchedule::Bounds { start, end }.into());
    }
    let catch_up = match (spec.misfire_policy, spec.catch_up_window_seconds) {
        (MisfirePolicySpec::Skip, None) => CatchUp::Skip,
        (MisfirePolicySpec::CatchUp, None) => CatchUp::Within(DEFAULT_CATCH_UP),
        (MisfirePolicySpec::CatchUp, Some(window)) => {
            CatchUp::Within(seconds("trigger.cron.catchUpWindowSeconds", window)?)
        }
        (MisfirePolicySpec::Skip, Some(_)) => {
            return Err(field(
                "trigger.cron.catchUpWindowSeconds",
                "needs misfirePolicy: CatchUp",
            ));
        }
    };
    Ok(CronTrigger {
        schedule: CronSchedule {
            expression: CronExpression::parse(&spec.expression)?,
            time_zone: TimeZone::parse(&spec.timezone)?,
            start,
            end,
        },
        catch_up,
        overlap: match spec.overlap_policy {
            OverlapPolicySpec::Skip => OverlapPolicy::Skip,
            OverlapPolicySpec::BufferOne => OverlapPolicy::BufferOne,
            OverlapPolicySpec::BufferAll => OverlapPolicy::BufferAll,
            OverlapPolicySpec::CancelOther => OverlapPolicy::CancelOther,
            OverlapPolicySpec::TerminateOther => OverlapPolicy::TerminateOther,
            OverlapPolicySpec::AllowAll => OverlapPolicy::AllowAll,
        },
        jitter: seconds("trigger.cron.jitterSeconds", spec.jitter_seconds)?,
    })
}

fn event_trigger(spec: &EventTriggerSpec) -> Result<EventTrigger, InvalidDefinition> {
    if spec.event_type.is_empty() {
        return Err(field(
            "trigger.event.eventType",
            "is empty; name the type to wait for, such as user.created",
        ));
    }
    Ok(EventTrigger {
        event_type: spec.event_type.clone(),
        filters: Filters::parse(spec.filters.clone())?,
        condition: spec
            .condition
            .as_deref()
            .map(CelCondition::compile)
            .transpose()?,
        ordering: match spec.ordering {
            EventOrderingSpec::None => EventOrdering::None,
            EventOrderingSpec::BySubject => EventOrdering::BySubject,
        },
    })
}

fn context_source(spec: &ContextSourceSpec) -> Result<ContextSource, InvalidDefinition> {
    let kind = match (&spec.state_hub, &spec.http, &spec.previous_report) {
        (Some(hub), None, None) => ContextKind::StateHub(StateHubQuery {
            event_type: hub.event_type.clone(),
            limit: u32::try_from(hub.limit).unwrap_or(1).max(1),
        }),
        (None, Some(http), None) => ContextKind::Http {
            url: http.url.clone(),
            headers: headers(&spec.name, &http.headers)?,
        },
        (None, None, Some(_)) => ContextKind::PreviousReport,
        _ => {
            return Err(field(
                format!("context[{}]", spec.name),
                "set exactly one of stateHub, http and previousReport",
            ));
        }
    };
    Ok(ContextSource {
        name: spec.name.clone(),
        kind,
    })
}

/// Headers that the worker's HTTP client sets itself, or that mean something else on the wire.
const RESERVED_HEADERS: [&str; 7] = [
    "connection",
    "content-length",
    "host",
    "idempotency-key",
    "te",
    "traceparent",
    "transfer-encoding",
];

fn headers(source: &str, specs: &[HttpHeaderSpec]) -> Result<Vec<HttpHeader>, InvalidDefinition> {
    let mut names = BTreeSet::new();
    let headers = specs.iter().map(|spec| {
        let at = format!("context[{source}].http.headers[{}]", spec.name);
        let name = spec.name.to_ascii_lowercase();
        if RESERVED_HEADERS.contains(&name.as_str()) {
            return Err(field(at, "is set by the worker itself; leave it out"));
        }
        if !names.insert(name) {
            return Err(field(at, "is there twice; give each name once"));
        }
        let value = match (&spec.value, &spec.secret_ref) {
            (Some(value), None) => HeaderSource::Plain(value.clone()),
            (None, Some(reference)) => {
                HeaderSource::Secret(secret_reference(format!("{at}.secretRef"), reference)?)
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(field(at, "set exactly one of value and secretRef"));
            }
        };
        Ok(HttpHeader {
            name: spec.name.clone(),
            value,
        })
    });
    headers.collect()
}

fn secret_reference(
    at: String,
    spec: &SecretRefSpec,
) -> Result<SecretReference, InvalidDefinition> {
    let reference = SecretReference {
        name: spec.name.clone(),
        key: spec.key.clone(),
    };
    if reference.is_well_formed() {
        Ok(reference)
    } else {
        Err(field(
            at,
            "name and key may only hold letters, digits, dots, dashes and underscores",
        ))
    }
}

fn instruction_of(
    spec: &InstructionSpec,
    context_names: &BTreeSet<String>,
) -> Result<Instruction, InvalidDefinition> {
    Ok(Instruction {
        model: spec.model.clone(),
        prompt: PromptTemplate::compile(&spec.prompt, context_names)?,
        maximum_tokens: u32::try_from(spec.max_tokens)
            .ok()
            .filter(|tokens| *tokens > 0)
            .ok_or_else(|| field("instruction.maxTokens", "must be at least 1"))?,
        timeout: seconds("instruction.timeoutSeconds", spec.timeout_seconds)?,
        output_schema: spec
            .output_schema
            .clone()
            .map(OutputSchema::compile)
            .transpose()?,
    })
}

fn report_sink(spec: &ReportSpec) -> Result<ReportSink, InvalidDefinition> {
    let kind = match (&spec.state_hub, &spec.working_memory, &spec.webhook) {
        (Some(hub), None, None) => ReportSinkKind::StateHub {
            event_type: hub.event_type.clone(),
        },
        (None, Some(memory), None) => ReportSinkKind::WorkingMemory {
            prefix: memory.prefix.clone(),
        },
        (None, None, Some(webhook)) => ReportSinkKind::Webhook {
            url: webhook.url.clone(),
            signing_secret: webhook
                .signing_secret_ref
                .as_ref()
                .map(|reference| {
                    let field = format!("reports[{}].webhook.signingSecretRef", spec.name);
                    secret_reference(field, reference)
                })
                .transpose()?,
        },
        _ => {
            return Err(field(
                format!("reports[{}]", spec.name),
                "set exactly one of stateHub, workingMemory and webhook",
            ));
        }
    };
    Ok(ReportSink {
        name: spec.name.clone(),
        kind,
        timeout: seconds(
            &format!("reports[{}].timeoutSeconds", spec.name),
            spec.timeout_seconds,
        )?,
    })
}

const fn task_sink(spec: TasksSpec) -> TaskSink {
    match spec.sink_type {
        TaskSinkType::Null => TaskSink::Null,
        TaskSinkType::IssueCore => TaskSink::IssueCore {
            dry_run: spec.dry_run,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn validate(spec: Value) -> Result<Definition, InvalidDefinition> {
        let spec: ActivityDefinitionSpec = serde_json::from_value(spec).unwrap();
        spec.validate(ActivityId::new(uuid::Uuid::from_u128(1)), "daily")
    }

    fn refusal(spec: Value) -> String {
        validate(spec).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_spec_is_an_enabled_manual_activity() {
        let definition = validate(json!({})).unwrap();
        assert!(definition.enabled);
        assert_eq!(definition.name, "daily");
        assert_eq!(definition.trigger, Trigger::Manual);
        assert_eq!(definition.tasks, TaskSink::Null);
        assert_eq!(definition.tier, Tier::Standard);
    }

    #[test]
    fn bounds_are_kept_as_exactly_as_postgres_keeps_them() {
        let cron =
            json!({"expression": "0 9 * * *", "startTime": "2026-11-24T09:00:00.123456789Z"});
        let definition = validate(json!({"trigger": {"cron": cron}})).unwrap();
        let Trigger::Cron(cron) = definition.trigger else {
            panic!("no cron trigger");
        };
        let start = cron.schedule.start.unwrap();
        assert_eq!(start.to_rfc3339(), "2026-11-24T09:00:00.123456+00:00");
    }

    #[test]
    fn skip_is_the_policy_when_nothing_is_said() {
        let definition =
            validate(json!({"trigger": {"cron": {"expression": "0 9 * * 1-5"}}})).unwrap();
        let Trigger::Cron(cron) = definition.trigger else {
            panic!("no cron trigger");
        };
        assert_eq!(cron.catch_up, CatchUp::Skip);
        assert_eq!(cron.overlap, OverlapPolicy::Skip);
        assert_eq!(cron.schedule.time_zone, TimeZone::UTC);
    }

    #[test]
    fn a_refusal_names_the_field_and_what_would_be_right() {
        let cases = [
            (
                json!({"trigger": {"cron": {"expression": "61 * * * *"}}}),
                "trigger.cron.expression",
            ),
            (
                json!({"trigger": {"cron": {"expression": "0 9 * * *", "timezone": "Mars/Base"}}}),
                "trigger.cron.timezone",
            ),
            (
                json!({"trigger": {"cron": {"expression": "0 9 * * *"},
                                   "event": {"eventType": "x"}}}),
                "exactly one of cron and event",
            ),
            (
                json!({"trigger": {"event": {"eventType": "x", "condition": "payload ="}}}),
                "condition",
            ),
            (
                json!({"instruction": {"model": "m", "prompt": "{{ context.nothing }}"}}),
                "context.nothing",
            ),
            (json!({"reports": [{"name": "a"}]}), "reports[a]"),
            (
                json!({"reports": [
                    {"name": "a", "stateHub": {"eventType": "x"}},
                    {"name": "a", "stateHub": {"eventType": "y"}}]}),
                "same name",
            ),
        ];
        for (spec, expected) in cases {
            let text = refusal(spec);
            assert!(text.contains(expected), "{text} does not say {expected}");
        }
    }
}
