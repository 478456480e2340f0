//! Exactly one start for each trigger, and one report at each sink.

use anyhow::Result;
use contracts::names;
use crds::ActivityDefinition;
use domain::{ActivityId, DeliveryResult, RunOutcome};
use futures::future::try_join_all;
use serde_json::Value;

use super::Leniency;
use crate::expected::{Expected, ExpectedRun};
use crate::lane::Lane;

pub(super) async fn differences(
    lane: &Lane,
    expected: &Expected,
    activities: &[ActivityId],
    leniency: Leniency,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    found.extend(unsettled(lane).await?);
    for run in &expected.runs {
        if run.completes {
            found.extend(compare(lane, run, leniency).await?);
        }
    }
    // Temporal's list is the dearest question.
    if !found.is_empty() {
        return Ok(found);
    }
    for activity in activities {
        let workflows = lane.schedules.workflows(*activity).await?;
        for run in &expected.runs {
            let starts = workflows.iter().filter(|(id, _)| *id == run.workflow_id);
            let is_this = run.workflow_id.contains(&activity.to_string());
            let starts = starts.count();
            if starts > 1 {
                found.push(format!("{} was started {starts} times", run.workflow_id));
            }
            if starts == 0 && is_this && !run.is_forgotten {
                found.push(format!("{} is not in Temporal", run.workflow_id));
            }
        }
        for (id, _) in &workflows {
            if !expected.runs.iter().any(|run| run.workflow_id == *id) {
                found.push(format!("{id} was started, and nobody asked for it"));
            }
        }
        let ledger = lane.store.runs(*activity, None, 100).await?;
        for row in ledger {
            if !expected.runs.iter().any(|run| run.run == row.run_id) {
                found.push(format!(
                    "the ledger has a run that nobody asked for: {}",
                    row.run_id
                ));
            }
        }
    }
    Ok(found)
}

/// Events that no router has settled yet.
async fn unsettled(lane: &Lane) -> Result<Option<String>> {
    let has_router = lane.program(testkit::Program::EventRouter).is_ok();
    if !has_router {
        return Ok(None);
    }
    let stream = lane.jetstream.get_stream(names::EVENT_STREAM).await?;
    let consumer = stream.consumer_info(names::EVENT_CONSUMER).await?;
    let (waiting, in_hand) = (consumer.num_pending, consumer.num_ack_pending);
    let is_settled = waiting == 0 && in_hand == 0;
    Ok((!is_settled).then(|| format!("{waiting} events wait and {in_hand} are in hand")))
}

/// Whether the status of a definition tells of its newest run what the ledger does. The newest is
/// the one that began last, which need not be the one that was asked for last.
pub(super) async fn compare_status(
    lane: &Lane,
    expected: &Expected,
    object: &ActivityDefinition,
) -> Result<Vec<String>> {
    let name = object.metadata.name.clone().unwrap_or_default();
    let runs = expected.runs.iter();
    let runs = runs.filter(|run| run.definition == name && run.completes);
    let rows = try_join_all(runs.map(|run| lane.store.run(run.run))).await?;
    let newest = rows.into_iter().flatten().max_by_key(|row| row.fired_at);
    let Some(row) = newest else {
        return Ok(Vec::new());
    };
    let told = object
        .status
        .as_ref()
        .and_then(|status| status.last_run.as_ref());
    let told = told.map(|told| (told.run_id.to_string(), told.result.clone()));
    let known = (row.run_id.to_string(), row.outcome.to_string());
    if told.as_ref() == Some(&known) {
        return Ok(Vec::new());
    }
    Ok(vec![format!(
        "{name}: status.lastRun is {told:?}, not {known:?}"
    )])
}

/// What became of one run.
async fn compare(lane: &Lane, run: &ExpectedRun, leniency: Leniency) -> Result<Vec<String>> {
    let Some(row) = lane.store.run(run.run).await? else {
        return Ok(vec![format!(
            "the ledger does not know {}",
            run.workflow_id
        )]);
    };
    let mut found = Vec::new();
    let is_well = row.outcome == RunOutcome::Succeeded
        || leniency.refused_for_good && row.outcome == RunOutcome::Failed;
    if !is_well {
        found.push(format!(
            "{} is {}: {:?}",
            run.workflow_id, row.outcome, row.error
        ));
    }
    let run_id = run.run.to_string();
    let deliveries = lane.store.deliveries(run.run).await?;
    let refused_early = leniency.refused_for_good && row.outcome == RunOutcome::Failed;
    for (sink, received) in received(lane, &run_id) {
        let delivery = deliveries.iter().find(|delivery| delivery.sink == sink);
        let Some(delivery) = delivery else {
            if received > 0 {
                found.push(format!(
                    "{sink} has {received} reports that the ledger lacks"
                ));
            }
            continue;
        };
        let tasks = if sink == "tasks/issue-core" { TASKS } else { 1 };
        let (declared, allowed): (usize, &[DeliveryResult]) = match delivery.result {
            DeliveryResult::Failed if leniency.refused_for_good => (0, &[DeliveryResult::Failed]),
            _ => (tasks, &[DeliveryResult::Delivered, DeliveryResult::Exists]),
        };
        if !allowed.contains(&delivery.result) && !refused_early {
            found.push(format!("the ledger says {:?} of {sink}", delivery.result));
        }
        if received > tasks || received < declared && !refused_early {
            found.push(format!("{sink} has {received} reports, not {declared}"));
        }
    }
    Ok(found)
}

/// How many tasks an answer of the language model's stand-in has.
const TASKS: usize = 1;

/// How many reports of a run each sink has received.
fn received(lane: &Lane, run_id: &str) -> [(&'static str, usize); 4] {
    let stand_ins = lane.environment.stand_ins();
    let hub = stand_ins.state_hub.entries();
    let hub = hub.iter().filter(|entry| {
        let id = entry.detail.get("activity_core_run_id");
        id.and_then(Value::as_str) == Some(run_id)
    });
    let hook = stand_ins.webhook.events();
    let mut hook: Vec<_> = hook
        .iter()
        .filter(|event| event.attribute("id") == run_id)
        .map(|event| event.attribute("id").to_owned())
        .collect();
    // A receiver of webhooks knows an event by its id: that it comes again is allowed.
    hook.dedup();
    let issues = stand_ins.issue_core.issues();
    let issues = issues
        .iter()
        .filter(|issue| issue.content.external_id.starts_with(run_id));
    let files = std::fs::read_dir(lane.environment.working_memory());
    let files = files.into_iter().flatten().flatten();
    let suffix = format!("-{run_id}.md");
    let files = files.filter(|file| file.file_name().to_string_lossy().ends_with(&suffix));
    [
        ("hub", hub.count()),
        ("memory", files.count()),
        ("hook", hook.len()),
        ("tasks/issue-core", issues.count()),
    ]
}
