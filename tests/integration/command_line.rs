//! `actcore` beside `verify`: what a person does with definitions and runs, by each of the ways
//! that lead to them.

use anyhow::Result;
use serde_json::{Value, json};
use testkit::wait::Seen;
use testkit::{Program, RunningProgram, wait};

use crate::place::{PATIENCE, Place};
use crate::verify::command::{Actcore, Answer};

const EVENT_TYPE: &str = "\
apiVersion: activity-core.io/v1alpha1
kind: EventType
metadata: {name: user.created}
spec: {description: A new user}
";

const DEFINITION: &str = "\
apiVersion: activity-core.io/v1alpha1
kind: ActivityDefinition
metadata: {name: daily-report}
spec: {trigger: {cron: {expression: 0 9 * * 1-5, timezone: Europe/Berlin}}}
";

/// All programs and a command line in their environment.
struct Everything {
    place: Place,
    actcore: Actcore,
    programs: Vec<RunningProgram>,
}

impl Everything {
    async fn new(name: &str) -> Result<Self> {
        let place = Place::new(name).await?;
        let mut programs = Vec::new();
        for program in Program::ALL {
            programs.push(place.environment.start(program, []).await?);
        }
        let mut actcore = Actcore::new(place.environment.env());
        let api = programs
            .iter()
            .find(|running| running.program() == Program::Api);
        let api = api.map(|running| running.api_url().to_owned()).unwrap();
        actcore.environment.insert("API_URL".to_owned(), api);
        Ok(Self {
            place,
            actcore,
            programs,
        })
    }

    /// Runs a command line in the namespace of the test.
    async fn run(&self, actcore: &Actcore, words: &[&str]) -> Result<Answer> {
        let namespace = ["-n", self.place.environment.namespace()];
        actcore.run(&[words, &namespace[..]].concat()).await
    }

