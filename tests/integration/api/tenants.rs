//! Two teams on one installation: by none of the ways in does one reach what is the other's.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use async_nats::jetstream;
use crds::ActivityDefinition;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, PostParams};
use kube::config::{AuthInfo, Kubeconfig};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::components::Component;
use testkit::{Program, Stack, StackOptions, wait};
use tokio::process::Command;

use super::access::service_account;
use super::caller::Caller;
use crate::place::{PATIENCE, Place};
use crate::verify::command::Actcore;

const EVERYTHING: [&str; 7] = [
    "get", "list", "watch", "create", "update", "patch", "delete",
];

const EVENT_TYPE: &str = "user.created";

/// A team: its namespace, and who it is to the API server, to the API and to the command line.
struct Team {
    namespace: String,
    definitions: Api<ActivityDefinition>,
    api: Caller,
    kubeconfig: PathBuf,
    actcore: Actcore,
}

/// One cluster with everything running in it for every namespace.
struct Cluster {
    stack: Stack,
    place: Place,
}

impl Cluster {
    async fn start() -> Result<Self> {
        // Programs that watch every namespace need a cluster of their own.
        let options = StackOptions {
            temporal_namespaces: 1,
            ..StackOptions::default()
        };
        let stack = Stack::start(options).await?;
        let place = Place::on(&stack, "tenants").await?;
        Ok(Self { stack, place })
    }

    /// A team that may do everything with definitions, in its own namespace.
    async fn team(&self, namespace: &str, api_url: &str) -> Result<Team> {
        let client = self.place.environment.kube_client().await?;
        let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        Api::all(client.clone())
            .create(&PostParams::default(), &object)
            .await?;
        let token = service_account(&self.place, namespace, ("member", &EVERYTHING)).await?;
        let api = Caller::new(api_url)?.with_token(&token);
        let listing = format!("/activity-definitions/?namespace={namespace}");
        wait::until("the team's role", PATIENCE, || async {
            anyhow::Ok(api.get(&listing).await?.status == StatusCode::OK)
        })
        .await?;
        let kubeconfig = self.kubeconfig(namespace, &token)?;
        let environment = [
            ("KUBECONFIG", kubeconfig.to_string_lossy().into_owned()),
            ("API_URL", api_url.to_owned()),
            ("API_TOKEN", token),
        ];
        Ok(Team {
            namespace: namespace.to_owned(),
            definitions: Api::namespaced(client, namespace),
            api,
            kubeconfig,
            actcore: Actcore::new(environment.map(|(name, value)| (name.to_owned(), value))),
        })
    }

    /// A kubeconfig that holds the team's token and nothing of the administrator.
    fn kubeconfig(&self, namespace: &str, token: &str) -> Result<PathBuf> {
        let mut config = Kubeconfig::read_from(self.place.environment.kubeconfig())?;
        for user in &mut config.auth_infos {
            user.auth_info = Some(AuthInfo {
                token: Some(token.to_owned().into()),
                ..AuthInfo::default()
            });
        }
        // The type keeps a token from being written by mistake; here it is meant.
        let mut config = serde_json::to_value(&config)?;
        for user in config["users"].as_array_mut().context("no users")? {
            user["user"]["token"] = json!(token);
        }
        let folder = self.place.environment.folder();
        let path = folder.join(format!("{namespace}.kubeconfig"));
        std::fs::write(&path, config.to_string())?;
        Ok(path)
    }

    /// What `kubectl` says to a team, and whether it did what it was told.
    async fn kubectl(&self, team: &Team, words: &[&str]) -> Result<(bool, String)> {
        let program = self.stack.components().program(Component::Kubectl)?;
        let running = Command::new(program)
            .args(words)
            .env_clear()
            .env("KUBECONFIG", &team.kubeconfig)
            .env("HOME", self.place.environment.folder())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let done = tokio::time::timeout(PATIENCE, running).await??;
        let printed = [done.stdout, done.stderr].concat();
        Ok((done.status.success(), String::from_utf8(printed)?))
    }

    async fn publish(&self, event_id: &str) -> Result<()> {
        let client = async_nats::connect(self.place.environment.nats_url()).await?;
        let event = json!({
            "event_id": event_id, "type": EVENT_TYPE, "source": "tests",
            "occurred_at": "2026-11-24T09:00:00Z", "payload": {},
        });
        let subject = format!("activity.{EVENT_TYPE}");
        let jetstream = jetstream::new(client);
        let sent = jetstream.publish(subject, event.to_string().into()).await?;
        sent.await?;
        Ok(())
    }
}

