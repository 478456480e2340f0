//! What one test has for itself on the shared servers: a Kubernetes namespace, a database, a
//! Temporal namespace, a NATS server, stand-ins and a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use uuid::Uuid;

use crate::background;
use crate::folder::EnvironmentFolder;
use crate::program::{Program, ProgramPorts, ProgramStart, RunningProgram};
use crate::servers::{Nats, NatsOptions, Place, Temporal, TemporalOptions};
use crate::stack::Stack;
use crate::stand_ins::{API_KEY, StandIns};

/// A name in Kubernetes has 63 characters at most; twelve are needed for what makes it unique.
const LONGEST_NAME: usize = 50;

/// One test's place. Dropping it ends its processes.
#[derive(Debug)]
pub struct TestEnvironment {
    stack: Stack,
    namespace: String,
    temporal_namespace: String,
    database_url: String,
    nats: Nats,
    stand_ins: StandIns,
    started: AtomicUsize,
    working_memory: PathBuf,
    /// Last: what is declared first is dropped first, and the processes write logs into it.
    folder: EnvironmentFolder,
}

impl TestEnvironment {
    pub(crate) async fn create(stack: Stack, name: String) -> Result<Self> {
        let unique = unique_name(&name);
        let folder = stack.stack_folder().environment(&unique)?;
        let temporal_namespace = stack.take_temporal_namespace()?;
        let database = unique.replace('-', "_");
        let place = Place {
            components: stack.components(),
            data: folder.path().join("nats"),
            log: folder.path().join("nats.log"),
        };
        let nats_options = NatsOptions::default();
        let (nats, stand_ins, (), ()) = tokio::try_join!(
            Nats::start(place, &nats_options),
            StandIns::start(),
            stack.postgres().create_database(&database),
            create_namespace(&stack, &unique),
        )?;
        Ok(Self {
            database_url: stack.postgres().url(&database),
            namespace: unique,
            temporal_namespace,
            nats,
            stand_ins,
            started: AtomicUsize::new(0),
            working_memory: folder.make("working-memory")?,
            folder,
            stack,
        })
    }

