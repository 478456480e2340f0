//! Every run completes or says why: the worker's claims, on a real Temporal and Postgres and with
//! stand-ins for the systems that it reports to.

mod builds;
mod faults;
mod holds;
mod killed;
mod object_store;
mod proxy;
mod run;
mod secrets;
mod secured;
mod sizes;
mod triage;

use std::time::Duration;

use anyhow::Result;
use chrono::{TimeDelta, Utc};
use domain::{DeliveryResult, RunId, RunOutcome, TriggerKey};
use serde_json::{Value, json};
use store::{Begun, NewRun, RunEnd};
use temporal::RunStart;
use testkit::Program;
use testkit::stand_ins::Fault;

use crate::place::PATIENCE;
use run::{REQUEST, RunPlace, event};

/// All kinds of sinks at once.
fn triage(place: &RunPlace) -> Value {
    json!({
        "displayName": "Daily triage",
        "tier": "Critical",
        "context": [{"name": "hub", "stateHub": {"limit": 5}},
                    {"name": "previous", "previousReport": {}}],
        "instruction": {
            "model": "triage", "maxTokens": 500, "timeoutSeconds": 60,
            "prompt": "It is {{ run.date }}. {{ event.payload.tier }} {{ context.hub | tojson }} \
                       {{ context.previous }}",
            "outputSchema": {"type": "object", "required": ["report", "tasks"]}},
        "reports": [
            {"name": "hub", "stateHub": {"eventType": "daily_triage"}},
            {"name": "memory", "workingMemory": {"prefix": "daily-triage"}},
            {"name": "hook", "webhook": {"url": format!("{}/hook", place.stand_ins().webhook.url())}}],
        "tasks": {"type": "IssueCore"},
    })
}

fn hub_and_memory() -> Value {
    json!({"reports": [
        {"name": "hub", "stateHub": {"eventType": "daily_triage"}},
        {"name": "memory", "workingMemory": {"prefix": "daily-triage"}}]})
}

const ANSWER: &str = r##"{"report": "# Two loose ends, canary-report-text", "tasks": ["call Ada", {"title": "renew", "priority": "high"}]}"##;

#[tokio::test]
async fn every_sink_gets_the_report_under_one_run_id() -> Result<()> {
    let place = RunPlace::new("sinks").await?;
    place.define(triage(&place)).await?;
    place.stand_ins().chat.answer_next(ANSWER);
    let _worker = place
        .worker([
            ("EGRESS_ALLOWED_HOSTS", "127.0.0.1"),
            ("ISSUE_SINK_TYPE", "issue-core"),
        ])
        .await?;
    let start = place.start_by_event(&event()).await?;
    let run = place.ended(start.run_id).await?;
    assert_eq!(run.outcome, RunOutcome::Succeeded, "{:?}", run.error);
    let run_id = start.run_id.to_string();

    let usage = run.usage.unwrap();
    assert_eq!(usage.model, "triage");
    assert_eq!(usage.prompt_sha256.len(), 64);
    assert!(usage.prompt_tokens > 0 && usage.completion_tokens > 0);
    let asked = &place.stand_ins().chat.traffic().requests()[0].json();
    let prompt = asked["messages"][1]["content"].as_str().unwrap();
    assert!(prompt.contains("pro []"), "{prompt}");

    let entries = place.stand_ins().state_hub.entries();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].event_type, "daily_triage");
    assert_eq!(entries[0].detail["activity_core_run_id"], run_id.as_str());
    let files = place.reports()?;
    assert_eq!(files.len(), 1, "{files:?}");
    let (name, content) = &files[0];
    assert!(name.starts_with("daily-triage-") && name.ends_with(&format!("-{run_id}.md")));
    assert!(content.contains(&format!("activity_core_run_id: \"{run_id}\"")));
    assert!(content.ends_with("\n# Two loose ends, canary-report-text\n"));
    let events = place.stand_ins().webhook.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].attribute("id"), run_id);
    let issues = place.stand_ins().issue_core.issues();
    let titles: Vec<_> = issues.iter().map(|issue| &issue.content.title).collect();
    assert_eq!(titles, ["call Ada", "renew"]);
    assert_eq!(issues[1].content.external_id, format!("{run_id}/1"));

    let deliveries = place.deliveries(start.run_id).await?;
    for sink in ["hub", "memory", "hook", "tasks/issue-core"] {
        assert_eq!(deliveries[sink].result, DeliveryResult::Delivered, "{sink}");
    }
    place.record_history(&start.workflow_id, "every-step").await
}

