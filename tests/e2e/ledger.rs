//! The ledger in the cluster's Postgres, read from outside.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use testkit::ports::free_port;
use testkit::process::Process;

use crate::journey::NAMESPACE;
use crate::shell::Shell;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// One row, as far as it matters here.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Run {
    pub(crate) trigger_key: String,
    pub(crate) outcome: String,
    pub(crate) scheduled_for: Option<DateTime<Utc>>,
}

/// A connection that lasts as long as this.
pub(crate) struct Ledger {
    pool: PgPool,
    _forward: Process,
}

impl Ledger {
    /// Connects through the API server.
    pub(crate) async fn connect(shell: &Shell) -> Result<Self> {
        let port = free_port()?;
        let forward = shell.start(
            "forward-postgres",
            &format!("kubectl -n {NAMESPACE} port-forward svc/actcore-dev-postgres {port}:5432"),
        )?;
        let options = PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(Duration::from_secs(5));
        let url = format!("postgres://actcore:actcore@127.0.0.1:{port}/actcore");
        let pool = options.connect_lazy(&url).context("no readable URL")?;
        testkit::wait::until("the ledger to answer", CONNECT_TIMEOUT, async || {
            sqlx::query("select 1").execute(&pool).await.map(|_| true)
        })
        .await?;
        Ok(Self {
            pool,
            _forward: forward,
        })
    }

    /// All runs of a definition.
    pub(crate) async fn runs(&self, name: &str) -> Result<Vec<Run>> {
        let reading = sqlx::query_as(
            "select trigger_key, outcome, scheduled_for from activity_runs \
             where activity_name = $1 order by created_at",
        )
        .bind(name)
        .fetch_all(&self.pool);
        tokio::time::timeout(CONNECT_TIMEOUT, reading)
            .await
            .context("the ledger does not answer")?
            .context("failed to read the ledger")
    }
}
