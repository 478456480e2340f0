//! The server programs and where they come from: what is on the machine and new enough, else a
//! prebuilt, pinned and hash-checked one, else a build. What was fetched or built is kept in a
//! cache outside the checkout ([`Cache`]).
//!
//! Starting them is the business of [`crate::servers`].

mod cache;
mod go_build;
mod go_module;
mod helm;
mod machine;
mod node;
mod platform;
mod temporal_server;
mod tool;
mod version;
mod wheel;

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::progress::Progress;
pub use cache::Cache;
pub use helm::helm;
use machine::Machine;
pub use node::NodeComponents;
use platform::Platform;
pub use temporal_server::TemporalServerPrograms;
pub use version::Version;

/// A program that testkit starts or hands to its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// The store of the Kubernetes API.
    Etcd,
    /// The Kubernetes API.
    KubeApiserver,
    /// Ends namespaces, collects garbage, makes service accounts.
    KubeControllerManager,
    /// The Kubernetes command line.
    Kubectl,
    /// The Temporal development server, its UI and its command line.
    Temporal,
    /// NATS with JetStream.
    NatsServer,
    /// Postgres: `postgres` and `initdb` in one folder.
    Postgres,
    /// Decides on which node a pod runs.
    KubeScheduler,
    /// Makes Services work on a node.
    KubeProxy,
    /// Runs the pods of a node.
    Kubelet,
}

impl Component {
    /// Those of a stack of servers, in the order in which they are resolved.
    pub const STACK: [Self; 7] = [
        Self::Temporal,
        Self::NatsServer,
        Self::Kubectl,
        Self::Postgres,
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
    ];

    /// Those of Kubernetes that a node consists of.
    pub const NODE: [Self; 5] = [
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::KubeProxy,
        Self::Kubelet,
    ];

    /// The name of its program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::Kubectl => "kubectl",
            Self::Temporal => "temporal",
            Self::NatsServer => "nats-server",
            Self::Postgres => "postgres",
            Self::KubeScheduler => "kube-scheduler",
            Self::KubeProxy => "kube-proxy",
            Self::Kubelet => "kubelet",
        }
    }

    /// The oldest version on the machine that is taken.
    ///
    /// etcd 3.4 serves kube-apiserver 1.36. Kubernetes 1.34 has every CRD feature that is used.
    /// Temporal's command line 1.9 brings server 1.32, whose schedules the operator counts on.
    /// NATS 2.12 is the newest feature set that the client is built for.
    pub fn minimum(self) -> Version {
        match self {
            Self::Etcd => Version::new(3, 4),
            Self::KubeApiserver
            | Self::KubeControllerManager
            | Self::KubeScheduler
            | Self::KubeProxy
            | Self::Kubelet
            | Self::Kubectl => Version::new(1, 34),
            Self::Temporal => Version::new(1, 9),
            Self::NatsServer => Version::new(2, 12),
            Self::Postgres => Version::new(14, 0),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.program())
    }
}

/// Where a component was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It was there already.
    Machine,
    /// A pinned, hash-checked package of a public registry.
    Prebuilt,
    /// Built here from pinned, hash-checked sources.
    Built,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Machine => "on this machine",
            Self::Prebuilt => "prebuilt",
            Self::Built => "built",
        })
    }
}

/// A component and where it is.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Which one.
    pub component: Component,
    /// Its program.
    pub program: PathBuf,
    /// Its version.
    pub version: Version,
    /// Where it was taken from.
    pub source: Source,
}

impl fmt::Display for Resolved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {} ({})",
            self.component, self.version, self.source
        )
    }
}

/// All components, ready to be started.
#[derive(Debug, Clone)]
pub struct Components {
    resolved: Vec<Resolved>,
}

impl Components {
    /// Finds, fetches or builds each component. The first time this takes as long as building
    /// Kubernetes takes; afterwards milliseconds.
    pub async fn resolve(progress: &Progress) -> Result<Self> {
        let sources = Sources {
            platform: Platform::current()?,
            cache: Cache::from_environment()?,
            machine: Machine::from_environment(),
            progress: progress.clone(),
        };
        let mut resolved = Vec::new();
        for component in Component::STACK {
            resolved.push(sources.resolve(component).await.with_context(|| {
                format!(
                    "{component} {} or newer is needed and not at hand",
                    component.minimum()
                )
            })?);
        }
        let list: Vec<String> = resolved.iter().map(ToString::to_string).collect();
        progress.say(&format!("components: {}", list.join(", ")));
        Ok(Self { resolved })
    }

    /// The pinned, prebuilt form of `component`, whatever the machine has: it can be copied to
    /// elsewhere as a whole.
    pub async fn prebuilt(component: Component, progress: &Progress) -> Result<Resolved> {
        let cache = Cache::from_environment()?;
        let wheel = wheel::pinned(component, Platform::current()?);
        let wheel = wheel.with_context(|| format!("no prebuilt {component} is pinned"))?;
        wheel.install(&cache, progress).await
    }

    /// Each component and where it was taken from.
    pub fn all(&self) -> &[Resolved] {
        &self.resolved
    }

    /// Where the program of `component` is.
    pub fn program(&self, component: Component) -> Result<PathBuf> {
        let found = self
            .resolved
            .iter()
            .find(|resolved| resolved.component == component);
        Ok(found
            .with_context(|| format!("{component} was not resolved"))?
            .program
            .clone())
    }
}

/// What components are looked for in.
struct Sources {
    platform: Platform,
    cache: Cache,
    machine: Machine,
    progress: Progress,
}

impl Sources {
    async fn resolve(&self, component: Component) -> Result<Resolved> {
        if let Some(found) = self.machine.newest_enough(component).await {
            return Ok(found);
        }
        match wheel::pinned(component, self.platform) {
            Some(wheel) => wheel.install(&self.cache, &self.progress).await,
            None => go_build::install(component, go_build::Wanted::STACK, self).await,
        }
    }
}
