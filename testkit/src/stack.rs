//! The servers that the tests of one process share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use tokio::sync::OnceCell;

use crate::background;
use crate::components::Components;
use crate::crds;
use crate::environment::TestEnvironment;
use crate::folder::StackFolder;
use crate::progress::Progress;
use crate::servers::{KubeApiserver, Postgres, Servers, ServersOptions, Temporal, TemporalOptions};

/// What a stack is started with.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// How many tests at most can have a Temporal namespace of their own. Many cost little: with
    /// 256 Temporal starts 0.15 s later than with one, and takes 60 MB more.
    pub temporal_namespaces: usize,
    /// Temporal keeps its state when it is killed and started again.
    pub persistent_temporal: bool,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self {
            temporal_namespaces: 256,
            persistent_temporal: false,
        }
    }
}

/// The running servers; clones are handles to the same ones, which end with the last handle or
/// with the process.
#[derive(Debug, Clone)]
pub struct Stack {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    components: Components,
    /// Before the folder: what is declared first is dropped first.
    servers: Servers,
    folder: StackFolder,
    temporal_namespaces: Vec<String>,
    next_temporal_namespace: AtomicUsize,
}

static SHARED: OnceCell<Result<Stack, String>> = OnceCell::const_new();

impl Stack {
    /// The stack that all tests of this process share. The first call starts it; if that fails,
    /// every call fails with the same error at once.
    pub async fn shared() -> Result<Self> {
        let starting = || async {
            Self::start(StackOptions::default())
                .await
                .map_err(|error| format!("{error:#}"))
        };
        let shared = SHARED.get_or_init(starting).await;
        shared.clone().map_err(|error| anyhow::anyhow!(error))
    }

    /// Starts a stack of its own.
    pub async fn start(options: StackOptions) -> Result<Self> {
        background::run(Self::start_here(options)).await
    }

    async fn start_here(options: StackOptions) -> Result<Self> {
        let components = Components::resolve(&Progress::on_stderr()).await?;
        let folder = StackFolder::create()?;
        let temporal_namespaces: Vec<String> = (0..options.temporal_namespaces)
            .map(|number| format!("test-{number}"))
            .collect();
        let servers_options = ServersOptions {
            data: folder.data(),
            logs: folder.logs(),
            temporal: TemporalOptions {
                namespaces: temporal_namespaces.clone(),
                persistent: options.persistent_temporal,
                ..TemporalOptions::default()
            },
            nats: None,
            crds: crds::of_checkout(),
            observer: Arc::new(|_| ()),
        };
        let servers = Box::pin(Servers::start(&components, &servers_options)).await?;
        let inner = Inner {
            components,
            servers,
            folder,
            temporal_namespaces,
            next_temporal_namespace: AtomicUsize::new(0),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// A place of its own for one test, named after it.
    pub async fn environment(&self, name: &str) -> Result<TestEnvironment> {
        let (stack, name) = (self.clone(), name.to_owned());
        background::run(TestEnvironment::create(stack, name)).await
    }

    /// The Kubernetes API.
    pub fn kubernetes(&self) -> &KubeApiserver {
        &self.inner.servers.kube_apiserver
    }

    /// The Temporal server.
    pub fn temporal(&self) -> &Temporal {
        &self.inner.servers.temporal
    }

    /// The Postgres server.
    pub fn postgres(&self) -> &Postgres {
        &self.inner.servers.postgres
    }

    /// All servers.
    pub fn servers(&self) -> &Servers {
        &self.inner.servers
    }

    /// The programs.
    pub fn components(&self) -> &Components {
        &self.inner.components
    }

    /// The folder with everything of this stack.
    pub fn folder(&self) -> &Path {
        self.inner.folder.path()
    }

    pub(crate) fn stack_folder(&self) -> &StackFolder {
        &self.inner.folder
    }

    /// A Temporal namespace that no other test has.
    pub(crate) fn take_temporal_namespace(&self) -> Result<String> {
        let number = self
            .inner
            .next_temporal_namespace
            .fetch_add(1, Ordering::Relaxed);
        let namespaces = &self.inner.temporal_namespaces;
        namespaces.get(number).cloned().with_context(|| {
            format!(
                "all {} Temporal namespaces of this stack are taken; raise \
                 StackOptions::temporal_namespaces",
                namespaces.len()
            )
        })
    }

    /// Stops the servers in order, provided this is the last handle.
    pub async fn stop(self) -> Result<()> {
        let inner = Arc::into_inner(self.inner)
            .context("the stack is still in use by a test environment")?;
        let Inner {
            servers, folder, ..
        } = inner;
        background::run(async move {
            let stopped = servers.stop().await;
            drop(folder);
            stopped
        })
        .await
    }
}
