//! The clients of the Kubernetes API: calls are answered soon or given up, watches may wait.

use std::time::Duration;

use anyhow::Context as _;
use kube::{Client, Config};

/// How long the API server may take to answer a call. Without a limit, a connection that died
/// without a word would hold whoever called for ever.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Two clients with connections of their own.
pub(crate) struct Clients {
    /// For calls.
    pub calls: Client,
    /// For watches, on which nothing may come for minutes; the watcher has a limit of its own.
    pub watches: Client,
}

impl Clients {
    /// Reads the configuration of the environment.
    pub(crate) async fn infer() -> anyhow::Result<Self> {
        let watching = Config::infer()
            .await
            .context("unable to read the Kubernetes configuration (set KUBECONFIG)")?;
        let mut calling = watching.clone();
        calling.read_timeout = Some(CALL_TIMEOUT);
        // Otherwise the time that a connection was idle before would count.
        calling.reset_reader_on_write = true;
        Ok(Self {
            calls: client(calling)?,
            watches: client(watching)?,
        })
    }
}

fn client(config: Config) -> anyhow::Result<Client> {
    Client::try_from(config).context("unable to make a Kubernetes client")
}
