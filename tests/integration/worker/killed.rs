//! kill -9 of the worker before, during and after each step of a run: one report in each sink, one
//! row in the ledger, every time.

use std::collections::BTreeSet;

use anyhow::Result;
use domain::{RunId, RunOutcome};
use serde_json::json;
use testkit::Signal;

use super::holds::{Fate, Holds, Moment};
use super::run::RunPlace;
use super::{ANSWER, triage};

/// More than the statements that are held at once.
const CONNECTIONS: &str = "60";

const fn moment(statement: &'static str, sink: &'static str) -> Moment {
    Moment { statement, sink }
}

/// Every step, and when the worker is killed in it. A step that only enters something is before
/// its effect when the statement is rolled back, and after it when it is committed.
fn cases() -> Vec<(String, Moment, Fate)> {
    use Fate::{Committed, RolledBack};
    let entering = [
        ("begin", moment("begin", "")),
        ("instruction", moment("answer", "")),
        ("end", moment("end", "")),
    ];
    let entered = entering.into_iter().flat_map(|(step, moment)| {
        [("before", RolledBack), ("after", Committed)]
            .map(|(when, fate)| (format!("{when}-{step}"), moment, fate))
    });
    let sinks = ["hub", "memory", "hook", "tasks/issue-core"];
    let delivered = sinks.into_iter().flat_map(|sink| {
        [
            ("before", moment("intent", sink), RolledBack),
            ("during", moment("result", sink), RolledBack),
            ("after", moment("result", sink), Committed),
        ]
        .map(|(when, moment, fate)| (format!("{when}-{}", sink.replace('/', "-")), moment, fate))
    });
    entered.chain(delivered).collect()
}

#[tokio::test]
async fn a_worker_killed_anywhere_leaves_one_report_per_sink_and_one_row() -> Result<()> {
    let place = RunPlace::new("killed anywhere").await?;
    let mut spec = triage(&place);
    // A request has no event.
    spec["instruction"]["prompt"] = json!("{{ context.hub | tojson }} {{ context.previous }}");
    place.define(spec).await?;
    let cases = cases();
    // Some are asked for again.
    for _ in 0..2 * cases.len() {
        place.stand_ins().chat.answer_next(ANSWER);
    }
    let mut holds = Holds::install(place.place.environment.database_url()).await?;
    let settings = [
        ("EGRESS_ALLOWED_HOSTS", "127.0.0.1"),
        ("ISSUE_SINK_TYPE", "issue-core"),
        ("ACTCORE_DB_MAX_CONNECTIONS", CONNECTIONS),
    ];
    let worker = place.worker(settings).await?;
    for (name, moment, fate) in &cases {
        holds
            .hold(place.run_of_request(name), *moment, *fate)
            .await?;
        place.start_by_request(name).await?;
    }
    holds.all_held().await?;
    worker.kill(Signal::KILL)?;
    worker.wait(crate::place::PATIENCE).await?;
    holds.let_go().await?;

    let _next = place.worker(settings).await?;
    for (name, ..) in &cases {
        let run = place.run_of_request(name);
        complete(&place, run, name).await?;
    }
    let limit = u16::try_from(cases.len() + 10)?;
    let rows = place.store().runs(place.activity, None, limit).await?;
    assert_eq!(rows.len(), cases.len(), "{rows:?}");
    Ok(())
}

/// The run succeeded, and everything that it leaves is there once.
async fn complete(place: &RunPlace, run: RunId, name: &str) -> Result<()> {
    let row = place.ended(run).await?;
    assert_eq!(
        row.outcome,
        RunOutcome::Succeeded,
        "{name}: {:?}",
        row.error
    );
    let deliveries = place.deliveries(run).await?;
    assert_eq!(deliveries.len(), 4, "{name}: {deliveries:?}");
    for (sink, delivery) in deliveries {
        assert!(delivery.result.is_present(), "{name}: {sink}: {delivery:?}");
    }
    let run = run.to_string();
    let entries = place.stand_ins().state_hub.entries();
    let entries = entries
        .iter()
        .filter(|entry| entry.detail["activity_core_run_id"] == run.as_str());
    assert_eq!(entries.count(), 1, "{name}: State Hub");
    let reports = place.reports()?;
    let reports = reports.iter().filter(|(file, _)| file.contains(&run));
    assert_eq!(reports.count(), 1, "{name}: working memory");
    let issues = place.stand_ins().issue_core.issues();
    let mut issues: Vec<_> = issues
        .iter()
        .map(|issue| issue.content.external_id.as_str())
        .filter(|id| id.starts_with(&run))
        .collect();
    issues.sort_unstable();
    assert_eq!(issues, [format!("{run}/0"), format!("{run}/1")], "{name}");
    // A webhook can't be asked whether it knows the run: what it gets twice has one key.
    let requests = place.stand_ins().webhook.traffic().requests();
    let keys: BTreeSet<&str> = requests
        .iter()
        .filter(|request| request.json()["id"] == run.as_str())
        .map(|request| request.headers["idempotency-key"].as_str())
        .collect();
    assert_eq!(keys.len(), 1, "{name}: webhook {keys:?}");
    Ok(())
}
