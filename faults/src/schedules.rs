//! Temporal's Schedules as its HTTP interface describes them: not through the code that wrote them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use contracts::names;
use crds::ActivityDefinition;
use domain::{ActivityId, CatchUp, CronTrigger, OverlapPolicy, Trigger};
use serde_json::Value;

/// Reads Schedules and workflows. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Schedules {
    client: reqwest::Client,
    base: String,
}

impl Schedules {
    pub(crate) fn new(client: reqwest::Client, http_url: &str, namespace: &str) -> Self {
        Self {
            client,
            base: format!("{http_url}/api/v1/namespaces/{namespace}"),
        }
    }

    /// A Schedule; `None` when there is none.
    pub(crate) async fn describe(&self, activity: ActivityId) -> Result<Option<Value>> {
        let url = format!("{}/schedules/{}", self.base, names::schedule_id(activity));
        let answer = self.client.get(url).send().await?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let schedule = answer.error_for_status()?.json().await?;
        Ok(Some(schedule))
    }

    /// The ids of all Schedules.
    pub(crate) async fn ids(&self) -> Result<Vec<String>> {
        let url = format!("{}/schedules?maximumPageSize=1000", self.base);
        let answer: Value = self.client.get(url).send().await?.json().await?;
        let schedules = answer["schedules"].as_array().cloned().unwrap_or_default();
        Ok(schedules
            .iter()
            .filter_map(|schedule| schedule["scheduleId"].as_str().map(str::to_owned))
            .collect())
    }

