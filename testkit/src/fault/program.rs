//! One of our programs behind fault proxies, started anew whenever it ends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::http::Http;
use super::kubernetes::Kubernetes;
use super::listener::Listening;
use super::{Conductor, Server, grpc, nats, postgres};
use crate::environment::TestEnvironment;
use crate::ports::PortChoice;
use crate::program::{Program, ProgramPorts, RunningProgram};

/// How long to wait before a program that ended is started again: kubelet waits longer, but the
/// first time not by much.
const RESTART_PAUSE: Duration = Duration::from_millis(50);

/// No program reads this one: definitions name the receivers of their webhooks.
const WEBHOOK: &str = "TESTKIT_WEBHOOK_URL";

/// A program behind proxies, kept running.
#[derive(Debug)]
pub struct FaultyProgram {
    program: Program,
    conductor: Arc<Conductor>,
    state: watch::Receiver<State>,
    stopping: watch::Sender<bool>,
    supervising: Option<JoinHandle<()>>,
    api_url: String,
    webhook_url: String,
    proxies: Proxies,
}

/// The proxies of a program, and the variables that lead it to them.
#[derive(Debug, Default)]
struct Proxies {
    listening: Vec<Listening>,
    kubernetes: Option<Arc<Kubernetes>>,
    variables: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default)]
struct State {
    running: Option<Arc<RunningProgram>>,
    restarts: Vec<Restart>,
}

/// That a program ended and was started again.
#[derive(Debug, Clone)]
pub struct Restart {
    /// When it ended.
    pub at: Instant,
    /// How it ended.
    pub how: String,
    /// Its log.
    pub log: PathBuf,
}

impl FaultyProgram {
    /// Starts a program of `environment` with `settings` on top of the environment's, every server
    /// behind a proxy, and waits until it is ready.
    pub async fn start(
        environment: &Arc<TestEnvironment>,
        program: Program,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let conductor = Arc::new(Conductor::default());
        let proxies = proxies(environment, program, &conductor).await?;
        let mut variables = proxies.variables.clone();
        let webhook_url = variables.get(WEBHOOK).cloned().unwrap_or_default();
        for (name, value) in settings {
            variables.insert((*name).to_owned(), (*value).to_owned());
        }
        let api_port = PortChoice::Free.pick()?;
        let (set_state, state) = watch::channel(State::default());
        let (stopping, stop) = watch::channel(false);
        let supervisor = Supervisor {
            environment: Arc::clone(environment),
            program,
            variables,
            api_port,
            conductor: Arc::clone(&conductor),
            state: set_state,
            stop,
        };
        let faulty = Self {
            program,
            conductor,
            state,
            stopping,
            supervising: Some(tokio::spawn(supervisor.run())),
            api_url: format!("http://127.0.0.1:{api_port}"),
            webhook_url,
            proxies,
        };
        faulty.ready(Duration::from_mins(1)).await?;
        Ok(faulty)
    }

    /// Which program it is.
    pub const fn program(&self) -> Program {
        self.program
    }

    /// What strikes its calls.
    pub const fn conductor(&self) -> &Arc<Conductor> {
        &self.conductor
    }

    /// The REST API, if the program is the API; the same after a restart.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// Where the receiver of webhooks is, as the worker is to see it: behind a proxy.
    pub fn webhook_url(&self) -> &str {
        &self.webhook_url
    }

    /// Takes the lists of the Kubernetes API as they are now: a stale list will be one of these.
    pub async fn remember_lists(&self) -> Result<()> {
        match &self.proxies.kubernetes {
            Some(kubernetes) => kubernetes.remember().await,
            None => Ok(()),
        }
    }

    /// The process that is the program now.
    pub fn running(&self) -> Option<Arc<RunningProgram>> {
        self.state.borrow().running.clone()
    }

    /// Each time that it was started again.
    pub fn restarts(&self) -> Vec<Restart> {
        self.state.borrow().restarts.clone()
    }

    /// Waits until it runs and says that it is ready.
    pub async fn ready(&self, timeout: Duration) -> Result<()> {
        let what = format!("{} to be ready", self.program);
        let ready = crate::wait::until(what, timeout, || async {
            let Some(running) = self.running() else {
                return Ok(false);
            };
            running.is_ready().await
        });
        ready.await.with_context(|| {
            let running = self.running();
            let log = running.map(|running| crate::process::tail(running.log_path(), 0));
            format!("{} is not ready\n{}", self.program, log.unwrap_or_default())
        })
    }

    /// Ends it for good.
    pub async fn stop(mut self) -> Result<()> {
        self.end();
        if let Some(supervising) = self.supervising.take() {
            supervising.await.context("the supervisor has panicked")?;
        }
        Ok(())
    }

    fn end(&self) {
        // Nobody listens when the supervisor has ended already.
        let _ = self.stopping.send(true);
    }
}