    /// The shared servers.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The Kubernetes namespace of this test.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        self.stack.kubernetes().kubeconfig()
    }

    /// An administrator's client for the calling test's runtime.
    pub async fn kube_client(&self) -> Result<kube::Client> {
        self.stack.kubernetes().client().await
    }

    /// Host and port of Temporal.
    pub fn temporal_host(&self) -> &str {
        self.stack.temporal().host()
    }

    /// The Temporal namespace of this test.
    pub fn temporal_namespace(&self) -> &str {
        &self.temporal_namespace
    }

    /// The database of this test; it is empty at first.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The NATS server of this test.
    pub fn nats(&self) -> &Nats {
        &self.nats
    }

    /// Where clients of NATS connect.
    pub fn nats_url(&self) -> &str {
        self.nats.url()
    }

    /// The stand-ins of this test.
    pub fn stand_ins(&self) -> &StandIns {
        &self.stand_ins
    }

    /// The folder of the working-memory sink.
    pub fn working_memory(&self) -> &Path {
        &self.working_memory
    }

    /// The folder with this test's logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The environment variables for our programs.
    pub fn env(&self) -> BTreeMap<String, String> {
        [
            ("KUBECONFIG", self.kubeconfig().display().to_string()),
            ("TEMPORAL_HOST", self.temporal_host().to_owned()),
            ("TEMPORAL_NAMESPACE", self.temporal_namespace.clone()),
            ("ACTCORE_DB_URL", self.database_url.clone()),
            ("NATS_URL", self.nats_url().to_owned()),
            ("STATE_HUB_URL", self.stand_ins.state_hub.url().to_owned()),
            ("ISSUE_CORE_URL", self.stand_ins.issue_core.url().to_owned()),
            ("OPENAI_BASE_URL", self.stand_ins.chat.base_url()),
            ("OPENAI_API_KEY", API_KEY.to_owned()),
            (
                "WORKING_MEMORY_DIR",
                self.working_memory.display().to_string(),
            ),
            ("WATCH_NAMESPACE", self.namespace.clone()),
            ("POD_NAMESPACE", self.namespace.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Starts a Temporal server of this test's own, to be ended and started anew at will: on the
    /// same port with [`PortChoice::Preferred`](crate::ports::PortChoice::Preferred). Its state
    /// goes with it unless it is persistent.
    pub async fn start_temporal(&self, options: TemporalOptions) -> Result<Temporal> {
        let components = self.stack.components().clone();
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let data = self.folder.path().join("temporal");
        let log = self.folder.path().join(format!("temporal-{number}.log"));
        background::run(async move {
            let place = Place {
                components: &components,
                data,
                log,
            };
            Temporal::start(place, &options).await
        })
        .await
    }

    /// Starts a NATS server of this test's own, to be ended and started anew at will: on the same
    /// port with [`PortChoice::Preferred`](crate::ports::PortChoice::Preferred), with the streams
    /// that it had.
    pub async fn start_nats(&self, options: NatsOptions) -> Result<Nats> {
        let components = self.stack.components().clone();
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let data = self.folder.path().join("own-nats");
        let log = self.folder.path().join(format!("own-nats-{number}.log"));
        background::run(async move {
            let place = Place {
                components: &components,
                data,
                log,
            };
            Nats::start(place, &options).await
        })
        .await
    }

    /// Starts one of our programs with [`Self::env`] and `extra` on top, and waits until it is
    /// ready. A program may be started several times; each has its own ports and log.
    pub async fn start(
        &self,
        program: Program,
        extra: impl IntoIterator<Item = (&str, &str)>,
    ) -> Result<RunningProgram> {
        let mut environment = self.env();
        let extra = extra
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        environment.extend(extra);
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.path().join(format!("{program}-{number}.log"));
        background::run(async move {
            let ports = ProgramPorts::default();
            let start = ProgramStart {
                program,
                ports,
                environment: &environment,
                log,
            };
            let running = RunningProgram::start(&start).await;
            running.with_context(|| format!("failed to start {program}"))
        })
        .await
    }
}

impl TestEnvironment {
    /// Starts one of our programs with exactly `variables`, and does not wait until it is ready.
    pub(crate) fn launch(
        &self,
        program: Program,
        ports: ProgramPorts,
        variables: &BTreeMap<String, String>,
    ) -> Result<RunningProgram> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let start = ProgramStart {
            program,
            ports,
            environment: variables,
            log: self.folder.path().join(format!("{program}-{number}.log")),
        };
        RunningProgram::launch(&start).with_context(|| format!("failed to start {program}"))
    }
}

async fn create_namespace(stack: &Stack, name: &str) -> Result<()> {
    let api: Api<Namespace> = Api::all(stack.kubernetes().client().await?);
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    let namespace = Namespace {
        metadata,
        ..Namespace::default()
    };
    api.create(&PostParams::default(), &namespace)
        .await
        .with_context(|| format!("failed to create the namespace {name}"))?;
    Ok(())
}

/// A name that Kubernetes and Postgres accept, is unlike any other, and still tells the test.
fn unique_name(test: &str) -> String {
    let mut name: String = test
        .to_lowercase()
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .take(LONGEST_NAME)
        .collect();
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        name.insert(0, 't');
    }
    let unique = Uuid::new_v4().simple().to_string();
    format!("{}-{}", name.trim_end_matches('-'), &unique[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_test_name_becomes_a_name_that_kubernetes_accepts() {
        for test in [
            "runs_at_nine",
            "42 events",
            "",
            "Über::alles",
            &"long".repeat(40),
        ] {
            let name = unique_name(test);
            assert!(name.len() <= 63, "{name}");
            assert!(
                name.starts_with(|first: char| first.is_ascii_lowercase()),
                "{name}"
            );
            assert!(
                name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
                "{name}"
            );
        }
        assert_ne!(unique_name("same"), unique_name("same"));
    }
}