#[tokio::test]
async fn a_run_that_temporal_has_forgotten_is_not_run_again() -> Result<()> {
    let place = RunPlace::new("forgotten").await?;
    place.define(hub_and_memory()).await?;
    let start = RunStart::by_request(place.activity, "daily", REQUEST);
    // What the ledger knows of a workflow from before Temporal was restored from a backup.
    let forgotten = NewRun {
        activity: place.activity,
        trigger: TriggerKey::Manual {
            request_id: REQUEST.to_owned(),
        },
        fired_at: Utc::now(),
        workflow_id: start.workflow_id.clone(),
        workflow_run_id: "forgotten".to_owned(),
        trace_id: None,
    };
    let store = &place.place.store;
    assert!(matches!(store.begin_run(&forgotten).await?, Begun::Here(_)));
    let end = RunEnd {
        outcome: RunOutcome::Succeeded,
        error: None,
        completed_at: Utc::now(),
    };
    store.end_run(start.run_id, &end).await?;
    let before = store.run(start.run_id).await?;

    let _worker = place.worker([]).await?;
    place.start_by_request(REQUEST).await?;
    testkit::wait::until("the workflow to end", PATIENCE, || async {
        let temporal = &place.place.temporal;
        let latest = temporal.latest_workflows(&[place.activity]).await?;
        Ok::<_, temporal::Error>(latest.get(&place.activity).is_some_and(|workflow| {
            workflow.status == domain::verification::WorkflowStatus::Completed
        }))
    })
    .await?;
    assert_eq!(store.run(start.run_id).await?, before);
    assert!(place.stand_ins().state_hub.entries().is_empty());
    assert!(place.reports()?.is_empty());
    Ok(())
}

#[tokio::test]
async fn calls_carry_the_trace_and_a_key_and_histories_no_report() -> Result<()> {
    let place = RunPlace::new("trace").await?;
    place.define(triage(&place)).await?;
    place.stand_ins().chat.answer_next(ANSWER);
    let worker = place
        .worker([("EGRESS_ALLOWED_HOSTS", "127.0.0.1")])
        .await?;
    let start = place.start_by_event(&event()).await?;
    place.ended(start.run_id).await?;

    let requests = place.stand_ins().state_hub.traffic().requests();
    let posted = requests.iter().find(|request| request.method == "POST");
    let headers = &posted.unwrap().headers;
    assert_eq!(headers["idempotency-key"], format!("{}/hub", start.run_id));
    assert!(headers["traceparent"].starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));

    let history = place.history(&start.workflow_id).await?;
    assert!(history.contains("complete_instruction"));
    assert!(!history.contains("canary-report-text"));

    let metrics = reqwest::get(format!("{}/metrics", worker.metrics_url())).await?;
    let metrics = metrics.text().await?;
    for series in [
        "activity_core_runs_total{outcome=\"Succeeded\",tier=\"Critical\"} 1",
        "activity_core_runs_total{outcome=\"Failed\",tier=\"Critical\"} 0",
        "activity_core_sink_deliveries_total{kind=\"stateHub\",name=\"daily\",namespace=\"default\",\
         result=\"Delivered\",sink=\"hub\",tier=\"Critical\"} 1",
        "activity_core_sink_deliveries_total{kind=\"issueCore\",name=\"daily\",namespace=\"default\",\
         result=\"DryRun\",sink=\"tasks/issue-core\",tier=\"Critical\"} 1",
        "activity_core_dependency_up{dependency=\"temporal\"} 1",
        "activity_core_dependency_up{dependency=\"postgres\"} 1",
        "temporal_workflow_completed_total",
        "temporal_request_total",
    ] {
        assert!(metrics.contains(series), "{series} is not in\n{metrics}");
    }
    Ok(())
}

#[tokio::test]
async fn an_activity_without_an_instruction_still_proves_that_it_ran() -> Result<()> {
    let place = RunPlace::new("no instruction").await?;
    place.define(hub_and_memory()).await?;
    let _worker = place.worker([]).await?;
    let start = place.start_by_request(REQUEST).await?;
    let run = place.ended(start.run_id).await?;
    assert_eq!(run.outcome, RunOutcome::Succeeded, "{:?}", run.error);
    assert_eq!(place.reports()?.len(), 1);
    assert_eq!(place.stand_ins().state_hub.entries().len(), 1);
    place
        .record_history(&start.workflow_id, "no-instruction")
        .await
}

