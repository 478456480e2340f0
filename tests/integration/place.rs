//! A test's place with a migrated database and the connections that tests need.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use crds::ActivityDefinition;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use store::Store;
use temporal::Temporal;
use testkit::wait::Seen;
use testkit::{Stack, TestEnvironment};

/// How long anything that is waited for may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A test's place.
pub(crate) struct Place {
    /// Its servers, stand-ins and programs.
    pub(crate) environment: Arc<TestEnvironment>,
    /// Its database, migrated.
    pub(crate) store: Store,
    /// Its Temporal namespace.
    pub(crate) temporal: Temporal,
    /// The definitions of its Kubernetes namespace.
    pub(crate) definitions: Api<ActivityDefinition>,
}

impl Place {
    /// A place for the test called `name`.
    pub(crate) async fn new(name: &str) -> anyhow::Result<Self> {
        Self::on(&Stack::shared().await?, name).await
    }

    /// A place on a stack that is not shared.
    pub(crate) async fn on(stack: &Stack, name: &str) -> anyhow::Result<Self> {
        runtime::install_cryptography();
        let environment = Arc::new(stack.environment(name).await?);
        let postgres = runtime::postgres::PostgresArguments {
            database_url: Some(environment.database_url().to_owned()),
            database_max_connections: 5,
        };
        let store = Store::new(postgres.pool("test")?);
        store.upgrade().await?;
        let temporal = connect(
            environment.temporal_host(),
            environment.temporal_namespace(),
        );
        let temporal = temporal.await?;
        let kube = environment.kube_client().await?;
        Ok(Self {
            store,
            temporal,
            definitions: Api::namespaced(kube, environment.namespace()),
            environment,
        })
    }

    /// Looks at another Temporal from here on.
    pub(crate) async fn use_temporal(&mut self, host: &str, namespace: &str) -> anyhow::Result<()> {
        self.temporal = connect(host, namespace).await?;
        Ok(())
    }

    /// The name of this test's database.
    pub(crate) fn database_name(&self) -> String {
        let url = self.environment.database_url();
        url.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// A connection beside this test's database, for what one can't do to oneself.
    pub(crate) async fn administrator(&self) -> anyhow::Result<Administrator> {
        let url = self.environment.database_url();
        let url = url.replace(&self.database_name(), "postgres");
        Ok(Administrator(sqlx::PgPool::connect(&url).await?))
    }

    /// A fingerprint of the mirror's row versions: any write changes it, even one that changes
    /// no value.
    pub(crate) async fn mirror_versions(&self) -> anyhow::Result<String> {
        let versions = sqlx::query_scalar(
            "select md5(string_agg(xmin::text || ctid::text, ',' order by activity_id))
             from activity_definitions",
        );
        Ok(versions.fetch_one(self.store.pool()).await?)
    }

    /// Creates a definition as `kubectl create` would: what is wrong with it is for the API
    /// server to say, not for our types.
    pub(crate) async fn create(
        &self,
        name: &str,
        spec: Value,
    ) -> anyhow::Result<ActivityDefinition> {
        let resource = ApiResource::erase::<ActivityDefinition>(&());
        let object = DynamicObject::new(name, &resource).data(json!({"spec": spec}));
        let client = self.definitions.clone().into_client();
        let namespace = self.environment.namespace();
        let created = Api::<DynamicObject>::namespaced_with(client, namespace, &resource)
            .create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("create {name}"))?;
        Ok(created.try_parse()?)
    }

    /// Changes a definition as `kubectl patch --type merge` would.
    pub(crate) async fn merge(
        &self,
        name: &str,
        change: Value,
    ) -> anyhow::Result<ActivityDefinition> {
        let patch = Patch::Merge(change);
        let parameters = PatchParams::default();
        Ok(self.definitions.patch(name, &parameters, &patch).await?)
    }

    /// Asks for a definition's deletion.
    pub(crate) async fn delete(&self, name: &str) -> anyhow::Result<()> {
        self.definitions
            .delete(name, &DeleteParams::default())
            .await?;
        Ok(())
    }

    /// Waits until a condition of a definition has this status and reason for the generation
    /// that the spec has now.
    pub(crate) async fn condition(
        &self,
        name: &str,
        kind: &str,
        expected: (&str, &str),
    ) -> anyhow::Result<ActivityDefinition> {
        let what = format!("{name} to be {kind}={} ({})", expected.0, expected.1);
        let object = testkit::wait::until(what, PATIENCE, || async {
            let object = self.definitions.get(name).await?;
            let found = condition(&object, kind);
            let is_as_expected = found.as_ref().is_some_and(|(status, reason, generation)| {
                (status.as_str(), reason.as_str()) == expected
                    && *generation == object.metadata.generation
            });
            Ok::<_, kube::Error>(if is_as_expected {
                Seen::Done(object)
            } else {
                Seen::not_yet(format!("{:?}", object.status))
            })
        });
        Ok(object.await?)
    }
}

/// A superuser's connection.
pub(crate) struct Administrator(sqlx::PgPool);

impl Administrator {
    /// Ends every connection to a database and lets nobody in.
    pub(crate) async fn lock_out(&self, database: &str) -> anyhow::Result<()> {
        self.allow(database, false).await?;
        sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
            .bind(database)
            .execute(&self.0)
            .await?;
        Ok(())
    }

    /// Lets everybody in again.
    pub(crate) async fn let_in(&self, database: &str) -> anyhow::Result<()> {
        self.allow(database, true).await
    }

    /// Makes another database.
    pub(crate) async fn create(&self, database: &str) -> anyhow::Result<()> {
        let statement = format!("create database \"{database}\"");
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&self.0)
            .await?;
        Ok(())
    }

    async fn allow(&self, database: &str, connections: bool) -> anyhow::Result<()> {
        let statement = format!("alter database \"{database}\" allow_connections {connections}");
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&self.0)
            .await?;
        Ok(())
    }
}

async fn connect(host: &str, namespace: &str) -> anyhow::Result<Temporal> {
    let temporal = runtime::temporal::TemporalArguments {
        temporal_host: Some(host.to_owned()),
        temporal_namespace: namespace.to_owned(),
        ..runtime::temporal::TemporalArguments::default()
    };
    let shutdown = runtime::Shutdown::default();
    Ok(Temporal::new(
        temporal.connect("test", None, &shutdown).await?,
    ))
}

/// A condition's status, reason and generation.
fn condition(object: &ActivityDefinition, kind: &str) -> Option<(String, String, Option<i64>)> {
    let conditions = &object.status.as_ref()?.conditions;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == kind)?;
    Some((
        condition.status.clone(),
        condition.reason.clone(),
        condition.observed_generation,
    ))
}
