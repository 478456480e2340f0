//! The servers, one file each: how each is started on ports of its own with its data in a given
//! folder, when it is ready, and where it then answers.

mod containerd;
mod etcd;
mod kube_apiserver;
mod kube_controller_manager;
mod kube_proxy;
mod kube_scheduler;
mod kubelet;
mod kubernetes_credentials;
mod nats;
mod postgres;
mod postgres_user;
mod temporal;
mod temporal_on_postgres;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::components::Components;
use crate::process::Process;
pub(crate) use containerd::{Containerd, ContainerdPlace, SANDBOX_IMAGE, import};
pub use etcd::Etcd;
pub use kube_apiserver::KubeApiserver;
pub(crate) use kube_apiserver::{AUDIT_LOG, Cluster};
pub use kube_controller_manager::KubeControllerManager;
pub(crate) use kube_proxy::KubeProxy;
pub(crate) use kube_scheduler::KubeScheduler;
pub(crate) use kubelet::{Kubelet, KubeletPlace};
pub use kubernetes_credentials::NodeIdentity;
pub use nats::{Nats, NatsOptions};
pub use postgres::{Postgres, SUPERUSER};
pub use temporal::{Temporal, TemporalOptions};
pub use temporal_on_postgres::TemporalOnPostgres;

/// How long a server may take until it is ready. A second does on an idle machine; a busy one
/// with two cores has been seen to take twenty.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_mins(2);

/// What happened to a server; for progress lines.
#[derive(Debug, Clone)]
pub enum Event {
    /// It is being started.
    Starting(&'static str),
    /// It is ready, after that long.
    Ready(&'static str, Duration),
}

/// Told of each [`Event`].
pub type Observer = Arc<dyn Fn(Event) + Send + Sync>;

/// What [`Servers::start`] needs to know.
#[derive(Clone)]
pub struct ServersOptions {
    /// Where each server has its data; kept by [`Servers`] as it is.
    pub data: PathBuf,
    /// Where each server has its log.
    pub logs: PathBuf,
    /// Temporal's namespaces, ports and persistence.
    pub temporal: TemporalOptions,
    /// NATS's ports; `None` if each test starts its own.
    pub nats: Option<NatsOptions>,
    /// The folder of the CRDs to apply; one that is not there counts as empty.
    pub crds: PathBuf,
    /// Told of each server that is ready.
    pub observer: Observer,
}

/// All servers, running and ready.
#[derive(Debug)]
pub struct Servers {
    /// Postgres.
    pub postgres: Postgres,
    /// The store of the Kubernetes API.
    pub etcd: Etcd,
    /// The Kubernetes API.
    pub kube_apiserver: KubeApiserver,
    /// Namespaces, garbage, service accounts.
    pub kube_controller_manager: KubeControllerManager,
    /// Temporal.
    pub temporal: Temporal,
    /// NATS, if it was asked for.
    pub nats: Option<Nats>,
}

impl Servers {
    /// Starts them, as many at the same time as possible.
    pub async fn start(components: &Components, options: &ServersOptions) -> Result<Self> {
        for folder in [&options.data, &options.logs] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("failed to make {}", folder.display()))?;
        }
        let place = |name: &'static str| Place {
            components,
            data: options.data.join(name),
            log: options.logs.join(format!("{name}.log")),
        };
        let kubernetes = async {
            let etcd = options.observe("etcd", Etcd::start(place("etcd"))).await?;
            let cluster = Cluster::WithoutNodes;
            let starting = KubeApiserver::start(place("kube-apiserver"), &etcd, cluster);
            let kube_apiserver = options.observe("kube-apiserver", starting).await?;
            // Before the controller manager starts: it looks for new kinds only now and then.
            crate::crds::apply(&kube_apiserver, &options.crds).await?;
            let place = place("kube-controller-manager");
            let starting = KubeControllerManager::start(place, &kube_apiserver, cluster);
            let manager = options.observe("kube-controller-manager", starting).await?;
            Ok((etcd, kube_apiserver, manager))
        };
        let nats = async {
            let Some(nats) = &options.nats else {
                return Ok(None);
            };
            options
                .observe("nats", Nats::start(place("nats"), nats))
                .await
                .map(Some)
        };
        let temporal = Temporal::start(place("temporal"), &options.temporal);
        let (kubernetes, temporal, nats, postgres) = tokio::try_join!(
            kubernetes,
            options.observe("temporal", temporal),
            nats,
            options.observe("postgres", Postgres::start(place("postgres"))),
        )?;
        let (etcd, kube_apiserver, kube_controller_manager) = kubernetes;
        Ok(Self {
            postgres,
            etcd,
            kube_apiserver,
            kube_controller_manager,
            temporal,
            nats,
        })
    }

    /// Each server's process, and the page that answers with success while it is well.
    pub(crate) fn processes(&self) -> Vec<(&Process, Option<String>)> {
        let mut processes = vec![
            (&self.postgres.process, None),
            (
                &self.etcd.process,
                Some(format!("{}/health", self.etcd.url())),
            ),
            (&self.kube_apiserver.process, None),
            (&self.kube_controller_manager.process, None),
        ];
        let namespaces = format!("{}/api/v1/namespaces", self.temporal.http_url());
        processes.push((&self.temporal.process, Some(namespaces)));
        if let Some(nats) = &self.nats {
            processes.push((
                &nats.process,
                Some(format!("{}/healthz", nats.monitoring_url())),
            ));
        }
        processes
    }

    /// Stops them in reverse order. All are stopped even if one resists; the first error is told.
    pub async fn stop(self) -> Result<()> {
        let Self {
            postgres,
            etcd,
            kube_apiserver,
            kube_controller_manager,
            temporal,
            nats,
        } = self;
        let mut processes = vec![temporal.process, kube_controller_manager.process];
        processes.extend(nats.map(|nats| nats.process));
        processes.extend([kube_apiserver.process, etcd.process, postgres.process]);
        let mut outcome = Ok(());
        for process in processes {
            let stopped = process.stop().await;
            outcome = outcome.and(stopped);
        }
        outcome
    }
}

impl ServersOptions {
    async fn observe<T>(
        &self,
        name: &'static str,
        starting: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        (self.observer)(Event::Starting(name));
        let started = Instant::now();
        let server = starting
            .await
            .with_context(|| format!("failed to start {name}"))?;
        (self.observer)(Event::Ready(name, started.elapsed()));
        Ok(server)
    }
}

/// Where a server finds its program and keeps its things.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The programs.
    pub components: &'a Components,
    /// Its data folder; made if it is not there.
    pub data: PathBuf,
    /// Its log file.
    pub log: PathBuf,
}

impl Place<'_> {
    pub(crate) fn make_data(&self) -> Result<&Path> {
        std::fs::create_dir_all(&self.data)
            .with_context(|| format!("failed to make {}", self.data.display()))?;
        Ok(&self.data)
    }
}