#[tokio::test]
async fn a_scheduled_run_belongs_to_its_nominal_time() -> Result<()> {
    let place = RunPlace::new("scheduled").await?;
    place
        .define(json!({
            "trigger": {"cron": {"expression": "*/2 * * * * * *", "timezone": "Asia/Tokyo"}},
            "reports": [{"name": "memory", "workingMemory": {"prefix": "daily"}}]}))
        .await?;
    let _worker = place.worker([]).await?;
    let run = place.scheduled().await?;
    assert_eq!(run.outcome, RunOutcome::Succeeded, "{:?}", run.error);
    let nominal = run.scheduled_for.unwrap();
    let trigger = TriggerKey::Schedule(nominal);
    assert_eq!(run.run_id, RunId::of(place.activity, &trigger));
    assert_eq!(nominal.timestamp() % 2, 0);
    assert!(run.fired_at.unwrap() >= nominal);
    let day = (nominal + TimeDelta::hours(9)).date_naive();
    let name = format!("daily-{day}-{}.md", run.run_id);
    assert!(
        place.reports()?.iter().any(|(file, _)| *file == name),
        "{name}"
    );
    Ok(())
}

#[tokio::test]
async fn a_failing_sink_stops_no_other_and_shows_until_it_recovers() -> Result<()> {
    let place = RunPlace::new("sink fails").await?;
    place.define(hub_and_memory()).await?;
    place.stand_ins().state_hub.traffic().fail_next(3, 503);
    let _worker = place.worker([]).await?;
    let start = place.start_by_request(REQUEST).await?;

    let failing = place
        .delivery(start.run_id, "hub", |delivery| {
            delivery.last_error.is_some()
        })
        .await?;
    assert_eq!(failing.result, DeliveryResult::Pending);
    assert!(failing.last_error.unwrap().contains("answered 503"));
    place
        .delivery(start.run_id, "memory", |delivery| {
            delivery.result.is_present()
        })
        .await?;

    let run = place.ended(start.run_id).await?;
    assert_eq!(run.outcome, RunOutcome::Succeeded, "{:?}", run.error);
    let deliveries = place.deliveries(start.run_id).await?;
    assert_eq!(deliveries["hub"].result, DeliveryResult::Delivered);
    assert_eq!(deliveries["hub"].attempts, 4);
    assert_eq!(deliveries["hub"].last_error, None);
    assert_eq!(deliveries["memory"].attempts, 1);
    Ok(())
}

#[tokio::test]
async fn a_refused_report_is_not_tried_again_and_fails_the_run_by_name() -> Result<()> {
    let place = RunPlace::new("sink refuses").await?;
    place.define(hub_and_memory()).await?;
    place.stand_ins().state_hub.traffic().fail_next(1, 422);
    let _worker = place.worker([]).await?;
    let start = place.start_by_request(REQUEST).await?;
    let run = place.ended(start.run_id).await?;
    assert_eq!(run.outcome, RunOutcome::Failed);
    let error = run.error.unwrap();
    assert!(
        error.contains("reports[hub]") && error.contains("answered 422"),
        "{error}"
    );
    let deliveries = place.deliveries(start.run_id).await?;
    assert_eq!(deliveries["hub"].result, DeliveryResult::Failed);
    assert_eq!(deliveries["hub"].attempts, 1);
    assert_eq!(deliveries["memory"].result, DeliveryResult::Delivered);
    assert_eq!(place.closed(&start.workflow_id).await?, "Failed");
    place
        .record_history(&start.workflow_id, "failed-sink")
        .await
}