    /// Workflow and run ids of all workflows of an activity.
    pub(crate) async fn workflows(&self, activity: ActivityId) -> Result<Vec<(String, String)>> {
        let answer: Value = self
            .client
            .get(format!("{}/workflows", self.base))
            .query(&[("query", format!("ActivityId=\"{activity}\""))])
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let found = answer["executions"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(found
            .iter()
            .map(|found| &found["execution"])
            .map(|found| (text(&found["workflowId"]), text(&found["runId"])))
            .collect())
    }
}

/// In what a Schedule differs from what an object declares, field by field. Without a word about
/// maintenance, only what Temporal changes at once is compared.
pub(crate) fn differences(
    object: &ActivityDefinition,
    schedule: Option<&Value>,
    in_maintenance: Option<bool>,
) -> Result<Vec<String>> {
    let activity = object.activity_id().context("the object has no id")?;
    let name = object.metadata.name.clone().unwrap_or_default();
    let definition = object.spec.validate(activity, &name)?;
    let (trigger, schedule) = match (&definition.trigger, schedule) {
        (Trigger::Cron(trigger), Some(schedule)) => (trigger, schedule),
        (Trigger::Cron(_), None) => return Ok(vec!["there is no Schedule".to_owned()]),
        (Trigger::Event(_) | Trigger::Manual, None) => return Ok(Vec::new()),
        (Trigger::Event(_) | Trigger::Manual, Some(_)) => {
            return Ok(vec!["there is a Schedule".to_owned()]);
        }
    };
    let mut found = Vec::new();
    let mut compare = |field: &str, is: String, ought: String| {
        if is != ought {
            found.push(format!("Schedule: {field} is {is}, not {ought}"));
        }
    };
    let at = |pointer: &str| {
        let value = schedule.pointer(pointer).unwrap_or(&Value::Null);
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let start = "/schedule/action/startWorkflow";
    let id = at(&format!("{start}/workflowId"));
    compare("workflow id", id, names::scheduled_workflow_id(activity));
    let workflow_type = at(&format!("{start}/workflowType/name"));
    compare("workflow type", workflow_type, names::WORKFLOW_TYPE.into());
    let queue = at(&format!("{start}/taskQueue/name"));
    compare("task queue", queue, names::WORKFLOW_TASK_QUEUE.into());
    let input = schedule.pointer(&format!("{start}/input/0/activity_id"));
    let input = input.or_else(|| schedule.pointer(&format!("{start}/input/0/activityId")));
    let input = input.and_then(Value::as_str).unwrap_or_default();
    compare("input", input.to_owned(), activity.to_string());
    for (what, place) in [("Schedule's", ""), ("workflow's", start)] {
        // A Schedule's own attributes are those of its workflow, which follow a moment later.
        if place.is_empty() && in_maintenance.is_none() {
            continue;
        }
        let attributes = format!("{place}/searchAttributes/indexedFields");
        let field = format!("{what} ActivityName");
        let of = |name: &str| keyword(schedule, &format!("{attributes}/{name}"));
        compare(&field, of("ActivityName"), definition.name.clone());
        let id = of("ActivityId");
        compare(&format!("{what} ActivityId"), id, activity.to_string());
    }
    let uid = schedule.pointer("/memo/fields");
    let uid = uid.and_then(|fields| fields.get(temporal::OBJECT_UID_MEMO));
    let uid = uid.and_then(Value::as_str).unwrap_or_default().to_owned();
    compare("UID", uid, object.metadata.uid.clone().unwrap_or_default());
    let zone = at("/schedule/spec/timezoneName");
    let declared_zone = trigger.schedule.time_zone.name();
    // UTC is what a Schedule has that says nothing.
    let zone = if zone == "null" {
        "UTC".to_owned()
    } else {
        zone
    };
    compare("time zone", zone, declared_zone.to_owned());
    compare(
        "overlap policy",
        at("/schedule/policies/overlapPolicy"),
        overlap(trigger.overlap).to_owned(),
    );
    let window = seconds(&at("/schedule/policies/catchupWindow"));
    compare("catch-up window", window, catch_up(trigger.catch_up));
    let jitter = seconds(&at("/schedule/spec/jitter"));
    compare("jitter", jitter, trigger.jitter.as_secs().to_string());
    if let Some(in_maintenance) = in_maintenance {
        let paused = at("/schedule/state/paused") == "true";
        let declared = !definition.enabled || in_maintenance;
        compare("paused", paused.to_string(), declared.to_string());
    }
    if in_maintenance.is_some() {
        found.extend(compare_times(trigger, schedule));
    }
    Ok(found)
}

/// Temporal's next times against our own computation of them. Jitter moves them within its bounds.
fn compare_times(trigger: &CronTrigger, schedule: &Value) -> Option<String> {
    let times: Vec<DateTime<Utc>> = schedule
        .pointer("/info/futureActionTimes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|time| time.as_str()?.parse().ok())
        .collect();
    let jitter = TimeDelta::from_std(trigger.jitter).ok()?;
    if let (true, Some(declared)) = (times.is_empty(), trigger.schedule.next_after(Utc::now())) {
        return Some(format!("Schedule: never fires, and ought to at {declared}"));
    }
    let mut from = times
        .first()
        .map(|first| *first - jitter - TimeDelta::seconds(1))?;
    for time in times {
        let declared = trigger.schedule.next_after(from)?;
        if time < declared || time > declared + jitter {
            return Some(format!("Schedule: fires at {time}, not at {declared}"));
        }
        from = declared;
    }
    None
}

/// The value of a search attribute, which comes as a payload.
fn keyword(schedule: &Value, pointer: &str) -> String {
    let data = schedule.pointer(&format!("{pointer}/data"));
    let data = data.and_then(Value::as_str).unwrap_or_default();
    let json = STANDARD.decode(data).unwrap_or_default();
    let value: Value = serde_json::from_slice(&json).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

const fn overlap(policy: OverlapPolicy) -> &'static str {
    match policy {
        OverlapPolicy::Skip => "SCHEDULE_OVERLAP_POLICY_SKIP",
        OverlapPolicy::BufferOne => "SCHEDULE_OVERLAP_POLICY_BUFFER_ONE",
        OverlapPolicy::BufferAll => "SCHEDULE_OVERLAP_POLICY_BUFFER_ALL",
        OverlapPolicy::CancelOther => "SCHEDULE_OVERLAP_POLICY_CANCEL_OTHER",
        OverlapPolicy::TerminateOther => "SCHEDULE_OVERLAP_POLICY_TERMINATE_OTHER",
        OverlapPolicy::AllowAll => "SCHEDULE_OVERLAP_POLICY_ALLOW_ALL",
    }
}

fn catch_up(catch_up: CatchUp) -> String {
    // The server takes no shorter one.
    let shortest = Duration::from_secs(10);
    catch_up.window().max(shortest).as_secs().to_string()
}

/// `10s` as `10`; nothing as `0`.
fn seconds(text: &str) -> String {
    let number = text.trim_end_matches('s');
    if number == "null" { "0" } else { number }.to_owned()
}