impl Drop for FaultyProgram {
    fn drop(&mut self) {
        self.end();
    }
}

struct Supervisor {
    environment: Arc<TestEnvironment>,
    program: Program,
    variables: BTreeMap<String, String>,
    api_port: u16,
    conductor: Arc<Conductor>,
    state: watch::Sender<State>,
    stop: watch::Receiver<bool>,
}

impl Supervisor {
    async fn run(mut self) {
        while !*self.stop.borrow() {
            let ports = ProgramPorts {
                api: PortChoice::Preferred(self.api_port),
                ..ProgramPorts::default()
            };
            let launched = self
                .environment
                .launch(self.program, ports, &self.variables);
            match launched {
                Ok(running) => self.attend(Arc::new(running)).await,
                Err(error) => eprintln!("testkit: {error:#}"),
            }
            tokio::time::sleep(RESTART_PAUSE).await;
        }
    }

    /// Waits for the end of a process, or ends it when it is time.
    async fn attend(&mut self, running: Arc<RunningProgram>) {
        self.conductor.attach(Arc::clone(&running));
        self.state
            .send_modify(|state| state.running = Some(Arc::clone(&running)));
        let how = tokio::select! {
            ended = running.ended() => match ended {
                Ok(status) => status.to_string(),
                Err(error) => format!("{error:#}"),
            },
            () = stopped(&mut self.stop) => {
                if let Err(error) = running.kill(Signal::KILL) {
                    eprintln!("testkit: {error:#}");
                }
                // It has been killed; how it ended is no news.
                let _ = running.ended().await;
                return;
            }
        };
        let restart = Restart {
            at: Instant::now(),
            how,
            log: running.log_path().to_owned(),
        };
        self.state.send_modify(|state| {
            state.running = None;
            state.restarts.push(restart);
        });
    }
}

/// Waits until somebody says so, or nobody is left to say it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // What it says is known: that it is time.
    drop(stop.wait_for(|stop| *stop).await);
}

/// The proxies that a program needs.
async fn proxies(
    environment: &TestEnvironment,
    program: Program,
    conductor: &Arc<Conductor>,
) -> Result<Proxies> {
    let mut proxies = Proxies {
        variables: environment.env(),
        ..Proxies::default()
    };
    let Proxies {
        listening,
        variables,
        kubernetes: calls,
    } = &mut proxies;
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    let of = || Arc::clone(conductor);

    let proxy = grpc::Grpc::listen(environment.temporal_host(), of()).await?;
    set("TEMPORAL_HOST", proxy.address().to_string());
    listening.push(proxy);

    let url = environment.database_url();
    let address = authority(url);
    let proxy = postgres::listen(address.to_owned(), of()).await?;
    set(
        "ACTCORE_DB_URL",
        url.replace(address, &proxy.address().to_string()),
    );
    listening.push(proxy);

    let proxy = nats::listen(authority(environment.nats_url()).to_owned(), of()).await?;
    set("NATS_URL", format!("nats://{}", proxy.address()));
    listening.push(proxy);

    if matches!(program, Program::Operator | Program::Api) {
        let kubernetes = Kubernetes::new(environment.kube_client().await?);
        let proxy = kubernetes.listen(of()).await?;
        *calls = Some(kubernetes);
        let path = environment.folder().join(format!("kubeconfig-{program}"));
        let kubeconfig = kubeconfig(&format!("http://{}", proxy.address()));
        std::fs::write(&path, kubeconfig)
            .with_context(|| format!("failed to write {}", path.display()))?;
        set("KUBECONFIG", path.display().to_string());
        listening.push(proxy);
    }
    if program == Program::Worker {
        let stand_ins = environment.stand_ins();
        let base = stand_ins.chat.base_url();
        for (server, variable, url) in [
            (Server::StateHub, "STATE_HUB_URL", stand_ins.state_hub.url()),
            (
                Server::IssueCore,
                "ISSUE_CORE_URL",
                stand_ins.issue_core.url(),
            ),
            (Server::Chat, "OPENAI_BASE_URL", base.as_str()),
            (Server::Webhook, WEBHOOK, stand_ins.webhook.url()),
        ] {
            let proxy = Http::listen(server, authority(url), of()).await?;
            set(
                variable,
                url.replace(authority(url), &proxy.address().to_string()),
            );
            listening.push(proxy);
        }
    }
    Ok(proxies)
}

/// Host and port of a URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or_default();
    rest.rsplit('@').next().unwrap_or_default()
}

/// A kubeconfig that knows nothing but where the proxy is: the rights are the proxy's.
fn kubeconfig(server: &str) -> String {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "faults", "cluster": {"server": server}}],
        "users": [{"name": "faults", "user": {}}],
        "contexts": [{"name": "faults", "context": {"cluster": "faults", "user": "faults"}}],
        "current-context": "faults",
    })
    .to_string()
}
