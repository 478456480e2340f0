//! `actcore events test` and `replay`.

use anyhow::{Context as _, Result};
use chrono::Utc;
use domain::{ActivityId, RunId, TriggerKey};
use serde_json::{Value, json};
use store::NewRun;

use super::bench::{Bench, user_created};
use crate::verify::command::{Actcore, Answer};

fn on(event: Value) -> Value {
    json!({"trigger": {"event": event}})
}

#[tokio::test]
async fn an_event_is_explained_from_the_mirror_and_from_files_and_changes_nothing() -> Result<()> {
    let bench = Bench::new("events test").await?;
    let _router = bench.start([]).await?;
    let all = bench
        .define("all", json!({"eventType": "user.created"}))
        .await?;
    let free = json!({"eventType": "user.created", "filters": {"tier": "free"}});
    bench.define("free", free).await?;
    let folder = bench.place.environment.folder();
    let event = folder.join("event.json");
    std::fs::write(&event, user_created("1", "users").to_string())?;
    let event = event.to_str().context("no UTF-8")?;

    let answer = bench.actcore().run(&["events", "test", event]).await?;
    assert_eq!(answer.code, 0, "{answer:?}");
    let trigger = TriggerKey::Event {
        source: "users".to_owned(),
        event_id: "1".to_owned(),
    };
    let run = RunId::of(all, &trigger);
    let line = |name: &str| {
        let found = answer.stdout.lines().find(|line| line.contains(name));
        found.unwrap_or_default().to_owned()
    };
    assert!(
        line(" all ").contains(&format!("start    run {run}")),
        "{answer:?}"
    );
    let why = "skip     payload.tier is \"pro\", the filter asks for \"free\"";
    assert!(line(" free ").contains(why), "{answer:?}");
    bench.expect_runs(all, 0).await?;

    // Offline: nothing is set that could be contacted.
    let manifests = folder.join("activities.yaml");
    std::fs::write(
        &manifests,
        "apiVersion: activity-core.io/v1alpha1\nkind: EventType\nmetadata: {name: user.created}\n\
         spec: {validation: Enforce, schema: {required: [region]}}\n---\n\
         apiVersion: activity-core.io/v1alpha1\nkind: ActivityDefinition\n\
         metadata: {name: onboarding}\nspec: {trigger: {event: {eventType: user.created}}}\n",
    )?;
    let offline = Actcore::new([]);
    let manifests = manifests.to_str().context("no UTF-8")?;
    let words = ["events", "test", event, "-f", manifests, "-o", "json"];
    let answer = offline.run(&words).await?;
    assert_eq!(answer.code, 1, "{answer:?}");
    let explained = answer.json();
    assert_eq!(explained["deadLetter"][0]["reason"], "SchemaViolation");
    assert_eq!(explained["definitions"][0]["result"], "deadLetter");
    let why = explained["definitions"][0]["why"].as_str();
    assert!(
        why.is_some_and(|why| why.contains("default/user.created")),
        "{explained}"
    );
    Ok(())
}

/// The action and the reason of each run of an answer, with the event's id.
fn actions(answer: &Answer) -> Vec<(String, String)> {
    let json = answer.json();
    let runs = json["runs"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    runs.iter()
        .map(|run| {
            let what = match run["started"].as_str() {
                Some(started) => format!("started {started}"),
                None => format!("{} {}", text(&run["action"]), text(&run["reason"])),
            };
            (text(&run["eventId"]), what.trim_end().to_owned())
        })
        .collect()
}

fn expected(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    let lines = lines.iter();
    lines
        .map(|(event, what)| ((*event).to_owned(), (*what).to_owned()))
        .collect()
}

#[tokio::test]
async fn a_replay_starts_what_never_started_and_nothing_else() -> Result<()> {
    let bench = Bench::new("replay").await?;
    let router = bench.start([]).await?;
    let late = bench
        .define("late", json!({"eventType": "user.created"}))
        .await?;
    bench.publish(&user_created("started", "users")).await?;
    bench.all_settled(1).await?;
    let disabled = json!({"enabled": false, "trigger": {"event": {"eventType": "user.created"}}});
    bench.write(late, "late", disabled).await?;
    for id in ["missed", "in the ledger"] {
        bench.publish(&user_created(id, "users")).await?;
    }
    bench.all_settled(3).await?;
    enter(&bench, late, "in the ledger").await?;
    // It comes while no router runs: it is not ours to start.
    router.stop().await?;
    bench.publish(&user_created("not settled", "users")).await?;
    bench
        .write(late, "late", on(json!({"eventType": "user.created"})))
        .await?;

    let words = [
        "events",
        "replay",
        "--from",
        "1h",
        "--definition",
        "late",
        "-o",
        "json",
    ];
    let actcore = bench.actcore();
    let left = [
        ("in the ledger", "leave the ledger has it: Running"),
        (
            "not settled",
            "leave the event router is not done with the event",
        ),
    ];
    let started = ("started", "leave Temporal has it");
    let planned = actcore.run(&words).await?;
    assert_eq!(planned.code, 0, "{planned:?}");
    let plan = expected(&[started, ("missed", "start"), left[0], left[1]]);
    assert_eq!(actions(&planned), plan, "{planned:?}");
    bench.expect_runs(late, 1).await?;

    let done = actcore.run(&[&words[..], &["--yes"]].concat()).await?;
    let plan = expected(&[started, ("missed", "started now"), left[0], left[1]]);
    assert_eq!(actions(&done), plan, "{done:?}");
    bench.expect_runs(late, 2).await?;

    let again = actcore.run(&[&words[..], &["--yes"]].concat()).await?;
    let missed = ("missed", "leave Temporal has it");
    let plan = expected(&[started, missed, left[0], left[1]]);
    assert_eq!(actions(&again), plan, "{again:?}");
    let none = actcore
        .run(&[
            "events", "replay", "--from", "2h", "--to", "1h", "-o", "json",
        ])
        .await?;
    assert_eq!(none.json()["events"], 0, "{none:?}");
    Ok(())
}

/// Enters a run of an event, as a worker did that was lost with Temporal's database.
async fn enter(bench: &Bench, activity: ActivityId, event_id: &str) -> Result<()> {
    let run = NewRun {
        activity,
        trigger: TriggerKey::Event {
            source: "users".to_owned(),
            event_id: event_id.to_owned(),
        },
        fired_at: Utc::now(),
        workflow_id: "made-up".to_owned(),
        workflow_run_id: "made-up".to_owned(),
        trace_id: None,
    };
    bench.place.store.begin_run(&run).await?;
    Ok(())
}
