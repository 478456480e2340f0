//! The runbook's daily triage: everything that a run leaves carries the same run id.

use anyhow::Result;
use domain::RunOutcome;
use serde_json::json;

use super::run::RunPlace;
use super::{ANSWER, triage};

#[tokio::test]
async fn every_artefact_of_the_daily_triage_carries_the_same_run_id() -> Result<()> {
    let place = RunPlace::new("daily triage").await?;
    let mut spec = triage(&place);
    spec["trigger"] = json!({"cron": {
        "expression": "*/3 * * * * * *", "timezone": "Europe/Berlin",
        "misfirePolicy": "Skip", "overlapPolicy": "Skip"}});
    spec["instruction"]["prompt"] = json!("It is {{ run.date }}: {{ context.hub | tojson }}");
    place.define(spec).await?;
    for _ in 0..20 {
        place.stand_ins().chat.answer_next(ANSWER);
    }
    let _worker = place
        .worker([
            ("EGRESS_ALLOWED_HOSTS", "127.0.0.1"),
            ("ISSUE_SINK_TYPE", "issue-core"),
        ])
        .await?;
    let run = place.scheduled().await?;
    assert_eq!(run.outcome, RunOutcome::Succeeded, "{:?}", run.error);
    let id = run.run_id.to_string();

    // Temporal: found by its search attributes, and its result names the run.
    let workflow_id = run.workflow_id.clone().unwrap();
    let nominal = contracts::workflow::format_time(run.scheduled_for.unwrap());
    assert_eq!(
        workflow_id,
        format!("activity-run-{}-{nominal}", place.activity)
    );
    assert_eq!(place.closed(&workflow_id).await?, "Completed");
    let history = place.history(&workflow_id).await?;
    assert!(
        history.contains(&format!("\"runId\":\"{id}\"")),
        "{history}"
    );
    for attribute in ["ActivityId", "ActivityName"] {
        assert!(history.contains(attribute), "{attribute} in {history}");
    }
    // The ledger: one row, four deliveries.
    let deliveries = place.deliveries(run.run_id).await?;
    assert_eq!(deliveries.len(), 4, "{deliveries:?}");
    assert!(
        deliveries
            .values()
            .all(|delivery| delivery.result.is_present())
    );

    let stand_ins = place.stand_ins();
    let entries = stand_ins.state_hub.entries();
    let of_run = |detail: &serde_json::Map<String, serde_json::Value>| {
        detail["activity_core_run_id"] == id.as_str()
    };
    let entry = entries.iter().find(|entry| of_run(&entry.detail)).unwrap();
    assert_eq!(entry.event_type, "daily_triage");
    let day = run.scheduled_for.unwrap();
    let day = domain::TimeZone::parse("Europe/Berlin")?.date_at(day);
    let name = format!("daily-triage-{day}-{id}.md");
    let reports = place.reports()?;
    let (_, report) = reports.iter().find(|(file, _)| *file == name).unwrap();
    assert!(report.starts_with(&format!("---\nactivity_core_run_id: \"{id}\"\n")));
    let events = stand_ins.webhook.events();
    let event = events.iter().find(|event| event.attribute("id") == id);
    assert_eq!(event.unwrap().data["activity_core_run_id"], id.as_str());
    let issues = stand_ins.issue_core.issues();
    let of_run = issues
        .iter()
        .filter(|issue| of_run(&issue.content.metadata));
    assert_eq!(of_run.count(), 2);
    Ok(())
}
