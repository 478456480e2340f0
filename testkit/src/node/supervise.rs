//! The inside of a node: sets up the namespaces, starts all programs in order, and ends when one
//! of them does.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::api::Api;

use super::link::{ip, run};
use super::plan::{self, PODS, Plan};
use super::{mounts, name_server};
use crate::components::NodeComponents;
use crate::http::install_crypto;
use crate::process::Process;
use crate::progress::Progress;
use crate::servers::{
    Cluster, Containerd, ContainerdPlace, Etcd, KubeApiserver, KubeControllerManager, KubeProxy,
    KubeScheduler, Kubelet, KubeletPlace, Place,
};
use crate::wait::{self, Seen};

/// Our owner moves the link right after the namespaces are there.
const LINK_TIMEOUT: Duration = Duration::from_secs(30);
const NODE_TIMEOUT: Duration = Duration::from_mins(3);

/// The names of the node's own kernel settings, with their values.
const NETWORK_SETTINGS: [(&str, &str); 2] = [
    ("/proc/sys/net/ipv4/ip_forward", "1"),
    // Answers of a pod on the same bridge go through the rules of Services too.
    ("/proc/sys/net/bridge/bridge-nf-call-iptables", "1"),
];

/// Runs the node whose plan is in `folder`, until one of its programs ends. To be started by
/// [`super::Node::start`], as the first one in the namespaces.
pub async fn supervise(folder: &Path) -> Result<()> {
    install_crypto();
    let plan = Plan::read(folder)?;
    anyhow::ensure!(
        std::process::id() < 10,
        "this is no node's process namespace; nodes are started by `actcore-dev node`"
    );
    mounts::cover(&plan::data(folder))?;
    join_network(&plan).await?;
    // Everything is in the cache by now: our owner has seen to it.
    let programs = NodeComponents::resolve(&Progress::on_stderr()).await?;
    let supervisor = Supervisor {
        folder,
        plan: &plan,
        programs: &programs,
        started: Instant::now(),
    };
    let processes = Box::pin(supervisor.start()).await?;
    std::fs::write(plan::up(folder), "").context("failed to say that everything is up")?;
    first_to_end(&processes).await
}

/// Gives the node's end of the link its name and address.
async fn join_network(plan: &Plan) -> Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    wait::until("the link to this machine", LINK_TIMEOUT, async || {
        ip(&["link", "set", &plan.link, "name", "eth0"]).map(|()| true)
    })
    .await?;
    let (address, host) = (
        format!("{}/30", plan.address),
        plan.host_address.to_string(),
    );
    ip(&["address", "add", &address, "dev", "eth0"])?;
    ip(&["link", "set", "eth0", "up"])?;
    ip(&["route", "add", "default", "via", &host])?;
    // Without the module there is no such setting, and the bridge passes nothing to the rules.
    let there = Path::new(NETWORK_SETTINGS[1].0).exists();
    if !there {
        run("modprobe", &["br_netfilter"])?;
    }
    for (file, value) in NETWORK_SETTINGS {
        std::fs::write(file, value).with_context(|| format!("failed to write {file}"))?;
    }
    Ok(())
}

/// Ends with an error that says which program has ended.
async fn first_to_end(processes: &[Process]) -> Result<()> {
    let ends = processes
        .iter()
        .map(|process| Box::pin(async move { (process, process.wait_for_end().await) }));
    let ((process, status), ..) = futures::future::select_all(ends).await;
    let status = status.map_or_else(|error| format!("{error:#}"), |status| status.to_string());
    anyhow::bail!(
        "{} has ended ({status})\n{}",
        process.name(),
        process.log_tail()
    )
}

struct Supervisor<'a> {
    folder: &'a Path,
    plan: &'a Plan,
    programs: &'a NodeComponents,
    started: Instant,
}

impl Supervisor<'_> {
    /// Starts everything and waits until pods can run and find each other.
    async fn start(&self) -> Result<Vec<Process>> {
        let identity = self.plan.identity();
        let cluster = Cluster::WithNode(&identity);
        let (containerd, (etcd, apiserver)) = tokio::try_join!(self.containerd(), async {
            let etcd = Etcd::start(self.place("etcd")).await?;
            self.say("etcd is ready")?;
            let place = self.place("kube-apiserver");
            let apiserver = KubeApiserver::start(place, &etcd, cluster).await?;
            self.say("kube-apiserver is ready")?;
            Ok((etcd, apiserver))
        })?;
        let more = KubeletPlace {
            node: &identity,
            control_group: &self.plan.control_group,
            containerd: &containerd,
        };
        let (manager, scheduler, kubelet, proxy) = tokio::try_join!(
            KubeControllerManager::start(
                self.place("kube-controller-manager"),
                &apiserver,
                cluster
            ),
            KubeScheduler::start(self.place("kube-scheduler"), &apiserver),
            Kubelet::start(self.place("kubelet"), &apiserver, more),
            KubeProxy::start(self.place("kube-proxy"), &apiserver, &identity, PODS),
        )?;
        self.say("kubelet, kube-proxy, scheduler and controllers are ready")?;
        let client = apiserver.client().await?;
        self.node_is_ready(&client).await?;
        self.say("the node is Ready; starting the name server")?;
        name_server::install(&client).await?;
        self.say("the name server answers")?;
        Ok(vec![
            etcd.process,
            apiserver.process,
            manager.process,
            scheduler.process,
            containerd.process,
            kubelet.process,
            proxy.process,
        ])
    }

    async fn containerd(&self) -> Result<Containerd> {
        let data = plan::containerd(self.folder);
        let log = plan::logs(self.folder).join("containerd.log");
        let place = ContainerdPlace {
            programs: self.programs,
            data: &data,
            log: &log,
            pods: PODS,
        };
        let containerd = Containerd::start(place).await?;
        self.say("containerd is ready")?;
        for image in self.plan.images() {
            containerd.import(&image).await?;
        }
        self.say("the node's images are in")?;
        Ok(containerd)
    }

    async fn node_is_ready(&self, client: &kube::Client) -> Result<()> {
        let api: Api<NodeObject> = Api::all(client.clone());
        wait::until("the node to be Ready", NODE_TIMEOUT, async || {
            let node = api.get(&self.plan.name).await?;
            let conditions = node.status.and_then(|status| status.conditions);
            let mut conditions = conditions.unwrap_or_default().into_iter();
            let ready = conditions.find(|condition| condition.type_ == "Ready");
            Ok::<_, kube::Error>(match ready {
                Some(condition) if condition.status == "True" => Seen::Done(()),
                other => Seen::not_yet(format!("{other:?}")),
            })
        })
        .await?;
        Ok(())
    }

    fn place(&self, name: &str) -> Place<'_> {
        Place {
            components: &self.programs.components,
            data: plan::data(self.folder).join(name),
            log: plan::logs(self.folder).join(format!("{name}.log")),
        }
    }

    /// Adds a line to what our owner shows.
    fn say(&self, line: &str) -> Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(plan::progress(self.folder))
            .context("failed to open the progress file")?;
        let seconds = self.started.elapsed().as_secs_f32();
        writeln!(file, "{seconds:5.1} s {line}").context("failed to write the progress file")
    }
}
