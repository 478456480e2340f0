//! `actcore` beside `verify`: what a person does with definitions and runs, by each of the ways
//! that lead to them.

use anyhow::{Context as _, Result};
use crds::ActivityDefinition;
use domain::Trigger;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use temporal::{Pause, ScheduleAction, ScheduleSpec};
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

    Ok(())
}

/// The Schedule that an object declares, not paused.
fn declared(object: &ActivityDefinition) -> Result<ScheduleSpec> {
    let activity = object.activity_id().context("no activity id")?;
    let definition = object.spec.validate(activity, &object.name_any())?;
    let Trigger::Cron(trigger) = definition.trigger else {
        anyhow::bail!("no cron trigger");
    };
    Ok(ScheduleSpec {
        object_uid: object.uid().context("no UID")?.parse()?,
        action: ScheduleAction {
            activity,
            activity_name: definition.name,
        },
        trigger,
        pause: Pause::No,
    })
}

#[tokio::test]
async fn a_sync_puts_right_what_is_not_in_order_and_says_what_it_changed() -> Result<()> {
    let everything = Everything::new("sync all").await?;
    let place = &everything.place;
    let cron = json!({"cron": {"expression": "0 9 * * *"}});
    place.create("gone", json!({"trigger": cron})).await?;
    place
        .create("resumed", json!({"trigger": cron, "enabled": false}))
        .await?;
    place.create("fine", json!({"trigger": cron})).await?;
    everything.define_manual().await?;
    let mut schedules = Vec::new();
    for (name, reason) in [
        ("gone", "Synced"),
        ("resumed", "Suspended"),
        ("fine", "Synced"),
    ] {
        let object = place
            .condition(name, "ScheduleSynced", ("True", reason))
            .await?;
        let activity = object.activity_id().unwrap();
        schedules.push(activity);
    }
    let sync = ["sync", "-o", "json"];
    let changes = |answer: &Answer| -> Vec<String> {
        let definitions = answer.json()["definitions"].as_array().unwrap().clone();
        let words = definitions.iter().map(|one| {
            format!(
                "{} {}/{}",
                one["name"].as_str().unwrap(),
                one["schedule"].as_str().unwrap(),
                one["mirror"].as_str().unwrap()
            )
        });
        words.collect()
    };
    let first = everything.run(&everything.actcore, &sync).await?;
    assert_eq!(first.code, 0, "{first:?}");
    assert_eq!(
        changes(&first),
        [
            "clean-up none/unchanged",
            "fine unchanged/unchanged",
            "gone unchanged/unchanged",
            "resumed unchanged/unchanged"
        ]
    );

    // Behind the operator's back.
    place.temporal.delete_schedule(schedules[0]).await?;
    let resumed = declared(&place.definitions.get("resumed").await?)?;
    place.temporal.replace_schedule(&resumed).await?;
    let fine = place.store.definition(schedules[2]).await?.unwrap();
    place
        .store
        .delete_definition(schedules[2], fine.uid)
        .await?;
    let second = everything.run(&everything.actcore, &sync).await?;
    assert_eq!(
        changes(&second),
        [
            "clean-up none/unchanged",
            "fine unchanged/created",
            "gone created/unchanged",
            "resumed paused/unchanged"
        ],
        "{second:?}"
    );

    let Everything {
        place,
        actcore,
        programs,
    } = everything;
    // Nobody is there to answer.
    drop(programs);
    let namespace = place.environment.namespace();
    let unanswered = actcore
        .run(&["sync", "--timeout", "1", "-n", namespace])
        .await?;
    assert_eq!(unanswered.code, 2, "{unanswered:?}");
    assert!(
        unanswered.stderr.contains("did not answer for 4 of 4"),
        "{unanswered:?}"
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

    let feedback = [
        "feedback",
        &run,
        "--kind",
        "too-long",
        "--comment",
        "Three would do.",
    ];
    for way in [actcore, &through_api] {
        let given = way.run(&feedback).await?;
        assert_eq!(given.code, 0, "{given:?}");
        let list = way.run(&["feedback", "list", &run, "-o", "json"]).await?;
        let said = list.json();
        assert_eq!(said.as_array().map(Vec::len), Some(1), "{list:?}");
        assert_eq!(
            (&said[0]["kind"], &said[0]["comment"]),
            (&json!("TooLong"), &json!("Three would do.")),
            "{list:?}"
        );
    }
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
    // A worker is ready a moment before the server has seen it poll.
    wait::until("all to be well", PATIENCE, || async {
        let well = everything.run(actcore, &["doctor"]).await?;
        anyhow::Ok(if well.code == 0 {
            Seen::Done(())
        } else {
            Seen::not_yet(format!("{well:?}"))
        })
    })
    .await?;

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
            "Temporal namespace",
        ),
        ("NATS_URL", "nats://127.0.0.1:1", "NATS"),
        ("STATE_HUB_URL", "http://127.0.0.1:1", "State Hub"),
        ("API_URL", "http://127.0.0.1:1", "REST API"),
        ("WORKING_MEMORY_DIR", "/no/such/folder", "working memory"),
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
