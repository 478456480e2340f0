//! Every field of a spec has its effect on the Schedule and on the mirror, and no other.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use contracts::names;
use crds::ActivityDefinition;
use serde_json::{Value, json};
use temporalio_client::RpcOptions;
use testkit::Program;

use crate::place::Place;

/// One change of a spec, and everything that it changes.
struct Change {
    what: &'static str,
    patch: Value,
    changes: &'static [&'static str],
}

/// The places that every change of a spec changes: the mirror's copy of it, its generation, and
/// the digest in the Schedule's note.
const ALWAYS: [&str; 2] = ["mirror.generation", "mirror.spec"];

fn cron(patch: Value) -> Value {
    json!({"spec": {"trigger": {"cron": patch}}})
}

fn changes() -> Vec<Change> {
    let change = |what, patch, changes| Change {
        what,
        patch,
        changes,
    };
    vec![
        change(
            "expression",
            cron(json!({"expression": "30 6 * * *"})),
            &["schedule.calendar", "schedule.note"],
        ),
        change(
            "timezone",
            cron(json!({"timezone": "Europe/Berlin"})),
            &["schedule.timezone", "schedule.note"],
        ),
        change(
            "misfirePolicy and catchUpWindowSeconds",
            cron(json!({"misfirePolicy": "CatchUp", "catchUpWindowSeconds": 7200})),
            &["schedule.catchup_window", "schedule.note"],
        ),
        change(
            "overlapPolicy",
            cron(json!({"overlapPolicy": "BufferOne"})),
            &["schedule.overlap", "schedule.note"],
        ),
        change(
            "jitterSeconds",
            cron(json!({"jitterSeconds": 90})),
            &["schedule.jitter", "schedule.note"],
        ),
        change(
            "startTime",
            cron(json!({"startTime": "2026-01-01T00:00:00Z"})),
            &["schedule.start", "schedule.note"],
        ),
        change(
            "endTime",
            cron(json!({"endTime": "2036-01-01T00:00:00Z"})),
            &["schedule.end", "schedule.note"],
        ),
        change(
            "enabled",
            json!({"spec": {"enabled": false}}),
            &["schedule.paused", "schedule.note", "mirror.enabled"],
        ),
        change(
            "displayName",
            json!({"spec": {"displayName": "Another name"}}),
            &[
                "schedule.search_attributes",
                "schedule.action_search_attributes",
                "schedule.note",
                "mirror.display_name",
            ],
        ),
        // What only the worker, the pager or the audit looks at leaves the Schedule alone.
        change("tier", json!({"spec": {"tier": "Critical"}}), &[]),
        change(
            "externalPausePolicy",
            json!({"spec": {"externalPausePolicy": "Repair"}}),
            &[],
        ),
        change(
            "instruction",
            json!({"spec": {"instruction": {"model": "m", "prompt": "p"}}}),
            &[],
        ),
        change(
            "reports",
            json!({"spec": {"reports": [{"name": "hub", "stateHub": {"eventType": "x"}}]}}),
            &[],
        ),
        change(
            "context",
            json!({"spec": {"context": [{"name": "hub", "stateHub": {}}]}}),
            &[],
        ),
        change(
            "tasks",
            json!({"spec": {"tasks": {"type": "IssueCore", "dryRun": true}}}),
            &[],
        ),
        change(
            "verification",
            json!({"spec": {"verification": {"graceSeconds": 60}}}),
            &[],
        ),
    ]
}

#[tokio::test]
async fn a_changed_field_changes_what_it_is_about_and_nothing_else() -> Result<()> {
    let place = Place::new("fields").await?;
    let _operator = place.environment.start(Program::Operator, []).await?;
    let spec = json!({"trigger": {"cron": {"expression": "0 9 * * *"}}});
    place.create("daily", spec).await?;
    let mut object = place
        .condition("daily", "Ready", ("True", "Synced"))
        .await?;
    let mut before = picture(&place, &object).await?;
    for change in changes() {
        place.merge("daily", change.patch).await?;
        let ready = if object.spec.enabled && change.what != "enabled" {
            "Synced"
        } else {
            "Suspended"
        };
        object = place.condition("daily", "Ready", ("True", ready)).await?;
        let after = picture(&place, &object).await?;
        let changed: BTreeSet<&str> = after
            .iter()
            .filter(|(place, value)| before.get(*place) != Some(value))
            .map(|(place, _)| *place)
            .collect();
        let expected = change.changes.iter().chain(&ALWAYS).copied().collect();
        assert_eq!(changed, expected, "{}", change.what);
        before = after;
    }
    Ok(())
}

/// Everything that Temporal and the mirror hold of a definition, place by place.
async fn picture(
    place: &Place,
    object: &ActivityDefinition,
) -> Result<BTreeMap<&'static str, String>> {
    let activity = object.activity_id().context("no id")?;
    let described = place
        .temporal
        .client()
        .get_schedule_handle(names::schedule_id(activity))
        .describe(RpcOptions::default())
        .await?
        .into_raw();
    let schedule = described.schedule.context("no schedule")?;
    let spec = schedule.spec.context("no spec")?;
    let policies = schedule.policies.context("no policies")?;
    let state = schedule.state.context("no state")?;
    let action = schedule.action.and_then(|action| action.action);
    let action_attributes = {
        use temporalio_common::protos::temporal::api::schedule::v1::schedule_action::Action;
        let Some(Action::StartWorkflow(start)) = action.clone() else {
            anyhow::bail!("no action");
        };
        sorted(
            start
                .search_attributes
                .map(|attributes| attributes.indexed_fields),
        )
    };
    let row = place.store.definition(activity).await?.context("no row")?;
    let attributes = described
        .search_attributes
        .map(|attributes| attributes.indexed_fields);
    Ok([
        (
            "schedule.calendar",
            format!("{:?}", spec.structured_calendar),
        ),
        ("schedule.timezone", spec.timezone_name),
        ("schedule.start", format!("{:?}", spec.start_time)),
        ("schedule.end", format!("{:?}", spec.end_time)),
        ("schedule.jitter", format!("{:?}", spec.jitter)),
        (
            "schedule.catchup_window",
            format!("{:?}", policies.catchup_window),
        ),
        ("schedule.overlap", policies.overlap_policy.to_string()),
        ("schedule.paused", state.paused.to_string()),
        ("schedule.note", state.notes),
        ("schedule.search_attributes", sorted(attributes)),
        ("schedule.action_search_attributes", action_attributes),
        (
            "schedule.memo",
            sorted(described.memo.map(|memo| memo.fields)),
        ),
        ("mirror.namespace", row.namespace),
        ("mirror.name", row.name),
        ("mirror.uid", row.uid.to_string()),
        ("mirror.generation", row.generation.to_string()),
        ("mirror.display_name", row.display_name),
        ("mirror.enabled", row.enabled.to_string()),
        ("mirror.event_type", format!("{:?}", row.event_type)),
        ("mirror.spec", row.spec.to_string()),
    ]
    .into())
}

/// The payloads of a map by name; Temporal adds attributes of its own, which are not ours.
fn sorted<P: std::fmt::Debug>(fields: Option<std::collections::HashMap<String, P>>) -> String {
    let fields: BTreeMap<String, P> = fields
        .into_iter()
        .flatten()
        .filter(|(name, _)| !name.starts_with("Temporal"))
        .collect();
    format!("{fields:?}")
}