#[tokio::test]
async fn a_lost_answer_leads_to_one_report() -> Result<()> {
    let place = RunPlace::new("lost answer").await?;
    place.define(hub_and_memory()).await?;
    let traffic = place.stand_ins().state_hub.traffic();
    traffic.delay_next(1, Duration::ZERO);
    traffic.fault_next(1, Fault::LostAnswer);
    let _worker = place.worker([]).await?;
    let start = place.start_by_request(REQUEST).await?;
    let run = place.ended(start.run_id).await?;
    assert_eq!(run.outcome, RunOutcome::Succeeded, "{:?}", run.error);
    let deliveries = place.deliveries(start.run_id).await?;
    assert_eq!(deliveries["hub"].result, DeliveryResult::Exists);
    assert_eq!(place.stand_ins().state_hub.entries().len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_answer_is_repaired_once_and_then_refused() -> Result<()> {
    let place = RunPlace::new("repair").await?;
    let spec = json!({
        "instruction": {"model": "m", "prompt": "p",
                        "outputSchema": {"type": "object", "required": ["items"]}}});
    place.define(spec).await?;
    let chat = &place.stand_ins().chat;
    chat.answer_next("Sorry.");
    chat.answer_next("```json\n{\"items\": []}\n```");
    let _worker = place.worker([]).await?;
    let start = place.start_by_request("repaired").await?;
    let run = place.ended(start.run_id).await?;
    assert_eq!(run.outcome, RunOutcome::Succeeded, "{:?}", run.error);
    let report = place.store().report(start.run_id).await?;
    assert_eq!(report.as_deref(), Some("{\"items\": []}"));
    let repair = chat.traffic().requests()[1].json();
    let said = repair["messages"][3]["content"].as_str().unwrap();
    assert!(said.contains("not JSON"), "{said}");

    chat.answer_next("Sorry.");
    chat.answer_next("Still sorry.");
    let start = place.start_by_request("refused").await?;
    let run = place.ended(start.run_id).await?;
    let error = run.error.unwrap();
    assert!(
        error.starts_with("instruction: ") && error.contains("outputSchema"),
        "{error}"
    );
    assert_eq!(chat.traffic().requests().len(), 4);
    Ok(())
}

#[tokio::test]
async fn an_answer_over_the_token_budget_fails_the_run() -> Result<()> {
    let place = RunPlace::new("budget").await?;
    let spec = json!({"instruction": {"model": "m", "prompt": "p", "maxTokens": 3}});
    place.define(spec).await?;
    place.stand_ins().chat.answer_next("one two three four");
    let _worker = place.worker([]).await?;
    let start = place.start_by_request(REQUEST).await?;
    let run = place.ended(start.run_id).await?;
    assert_eq!(run.outcome, RunOutcome::Failed);
    let error = run.error.unwrap();
    assert!(error.contains("instruction.maxTokens (3)"), "{error}");
    Ok(())
}

#[tokio::test]
async fn tasks_are_filed_only_where_the_cluster_allows_it() -> Result<()> {
    let place = RunPlace::new("tasks").await?;
    let spec = |dry_run: bool| {
        json!({"instruction": {"model": "m", "prompt": "p"},
               "tasks": {"type": "IssueCore", "dryRun": dry_run}})
    };
    let issue_core = &place.stand_ins().issue_core;
    let _worker = place.worker([]).await?;
    for dry_run in [false, true] {
        place.define(spec(dry_run)).await?;
        place.stand_ins().chat.answer_next(ANSWER);
        let start = place.start_by_request(&format!("{dry_run}")).await?;
        let run = place.ended(start.run_id).await?;
        assert_eq!(run.outcome, RunOutcome::Succeeded, "{:?}", run.error);
        let deliveries = place.deliveries(start.run_id).await?;
        let delivery = &deliveries["tasks/issue-core"];
        assert_eq!(delivery.result, DeliveryResult::DryRun);
        let checks = issue_core.traffic().requests();
        if dry_run {
            assert_eq!(checks.len(), 2);
            assert!(
                checks
                    .iter()
                    .all(|check| check.path.ends_with("?dry_run=true"))
            );
        } else {
            assert!(checks.is_empty());
            let note = delivery.last_error.as_deref().unwrap();
            assert!(
                note.contains("ISSUE_SINK_TYPE is null: 2 task(s)"),
                "{note}"
            );
        }
    }
    assert!(issue_core.issues().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_missing_setting_is_named_on_one_line() -> Result<()> {
    let path = testkit::binary(Program::Worker.binary())?;
    let cases: [(&[(&str, &str)], &str); 3] = [
        (&[], "actcore-worker: ACTCORE_DB_URL is required: "),
        (
            &[("ACTCORE_DB_URL", "postgres://127.0.0.1:1/x")],
            "actcore-worker: TEMPORAL_HOST is required: ",
        ),
        (
            &[
                ("ACTCORE_DB_URL", "postgres://127.0.0.1:1/x"),
                ("TEMPORAL_HOST", "127.0.0.1:1"),
                ("ISSUE_SINK_TYPE", "issue-core"),
            ],
            "actcore-worker: ISSUE_CORE_URL is required: ",
        ),
    ];
    for (settings, expected) in cases {
        let output = std::process::Command::new(&path)
            .env_clear()
            .envs([
                ("HEALTH_BIND_ADDR", "127.0.0.1:0"),
                ("PROMETHEUS_BIND_ADDR", "127.0.0.1:0"),
                ("RUST_LOG", "off"),
            ])
            .envs(settings.iter().copied())
            .output()?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
    Ok(())
}