impl Team {
    /// Declares a definition and waits for what becomes of it.
    async fn declare(
        &self,
        name: &str,
        spec: Value,
        condition: &str,
    ) -> Result<ActivityDefinition> {
        let object: ActivityDefinition = serde_json::from_value(json!({
            "apiVersion": "activity-core.io/v1alpha1", "kind": "ActivityDefinition",
            "metadata": {"name": name}, "spec": spec,
        }))?;
        self.definitions
            .create(&PostParams::default(), &object)
            .await?;
        let what = format!("{}/{name} to be {condition}", self.namespace);
        let declared = wait::until(what, PATIENCE, || async {
            let object = self.definitions.get(name).await?;
            let conditions = object.status.iter().flat_map(|status| &status.conditions);
            let is_so = conditions
                .into_iter()
                .any(|found| found.type_ == condition && found.status == "True");
            Ok::<_, kube::Error>(is_so.then_some(object))
        });
        Ok(declared.await?)
    }

    /// The runs of a definition, as the API shows them to the team.
    async fn runs(&self, object: &ActivityDefinition) -> Result<Vec<Value>> {
        let answer = self.api.get(&format!("{}/runs", path_of(object)?)).await?;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let runs = answer.body["items"].as_array().context("no runs")?;
        Ok(runs.clone())
    }
}

fn path_of(object: &ActivityDefinition) -> Result<String> {
    let activity = object.activity_id().context("no id")?;
    Ok(format!("/activity-definitions/{activity}"))
}

fn on_event() -> Value {
    json!({"trigger": {"event": {"eventType": EVENT_TYPE}}})
}

#[tokio::test]
async fn a_team_neither_reads_nor_starts_nor_stops_what_is_anothers() -> Result<()> {
    let cluster = Cluster::start().await?;
    let everywhere = [("WATCH_NAMESPACE", "")];
    let environment = &cluster.place.environment;
    let _operator = environment.start(Program::Operator, everywhere).await?;
    let _worker = environment.start(Program::Worker, []).await?;
    let _router = environment.start(Program::EventRouter, []).await?;
    let settings = [
        ("WATCH_NAMESPACE", ""),
        ("API_AUTHENTICATION", "kubernetes"),
    ];
    let api = environment.start(Program::Api, settings).await?;
    let blue = cluster.team("blue", api.api_url()).await?;
    let green = cluster.team("green", api.api_url()).await?;

    // The same name in both namespaces: two activities, and an event starts each once.
    let ours = blue.declare("onboarding", on_event(), "Ready").await?;
    let theirs = green.declare("onboarding", on_event(), "Ready").await?;
    assert_ne!(ours.activity_id(), theirs.activity_id());
    cluster.publish("evt-1").await?;
    let mut run_ids = Vec::new();
    for (team, object) in [(&blue, &ours), (&green, &theirs)] {
        let run = wait::until("a run of each team", PATIENCE, || async {
            let runs = team.runs(object).await?;
            assert!(runs.len() <= 1, "{runs:?}");
            anyhow::Ok(runs.into_iter().find(|run| run["outcome"] == "Succeeded"))
        });
        run_ids.push(run.await?["run_id"].as_str().context("no id")?.to_owned());
    }
    assert_ne!(run_ids[0], run_ids[1]);

    by_the_api(&blue, &theirs, &run_ids[1]).await?;
    by_kubectl(&cluster, &blue).await?;
    by_the_command_line(&blue, &theirs).await?;
    by_the_id(&cluster, &blue, &green).await?;

    let after = green.definitions.get("onboarding").await?;
    assert_eq!(after.spec, theirs.spec);
    assert_eq!(green.runs(&theirs).await?.len(), 1);
    Ok(())
}

