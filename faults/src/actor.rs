//! What people do in a workload: through connections that no fault befalls, but for calls of the
//! REST API, which are repeated as a person would.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use crds::ActivityDefinition;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::Program;
use testkit::wait::{self, Seen};

use crate::expected::Expected;
use crate::lane::Lane;
use crate::oracle::{self, Leniency};

/// How long anything may take that a right program does, whatever befalls it.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How long a caller of the REST API waits before it tries again.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// A workload under way: where, under which names, and what it declares.
pub struct Stage<'lane> {
    /// Where.
    pub lane: &'lane Lane,
    /// What every name of this run begins with.
    pub prefix: String,
    /// What is declared so far.
    pub expected: Expected,
    /// How long anything may take that is waited for.
    pub patience: Duration,
}

impl Stage<'_> {
    /// The name of a definition.
    pub(crate) fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.prefix)
    }

    /// Creates an object as `kubectl create` would.
    pub(crate) async fn create<K>(&self, name: &str, spec: Value) -> Result<()>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        let resource = ApiResource::erase::<K>(&());
        let object = DynamicObject::new(name, &resource).data(json!({"spec": spec}));
        let client = self.lane.definitions.clone().into_client();
        let namespace = self.lane.environment.namespace();
        Api::<DynamicObject>::namespaced_with(client, namespace, &resource)
            .create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("failed to create {name}"))?;
        Ok(())
    }

    /// Creates a definition that is to become Ready for this reason.
    pub(crate) async fn define(
        &mut self,
        suffix: &str,
        spec: Value,
        reason: &'static str,
    ) -> Result<()> {
        let name = self.name(suffix);
        self.create::<ActivityDefinition>(&name, spec).await?;
        self.expected.define(&name, reason);
        Ok(())
    }

    /// Changes a definition as `kubectl patch --type merge` would.
    pub(crate) async fn merge(&self, suffix: &str, change: Value) -> Result<()> {
        let name = self.name(suffix);
        self.lane
            .definitions
            .patch(&name, &PatchParams::default(), &Patch::Merge(change))
            .await
            .with_context(|| format!("failed to change {name}"))?;
        Ok(())
    }

    /// Deletes a definition.
    pub(crate) async fn delete(&mut self, suffix: &str) -> Result<()> {
        let name = self.name(suffix);
        self.lane
            .definitions
            .delete(&name, &DeleteParams::default())
            .await
            .with_context(|| format!("failed to delete {name}"))?;
        self.expected.forget(&name);
        Ok(())
    }

    /// Waits until a definition is gone.
    pub(crate) async fn gone(&self, suffix: &str) -> Result<()> {
        let name = self.name(suffix);
        wait::until(format!("{name} to be gone"), self.patience, || async {
            let object = self.lane.definitions.get_opt(&name).await?;
            Ok::<_, kube::Error>(object.is_none())
        })
        .await?;
        Ok(())
    }

    /// Waits until a condition of a definition has this status for the spec as it is now.
    pub(crate) async fn condition(&self, suffix: &str, kind: &str, status: &str) -> Result<()> {
        let name = self.name(suffix);
        wait::until(
            format!("{name} to be {kind}={status}"),
            self.patience,
            || async {
                let object = self.lane.definitions.get(&name).await?;
                let conditions = object.status.clone().unwrap_or_default().conditions;
                let is = conditions.iter().any(|condition| {
                    condition.type_ == kind
                        && condition.status == status
                        && condition.observed_generation == object.metadata.generation
                });
                Ok::<_, kube::Error>(if is {
                    Seen::Done(())
                } else {
                    Seen::not_yet(format!("{conditions:?}"))
                })
            },
        )
        .await?;
        Ok(())
    }

    /// The activity of a definition.
    pub(crate) async fn activity(&self, suffix: &str) -> Result<domain::ActivityId> {
        let object = self.lane.definitions.get(&self.name(suffix)).await?;
        object.activity_id().context("the object has no id")
    }

    /// Waits until everything is as declared so far.
    pub(crate) async fn settle(&self) -> Result<()> {
        let leniency = Leniency::default();
        settle(self.lane, &self.expected, (leniency, self.patience)).await
    }

    /// Calls the REST API again and again until it says yes, or that it was done before.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.lane.program(Program::Api)?.api_url());
        let deadline = Instant::now() + self.patience;
        loop {
            // The same key each time, so that several requests are one.
            let request = self
                .lane
                .http
                .request(method.clone(), &url)
                .header("Idempotency-Key", &self.prefix)
                .json(body);
            let problem = match request.send().await {
                Ok(answer) => match answer.status() {
                    status if status.is_success() => {
                        return Ok(answer.json().await.unwrap_or_default());
                    }
                    // It came through before, and the answer did not.
                    StatusCode::CONFLICT => return Ok(Value::Null),
                    StatusCode::NOT_FOUND if method == Method::DELETE => return Ok(Value::Null),
                    status => format!("{status}: {}", answer.text().await.unwrap_or_default()),
                },
                Err(error) => format!("{error:#}"),
            };
            anyhow::ensure!(Instant::now() < deadline, "{method} {path}: {problem}");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// Waits until the world is as expected.
pub(crate) async fn settle(
    lane: &Lane,
    expected: &Expected,
    (leniency, patience): (Leniency, Duration),
) -> Result<()> {
    wait::until("everything to be as declared", patience, || async {
        let differences = oracle::differences(lane, expected, leniency).await?;
        anyhow::Ok(if differences.is_empty() {
            Seen::Done(())
        } else {
            Seen::not_yet(differences.join("; "))
        })
    })
    .await?;
    Ok(())
}
