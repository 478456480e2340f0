//! Starting everything of a development stack, in the order in which one needs the other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::programs::Recipe;
use super::progress_file::{Note, Notes};
use super::{DevFolder, Endpoints, ports};
use crate::components::{Component, Components, Source};
use crate::crds;
use crate::ports::PortChoice;
use crate::process::Command;
use crate::program::{COMMAND_LINE, Program, ProgramPorts, RunningProgram, binaries, binary};
use crate::progress::Progress;
use crate::servers::{NatsOptions, SUPERUSER, Servers, ServersOptions, TemporalOptions};
use crate::stand_ins::{API_KEY, StandIns};

/// The namespace of our own objects, such as the operator's lease.
const NAMESPACE: &str = "activity-core";
/// The only one that Temporal registers by itself.
const TEMPORAL_NAMESPACE: &str = "default";
const FIELD_MANAGER: &str = "actcore-dev";
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(1);

/// What is started: six servers, the stand-ins, the database's schema, four programs.
pub(super) const STEPS: usize = 12;

/// Everything, up and ready.
pub(super) struct Started {
    pub(super) programs: Vec<(Recipe, RunningProgram)>,
    pub(super) stand_ins: StandIns,
    pub(super) servers: Servers,
    pub(super) endpoints: Endpoints,
}

impl Started {
    pub(super) async fn start(folder: &DevFolder, notes: &Arc<Notes>) -> Result<Self> {
        let components = Components::resolve(&Progress::on_stderr()).await?;
        let options = servers_options(folder, notes);
        let servers = Box::pin(Servers::start(&components, &options)).await?;
        let stand_ins = observe(notes, "stand-ins", StandIns::start()).await?;
        let mut endpoints = endpoints(folder, &components, &servers, &stand_ins)?;
        observe(notes, "database schema", migrate(folder, &endpoints)).await?;
        create_namespace(&servers).await?;

        let starting = Program::ALL.map(|program| {
            let recipe = recipe(program, folder, &endpoints);
            async move {
                let running = observe(notes, program.binary(), recipe.start()).await?;
                anyhow::Ok((recipe, running))
            }
        });
        let mut programs = futures::future::try_join_all(starting).await?;
        for (recipe, running) in &mut programs {
            match recipe.program {
                Program::Api => {
                    running.api_url().clone_into(&mut endpoints.api_url);
                }
                Program::Worker => {
                    endpoints.worker_metrics_url = format!("{}/metrics", running.metrics_url());
                }
                Program::Operator | Program::EventRouter => {}
            }
            // Started again, it is where it was: its address has been told to people.
            recipe.ports = running.ports();
        }
        for sentence in ports::substitutions(&endpoints) {
            notes.tell(&Note::Remark { text: sentence });
        }
        Ok(Self {
            programs,
            stand_ins,
            servers,
            endpoints,
        })
    }
}

async fn observe<T>(
    notes: &Notes,
    name: &str,
    starting: impl Future<Output = Result<T>>,
) -> Result<T> {
    notes.tell(&Note::Starting {
        name: name.to_owned(),
    });
    let started = Instant::now();
    let outcome = starting.await?;
    notes.tell(&Note::ready(name, started.elapsed()));
    Ok(outcome)
}

fn servers_options(folder: &DevFolder, notes: &Arc<Notes>) -> ServersOptions {
    let notes = notes.clone();
    ServersOptions {
        data: folder.data(),
        logs: folder.logs(),
        temporal: TemporalOptions {
            namespaces: Vec::new(),
            persistent: true,
            port: PortChoice::Preferred(ports::TEMPORAL),
            ui_port: Some(PortChoice::Preferred(ports::TEMPORAL_UI)),
        },
        nats: Some(NatsOptions {
            port: PortChoice::Preferred(ports::NATS),
            monitoring_port: PortChoice::Preferred(ports::NATS_MONITORING),
        }),
        crds: crds::of_checkout(),
        observer: Arc::new(move |event| notes.tell(&event.into())),
    }
}

/// All that is known before our programs are started.
fn endpoints(
    folder: &DevFolder,
    components: &Components,
    servers: &Servers,
    stand_ins: &StandIns,
) -> Result<Endpoints> {
    let nats = servers.nats.as_ref().context("NATS was not started")?;
    Ok(Endpoints {
        api_url: String::new(),
        kubeconfig: servers.kube_apiserver.kubeconfig().to_owned(),
        kubernetes_url: servers.kube_apiserver.url().to_owned(),
        temporal_host: servers.temporal.host().to_owned(),
        temporal_namespace: TEMPORAL_NAMESPACE.to_owned(),
        temporal_ui_url: servers.temporal.ui_url().unwrap_or_default().to_owned(),
        database_url: servers.postgres.url(SUPERUSER),
        nats_url: nats.url().to_owned(),
        nats_monitoring_url: nats.monitoring_url().to_owned(),
        worker_metrics_url: String::new(),
        state_hub_url: stand_ins.state_hub.url().to_owned(),
        issue_core_url: stand_ins.issue_core.url().to_owned(),
        openai_base_url: stand_ins.chat.base_url(),
        openai_api_key: API_KEY.to_owned(),
        webhook_url: stand_ins.webhook.url().to_owned(),
        working_memory_dir: folder.working_memory(),
        programs: program_folders(components)?,
    })
}

/// Our own binaries, and what of kubectl and temporal is not on the PATH anyway.
fn program_folders(components: &Components) -> Result<Vec<PathBuf>> {
    let mut folders = vec![binaries()?];
    for resolved in components.all() {
        let for_people = matches!(resolved.component, Component::Kubectl | Component::Temporal);
        if for_people && resolved.source != Source::Machine {
            folders.extend(resolved.program.parent().map(PathBuf::from));
        }
    }
    Ok(folders)
}

/// Brings the schema up to date with our own command line.
async fn migrate(folder: &DevFolder, endpoints: &Endpoints) -> Result<()> {
    let log = folder.logs().join("actcore.log");
    let mut command =
        Command::new("actcore db upgrade", binary(COMMAND_LINE)?, log).arguments(["db", "upgrade"]);
    let database = ("ACTCORE_DB_URL".to_owned(), endpoints.database_url.clone());
    command.environment.push(database);
    command.run(MIGRATION_TIMEOUT).await
}

async fn create_namespace(servers: &Servers) -> Result<()> {
    let api: Api<Namespace> = Api::all(servers.kube_apiserver.client().await?);
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(NAMESPACE, &params, &Patch::Apply(&namespace))
        .await
        .with_context(|| format!("failed to create the namespace {NAMESPACE}"))?;
    Ok(())
}

fn recipe(program: Program, folder: &DevFolder, endpoints: &Endpoints) -> Recipe {
    let mut environment: BTreeMap<String, String> = endpoints
        .program_env()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    environment.insert("POD_NAMESPACE".to_owned(), NAMESPACE.to_owned());
    environment.insert("LOG_FORMAT".to_owned(), "text".to_owned());
    let mut chosen = ProgramPorts::default();
    match program {
        Program::Api => chosen.api = PortChoice::Preferred(ports::API),
        Program::Worker => chosen.metrics = PortChoice::Preferred(ports::WORKER_METRICS),
        Program::Operator | Program::EventRouter => {}
    }
    let log = folder.logs().join(format!("{program}.log"));
    Recipe {
        program,
        ports: chosen,
        environment,
        log,
    }
}