/// Every route that names a definition or a run.
async fn by_the_api(blue: &Team, theirs: &ActivityDefinition, run: &str) -> Result<()> {
    let path = path_of(theirs)?;
    let api = &blue.api;
    let feedback = format!("{path}/runs/{run}/feedback");
    for refused in [
        api.get("/activity-definitions/").await?,
        api.get("/activity-definitions/?namespace=green").await?,
        api.get(&path).await?,
        api.get(&format!("{path}/runs")).await?,
        api.get(&format!("{path}/verify")).await?,
        api.get(&format!("/runs/{run}")).await?,
        api.get(&feedback).await?,
        api.post(&feedback, r#"{"kind": "Noisy"}"#).await?,
        api.put(&path, r#"{"enabled": false}"#).await?,
        api.send(Method::POST, &format!("{path}/trigger"), &[])
            .await?,
        api.send(Method::DELETE, &path, &[]).await?,
    ] {
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
        // The answer says what role is missing, and nothing of what is there.
        assert!(!refused.text.contains("onboarding"), "{}", refused.text);
    }
    Ok(())
}

async fn by_kubectl(cluster: &Cluster, blue: &Team) -> Result<()> {
    let (is_allowed, printed) = cluster
        .kubectl(blue, &["get", "actdef", "-n", "blue"])
        .await?;
    assert!(is_allowed && printed.contains("onboarding"), "{printed}");
    let annotate = "activity-core.io/trigger=now";
    let attempts: [&[&str]; 5] = [
        &["get", "actdef"],
        &["get", "actdef", "onboarding"],
        &["annotate", "actdef", "onboarding", annotate],
        &[
            "patch",
            "actdef",
            "onboarding",
            "--type=merge",
            "-p",
            r#"{"spec":{"enabled":false}}"#,
        ],
        &["delete", "actdef", "onboarding"],
    ];
    for words in attempts {
        let words = [words, &["-n", "green"]].concat();
        let (is_allowed, printed) = cluster.kubectl(blue, &words).await?;
        assert!(!is_allowed, "{words:?}: {printed}");
        assert!(printed.contains("orbidden"), "{words:?}: {printed}");
    }
    Ok(())
}

/// With the team's kubeconfig, and through the API with its token.
async fn by_the_command_line(blue: &Team, theirs: &ActivityDefinition) -> Result<()> {
    let own = blue
        .actcore
        .run(&["get", "onboarding", "-n", "blue"])
        .await?;
    assert_eq!(own.code, 0, "{own:?}");
    let activity = theirs.activity_id().context("no id")?.to_string();
    let through_api = blue
        .actcore
        .with(&[("KUBECONFIG", ""), ("HOME", "/nonexistent")]);
    for actcore in [&blue.actcore, &through_api] {
        let attempts: [&[&str]; 5] = [
            &["get", "-n", "green"],
            &["describe", "onboarding", "-n", "green"],
            &["trigger", &activity, "-n", "green"],
            &["disable", "onboarding", "-n", "green"],
            &["runs", &activity, "-n", "green"],
        ];
        for words in attempts {
            let refused = actcore.run(words).await?;
            assert_ne!(refused.code, 0, "{words:?}: {refused:?}");
            assert!(refused.stdout.is_empty(), "{words:?}: {refused:?}");
        }
    }
    Ok(())
}

/// A definition that claims the other's activity id gets nothing by it, and its end takes nothing.
async fn by_the_id(cluster: &Cluster, blue: &Team, green: &Team) -> Result<()> {
    let daily = json!({"trigger": {"cron": {"expression": "0 9 * * *"}}});
    let theirs = green.declare("daily", daily.clone(), "Ready").await?;
    let activity = theirs.activity_id().context("no id")?;
    let temporal = &cluster.place.temporal;
    let schedule = temporal.schedule(activity).await?;
    assert!(schedule.is_some());

    let mut claim = daily;
    claim["activityId"] = json!(activity.as_uuid());
    claim["trigger"]["cron"]["expression"] = json!("* * * * *");
    let claiming = blue.declare("daily", claim, "Stalled").await?;
    assert_eq!(temporal.schedule(activity).await?, schedule);
    // The API takes the id for the one who holds it.
    let read = blue.api.get(&path_of(&claiming)?).await?;
    assert_eq!(read.status, StatusCode::FORBIDDEN, "{}", read.text);
    let green_reads = green.api.get(&path_of(&theirs)?).await?;
    assert_eq!(green_reads.status, StatusCode::OK, "{}", green_reads.text);

    let deleting = DeleteParams::default();
    blue.definitions.delete("daily", &deleting).await?;
    wait::until("the claim to be gone", PATIENCE, || async {
        Ok::<_, kube::Error>(blue.definitions.get_opt("daily").await?.is_none())
    })
    .await?;
    assert_eq!(temporal.schedule(activity).await?, schedule);
    let row = cluster.place.store.definition(activity).await?;
    let row = row.context("the row is gone")?;
    assert_eq!(
        (row.namespace, row.name),
        ("green".into(), theirs.name_any())
    );
    Ok(())
}
