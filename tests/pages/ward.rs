//! What is watched: the servers, the four programs and the definitions.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use crds::{ActivityDefinition, MaintenanceWindow};
use domain::ActivityId;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use runtime::postgres::PostgresArguments;
use runtime::temporal::TemporalArguments;
use serde_json::{Value, json};
use store::Store;
use temporal::Temporal;
use testkit::fault::FaultyProgram;
use testkit::wait::Seen;
use testkit::{Program, RunningProgram, Stack, StackOptions, TestEnvironment};

use crate::kubelet::Kubelet;

/// How long anything but a page may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Everything is compared often, because time is short here.
const OPERATOR_SETTINGS: [(&str, &str); 2] = [("RESYNC_SECONDS", "2"), ("AUDIT_SECONDS", "1")];
const WORKER_SETTINGS: [(&str, &str); 1] = [("ISSUE_SINK_TYPE", "issue-core")];

/// All of it.
pub(crate) struct Ward {
    pub(crate) environment: Arc<TestEnvironment>,
    pub(crate) store: Store,
    pub(crate) temporal: Temporal,
    pub(crate) definitions: Api<ActivityDefinition>,
    pub(crate) windows: Api<MaintenanceWindow>,
    /// Behind proxies, so that Temporal can refuse what it asks for.
    pub(crate) operator: Option<FaultyProgram>,
    pub(crate) worker: Option<RunningProgram>,
    pub(crate) router: Option<RunningProgram>,
    pub(crate) api: Option<RunningProgram>,
    kubelet: Kubelet,
}

impl Ward {
    /// Starts everything.
    pub(crate) async fn start() -> Result<Self> {
        runtime::install_cryptography();
        let stack = Stack::start(StackOptions {
            temporal_namespaces: 1,
            ..StackOptions::default()
        })
        .await?;
        let environment = Arc::new(stack.environment("pages").await?);
        let postgres = PostgresArguments {
            database_url: Some(environment.database_url().to_owned()),
            database_max_connections: 5,
        };
        let store = Store::new(postgres.pool("test")?);
        store.upgrade().await?;
        let temporal = TemporalArguments {
            temporal_host: Some(environment.temporal_host().to_owned()),
            temporal_namespace: environment.temporal_namespace().to_owned(),
            ..TemporalArguments::default()
        };
        let shutdown = runtime::Shutdown::default();
        let temporal = Temporal::new(temporal.connect("test", None, &shutdown).await?);
        let client = environment.kube_client().await?;
        let namespace = environment.namespace();
        let mut ward = Self {
            store,
            temporal,
            definitions: Api::namespaced(client.clone(), namespace),
            windows: Api::namespaced(client, namespace),
            operator: None,
            worker: None,
            router: None,
            api: None,
            kubelet: Kubelet::start(environment.folder(), namespace)?,
            environment,
        };
        for program in Program::ALL {
            ward.put_up(program).await?;
        }
        Ok(ward)
    }

    /// Starts a program that does not run.
    pub(crate) async fn put_up(&mut self, program: Program) -> Result<()> {
        if program == Program::Operator {
            let settings = &OPERATOR_SETTINGS;
            let operator = FaultyProgram::start(&self.environment, program, settings).await?;
            let running = operator.running().context("the operator has ended")?;
            self.kubelet.attend(program, &running)?;
            self.operator = Some(operator);
            return Ok(());
        }
        let settings: &[(&str, &str)] = match program {
            Program::Worker => &WORKER_SETTINGS,
            _ => &[],
        };
        let settings = settings.iter().copied();
        let running = self.environment.start(program, settings).await?;
        self.kubelet.attend(program, &running)?;
        match program {
            Program::Worker => self.worker = Some(running),
            Program::EventRouter => self.router = Some(running),
            Program::Api | Program::Operator => self.api = Some(running),
        }
        Ok(())
    }

    /// The operator.
    pub(crate) fn operator(&self) -> Result<&FaultyProgram> {
        self.operator.as_ref().context("the operator is down")
    }

    /// Creates a definition and waits until it is in force.
    pub(crate) async fn declare(&self, name: &str, spec: Value) -> Result<ActivityId> {
        let resource = ApiResource::erase::<ActivityDefinition>(&());
        let object = DynamicObject::new(name, &resource).data(json!({"spec": spec}));
        let client = self.definitions.clone().into_client();
        let namespace = self.environment.namespace();
        Api::<DynamicObject>::namespaced_with(client, namespace, &resource)
            .create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("failed to create {name}"))?;
        let what = format!("{name} to be ready");
        let ready = testkit::wait::until(what, PATIENCE, async || {
            let object = self.definitions.get(name).await?;
            let status = object.status.clone().unwrap_or_default();
            let is_ready = status.conditions.iter().any(|condition| {
                condition.type_ == "Ready"
                    && condition.status == "True"
                    && condition.observed_generation == object.metadata.generation
            });
            Ok::<_, kube::Error>(match object.activity_id() {
                Some(id) if is_ready => Seen::Done(id),
                _ => Seen::not_yet(format!("{:?}", status.conditions)),
            })
        });
        Ok(ready.await?)
    }

    /// Changes a definition.
    pub(crate) async fn change(&self, name: &str, change: Value) -> Result<()> {
        let (patch, parameters) = (Patch::Merge(change), PatchParams::default());
        self.definitions.patch(name, &parameters, &patch).await?;
        Ok(())
    }

    /// Asks for a run.
    pub(crate) async fn trigger(&self, name: &str, request: &str) -> Result<()> {
        let annotations = json!({"activity-core.io/trigger": request});
        self.change(name, json!({"metadata": {"annotations": annotations}}))
            .await
    }

    /// Removes a definition and waits until it is gone.
    pub(crate) async fn withdraw(&self, name: &str) -> Result<()> {
        self.definitions
            .delete(name, &DeleteParams::default())
            .await?;
        testkit::wait::until(format!("{name} to be gone"), PATIENCE, async || {
            let object = self.definitions.get_opt(name).await?;
            Ok::<_, kube::Error>(object.is_none())
        })
        .await?;
        Ok(())
    }

    /// How many rows of the ledger a definition has with this outcome.
    pub(crate) async fn count(&self, name: &str, outcome: &str) -> Result<i64> {
        let counting = sqlx::query_scalar(
            "select count(*) from activity_runs where activity_name = $1 and outcome = $2",
        );
        let counting = counting.bind(name).bind(outcome);
        Ok(counting.fetch_one(self.store.pool()).await?)
    }

    /// Waits until a definition has as many rows with this outcome.
    pub(crate) async fn has(&self, name: &str, count: i64, outcome: &str) -> Result<()> {
        let what = format!("{count} runs of {name} to be {outcome}");
        testkit::wait::until(what, PATIENCE, async || {
            let found = self.count(name, outcome).await?;
            anyhow::Ok(if found >= count {
                Seen::Done(())
            } else {
                Seen::not_yet(found)
            })
        })
        .await?;
        Ok(())
    }

    /// Runs `actcore` as a person does.
    pub(crate) async fn actcore(&self, words: &[&str]) -> Result<String> {
        let running = tokio::process::Command::new(testkit::binary("actcore")?)
            .args(words)
            .env_clear()
            .envs(self.environment.env())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PATIENCE, running)
            .await
            .with_context(|| format!("actcore {words:?} did not end"))??;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        anyhow::ensure!(
            output.status.success(),
            "actcore {words:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }
}