    async fn define_manual(&self) -> Result<()> {
        self.place.create("clean-up", json!({})).await?;
        self.place
            .condition("clean-up", "Ready", ("True", "Synced"))
            .await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_folder_is_applied_once_and_then_unchanged() -> Result<()> {
    let everything = Everything::new("sync").await?;
    let actcore = &everything.actcore;
    let folder = everything.place.environment.folder().join("activities");
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("a.yaml"), DEFINITION)?;
    std::fs::write(folder.join("b.yml"), EVENT_TYPE)?;
    let words = ["sync", "-f", folder.to_str().unwrap()];
    let states = |definition: &str, event_type: &str| {
        format!(
            "eventtype.activity-core.io/user.created {event_type}\n\
             activitydefinition.activity-core.io/daily-report {definition}\n"
        )
    };

    let planned = [&words[..], &["--dry-run"]].concat();
    let answer = everything.run(actcore, &planned).await?;
    assert_eq!(
        answer.stdout,
        states("created (dry run)", "created (dry run)"),
        "{answer:?}"
    );
    let answer = everything.run(actcore, &words).await?;
    assert_eq!(answer.stdout, states("created", "created"), "{answer:?}");
    let answer = everything.run(actcore, &words).await?;
    assert_eq!(
        answer.stdout,
        states("unchanged", "unchanged"),
        "{answer:?}"
    );
    std::fs::write(folder.join("a.yaml"), DEFINITION.replace("0 9", "30 9"))?;
    let answer = everything.run(actcore, &words).await?;
    assert_eq!(
        answer.stdout,
        states("configured", "unchanged"),
        "{answer:?}"
    );
    assert_eq!(answer.code, 0, "{answer:?}");

    std::fs::write(folder.join("a.yaml"), DEFINITION.replace("0 9", "61 9"))?;
    std::fs::write(
        folder.join("b.yml"),
        EVENT_TYPE.replace("A new user", "changed"),
    )?;
    let answer = everything.run(actcore, &words).await?;
    assert_eq!((answer.code, answer.stdout.as_str()), (3, ""), "{answer:?}");
    assert!(answer.stderr.contains("a.yaml"), "{answer:?}");
    assert!(
        answer.stderr.contains("spec.trigger.cron.expression"),
        "{answer:?}"
    );

    let answer = everything.run(actcore, &["sync"]).await?;
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(
        answer.stdout.contains("the definition is in force"),
        "{answer:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_request_is_one_run_by_whichever_way_it_goes() -> Result<()> {
    let everything = Everything::new("trigger").await?;
    everything.define_manual().await?;
    let actcore = &everything.actcore;
    let ways = [
        vec![],
        vec![("TEMPORAL_HOST", "")],
        // The annotation; the ledger is still read in Postgres.
        vec![("TEMPORAL_HOST", ""), ("API_URL", "")],
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let actcore = actcore.with(&way);
        let request = format!("request-{number}");
        let words = [
            "trigger",
            "clean-up",
            "--request-id",
            &request,
            "--wait",
            "-o",
            "json",
        ];
        let first = everything.run(&actcore, &words).await?;
        assert_eq!(first.code, 0, "{first:?}");
        assert_eq!(first.json()["run"]["outcome"], "Succeeded", "{first:?}");
        let second = everything.run(&actcore, &words).await?;
        assert_eq!(first.json()["runId"], second.json()["runId"], "{second:?}");
    }
    let runs = everything
        .run(actcore, &["runs", "clean-up", "-o", "json"])
        .await?;
    assert_eq!(runs.json().as_array().map(Vec::len), Some(3), "{runs:?}");

    let run = runs.json()[0]["runId"].as_str().unwrap().to_owned();
    let ledger = actcore.run(&["run", "show", &run, "-o", "json"]).await?;
    let through_api = actcore.with(&[("ACTCORE_DB_URL", "")]);
    let shown = through_api
        .run(&["run", "show", &run, "-o", "json"])
        .await?;
    assert_eq!(ledger.json(), shown.json());
    let nothing = actcore
        .run(&["run", "show", &uuid::Uuid::nil().to_string()])
        .await?;
    assert_eq!(nothing.code, 3, "{nothing:?}");
    Ok(())
}

#[tokio::test]
async fn definitions_are_managed_in_kubernetes_and_without_access_through_the_api() -> Result<()> {
    let everything = Everything::new("definitions").await?;
    let in_cluster = everything.actcore.clone();
    let through_api = in_cluster.with(&[("KUBECONFIG", ""), ("HOME", "/nonexistent")]);
    for (actcore, name) in [(&in_cluster, "by-kubectl"), (&through_api, "by-api")] {
        let create = ["create", "cron", name, "--expression", "0 9 * * 1-5"];
        let created = everything.run(actcore, &create).await?;
        assert_eq!(created.code, 0, "{created:?}");
        let again = everything.run(actcore, &create).await?;
        assert_eq!(again.code, 1, "{again:?}");
        assert!(again.stderr.contains("exist"), "{again:?}");

        let disabled = everything.run(actcore, &["disable", name]).await?;
        assert!(disabled.stdout.ends_with("disabled\n"), "{disabled:?}");
        let twice = everything.run(actcore, &["disable", name]).await?;
        assert!(twice.stdout.contains("unchanged"), "{twice:?}");
        let shown = everything
            .run(actcore, &["get", name, "-o", "json"])
            .await?;
        assert_eq!(shown.json()[0]["enabled"], false, "{shown:?}");
        assert_eq!(
            shown.json()[0]["trigger"]["expression"],
            "0 9 * * 1-5",
            "{shown:?}"
        );
        let enabled = everything.run(actcore, &["enable", name]).await?;
        assert!(enabled.stdout.ends_with("enabled\n"), "{enabled:?}");
        let described = everything.run(actcore, &["describe", name]).await?;
        assert!(described.stdout.contains("0 9 * * 1-5"), "{described:?}");
    }
    let after = [
        "next",
        "by-kubectl",
        "--after",
        "2026-11-27T09:00:00Z",
        "--count",
        "2",
        "-o",
        "json",
    ];
    wait::until("the mirror", PATIENCE, || async {
        let next = everything.run(&in_cluster, &after).await?;
        anyhow::Ok(if next.code == 0 {
            assert_eq!(
                next.json()["times"],
                json!(["2026-11-30T09:00:00Z", "2026-12-01T09:00:00Z"])
            );
            Seen::Done(())
        } else {
            Seen::not_yet(format!("{next:?}"))
        })
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn the_doctor_finds_what_is_missing_and_says_what_to_do() -> Result<()> {
    let everything = Everything::new("doctor").await?;
    let actcore = &everything.actcore;
    let well = everything.run(actcore, &["doctor"]).await?;
    assert_eq!(well.code, 0, "{well:?}");

    let broken = [
        (
            "ACTCORE_DB_URL",
            "postgres://actcore@127.0.0.1:1/x",
            "Postgres",
        ),
        ("TEMPORAL_HOST", "127.0.0.1:1", "Temporal"),
        (
            "TEMPORAL_NAMESPACE",
            "no-such-namespace",
            "Temporal search attributes",
        ),
        ("NATS_URL", "nats://127.0.0.1:1", "NATS"),
        ("STATE_HUB_URL", "http://127.0.0.1:1", "State Hub"),
        ("API_URL", "http://127.0.0.1:1", "REST API"),
    ];
    for (variable, value, dependency) in broken {
        let ill = actcore.with(&[(variable, value)]);
        let answer = everything.run(&ill, &["doctor", "-o", "json"]).await?;
        assert_ne!(answer.code, 0, "{variable}: {answer:?}");
        let findings = answer.json();
        let not_well: Vec<&Value> = findings
            .as_array()
            .into_iter()
            .flatten()
            .filter(|finding| finding["verdict"] != "ok")
            .collect();
        assert_eq!(not_well.len(), 1, "{variable}: {answer:?}");
        assert_eq!(
            not_well[0]["dependency"], dependency,
            "{variable}: {answer:?}"
        );
        assert!(not_well[0]["advice"].is_string(), "{variable}: {answer:?}");
    }

    let unset = Actcore::new([("HOME".to_owned(), "/nonexistent".to_owned())]);
    let answer = unset.run(&["doctor"]).await?;
    assert_eq!(answer.code, 2, "{answer:?}");
    for variable in ["KUBECONFIG", "ACTCORE_DB_URL", "TEMPORAL_HOST", "NATS_URL"] {
        assert!(answer.stdout.contains(variable), "{answer:?}");
    }
    drop(everything.programs);
    Ok(())
}
