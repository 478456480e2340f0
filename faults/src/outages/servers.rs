//! The servers of a stack, ended and started again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::jetstream;
use testkit::process::Process;
use testkit::wait::{self, Seen};
use testkit::{Signal, Stack};

use super::RETURN;
use super::disk::SmallDisk;
use crate::lane::Lane;

/// A stream and its subject: what takes up room in NATS.
const FILLER: &str = "filler";

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Machine {
    /// kube-apiserver.
    Kubernetes,
    /// Temporal.
    Temporal,
    /// Postgres.
    Postgres,
    /// NATS.
    Nats,
}

impl Machine {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kubernetes, Self::Temporal, Self::Postgres, Self::Nats];

    /// The name in plans and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kube-apiserver",
            Self::Temporal => "temporal",
            Self::Postgres => "postgres",
            Self::Nats => "nats",
        }
    }
}

/// The servers of a stack, those of a lane among them.
pub(super) struct Servers {
    stack: Stack,
    nats: Option<std::sync::Arc<testkit::TestEnvironment>>,
    /// Those that have been started again, in the place of the stack's own.
    again: BTreeMap<Machine, Process>,
    backup: Option<String>,
    /// The disk of a server that is to be full.
    disk: Option<SmallDisk>,
}

impl Servers {
    pub(super) fn new(stack: &Stack) -> Self {
        Self {
            stack: stack.clone(),
            nats: None,
            again: BTreeMap::new(),
            backup: None,
            disk: None,
        }
    }

    /// Each lane has a NATS of its own.
    pub(super) fn of_lane(&mut self, lane: &Lane) {
        let is_same = self
            .nats
            .as_ref()
            .is_some_and(|nats| std::sync::Arc::ptr_eq(nats, &lane.environment));
        if !is_same {
            self.nats = Some(std::sync::Arc::clone(&lane.environment));
            self.again.remove(&Machine::Nats);
        }
    }

    fn process(&self, machine: Machine) -> Result<&Process> {
        if let Some(process) = self.again.get(&machine) {
            return Ok(process);
        }
        let servers = self.stack.servers();
        Ok(match machine {
            Machine::Kubernetes => servers.kube_apiserver.process(),
            Machine::Temporal => servers.temporal.process(),
            Machine::Postgres => servers.postgres.process(),
            Machine::Nats => {
                let environment = self.nats.as_ref().context("there is no lane")?;
                environment.nats().process()
            }
        })
    }

    /// Sends a signal; what is to end has ended afterwards.
    pub(super) async fn signal(&self, machine: Machine, signal: Signal) -> Result<()> {
        let process = self.process(machine)?;
        let ends = signal == Signal::KILL;
        // Postgres gives its shared memory back on this one, and ends as abruptly.
        let is_postgres = machine == Machine::Postgres;
        let signal = if ends && is_postgres {
            Signal::QUIT
        } else {
            signal
        };
        process.signal(signal)?;
        if ends {
            process.wait(Duration::from_secs(15)).await?;
        }
        Ok(())
    }

    /// Starts one again that has ended; without its data, if it is to have none.
    pub(super) fn start_again(&mut self, machine: Machine, is_emptied: bool) -> Result<()> {
        if is_emptied {
            for file in self.temporal_files()? {
                std::fs::remove_file(&file)
                    .with_context(|| format!("failed to remove {}", file.display()))?;
            }
        }
        let again = self.process(machine)?.start_again()?;
        self.again.insert(machine, again);
        Ok(())
    }

    /// Puts the data of a server on a disk that can be filled; for that it is started again.
    pub(super) async fn on_a_small_disk(&mut self, machine: Machine, lane: &Lane) -> Result<()> {
        self.signal(machine, Signal::KILL).await?;
        let folder = match machine {
            Machine::Nats => lane.environment.folder().join("nats"),
            server => self.stack.folder().join("data").join(server.as_str()),
        };
        let log = lane.environment.folder().join("disk.log");
        self.disk = Some(SmallDisk::mount(folder, log).await?);
        self.start_again(machine, false)?;
        self.answers(machine, lane).await
    }

    /// Takes all the room of the disk that there is, and has the server notice.
    pub(super) async fn fill(&self, machine: Machine, lane: &Lane) -> Result<()> {
        self.disk
            .as_ref()
            .context("there is no small disk")?
            .fill()?;
        let what = format!("{} to find its disk full", machine.as_str());
        wait::until(what, RETURN, || async {
            if self.complains(machine)? {
                return anyhow::Ok(true);
            }
            // What has been set apart before is used up first. That this fails is its purpose.
            let _ = self.write(machine, lane).await;
            Ok(false)
        })
        .await?;
        Ok(())
    }

    /// Gives the room back. What has ended is started again, and NATS, which does without
    /// JetStream from then on until its liveness probe has it started again, too.
    pub(super) async fn free(&mut self, machine: Machine, lane: &Lane) -> Result<()> {
        self.disk
            .as_ref()
            .context("there is no small disk")?
            .free()?;
        if machine == Machine::Nats {
            self.signal(machine, Signal::KILL).await?;
        }
        if self.process(machine)?.exit_status().is_some() {
            self.start_again(machine, false)?;
        }
        self.answers(machine, lane).await?;
        // The disk may have been full before the stream was made.
        if machine == Machine::Nats && lane.jetstream.get_stream(FILLER).await.is_ok() {
            lane.jetstream.delete_stream(FILLER).await?;
        }
        Ok(())
    }

    /// Whether the log says that there is no room.
    fn complains(&self, machine: Machine) -> Result<bool> {
        let path = self.process(machine)?.log_path();
        let log = std::fs::read_to_string(path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        let log = log.to_lowercase();
        let words = ["no space left on device", "disk is full"];
        Ok(words.iter().any(|words| log.contains(words)))
    }

    /// Has a server take up room.
    async fn write(&self, machine: Machine, lane: &Lane) -> Result<()> {
        match machine {
            Machine::Postgres => {
                let steps = [
                    "create table filler ()",
                    "drop table filler",
                    "select pg_switch_wal()",
                ];
                self.administer(&steps.map(str::to_owned)).await
            }
            Machine::Nats => {
                let stream = jetstream::stream::Config {
                    name: FILLER.to_owned(),
                    ..jetstream::stream::Config::default()
                };
                lane.jetstream.get_or_create_stream(stream).await?;
                let block = vec![0; 512 * 1024];
                let publishing = lane.jetstream.publish(FILLER, block.into()).await?;
                publishing.await?;
                Ok(())
            }
            // These write whatever they are asked for.
            Machine::Kubernetes | Machine::Temporal => Ok(()),
        }
    }

    /// Puts the data back on the disk of everybody.
    pub(super) async fn off_the_small_disk(&mut self, machine: Machine, lane: &Lane) -> Result<()> {
        let disk = self.disk.take().context("there is no small disk")?;
        self.signal(machine, Signal::KILL).await?;
        disk.unmount().await?;
        self.start_again(machine, false)?;
        self.answers(machine, lane).await
    }

    fn temporal_files(&self) -> Result<Vec<PathBuf>> {
        let folder = self.stack.folder().join("data").join("temporal");
        let files = std::fs::read_dir(&folder)
            .with_context(|| format!("failed to read {}", folder.display()))?;
        let files = files.flatten().map(|file| file.path());
        let of_the_data = |file: &PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("temporal.db")
        };
        Ok(files.filter(of_the_data).collect())
    }

    /// Waits until a server answers.
    pub(super) async fn answers(&mut self, machine: Machine, lane: &Lane) -> Result<()> {
        let what = format!("{} to answer", machine.as_str());
        wait::until(what, RETURN, || async {
            let answered = match machine {
                Machine::Kubernetes => {
                    let definitions = &lane.definitions;
                    let one = kube::api::ListParams::default().limit(1);
                    definitions.list(&one).await.map(drop)?;
                    Ok(())
                }
                Machine::Temporal => lane.schedules.ids().await.map(drop),
                Machine::Postgres => lane.store.ping().await.map_err(anyhow::Error::from),
                Machine::Nats => {
                    let names = lane.jetstream.get_stream(contracts::names::EVENT_STREAM);
                    names.await.map(drop).map_err(anyhow::Error::from)
                }
            };
            anyhow::Ok(match answered {
                Ok(()) => Seen::Done(()),
                Err(error) => Seen::not_yet(format!("{error:#}")),
            })
        })
        .await?;
        Ok(())
    }

    /// Takes a backup of a lane's database.
    pub(super) async fn back_up(&mut self, lane: &Lane) -> Result<()> {
        let database = database(lane);
        let backup = format!("{database}_backup");
        let steps = [
            format!("alter database \"{database}\" allow_connections false"),
            end_connections(&database),
            format!("create database \"{backup}\" template \"{database}\""),
            format!("alter database \"{database}\" allow_connections true"),
        ];
        self.administer(&steps).await?;
        self.backup = Some(backup);
        self.answers(Machine::Postgres, lane).await
    }

    /// Puts the backup in the place of a lane's database.
    pub(super) async fn restore(&mut self, lane: &Lane) -> Result<()> {
        let database = database(lane);
        let backup = self.backup.take().context("there is no backup")?;
        let steps = [
            format!("alter database \"{database}\" allow_connections false"),
            end_connections(&database),
            format!("drop database \"{database}\""),
            format!("alter database \"{backup}\" rename to \"{database}\""),
            format!("alter database \"{database}\" allow_connections true"),
        ];
        self.administer(&steps).await?;
        self.answers(Machine::Postgres, lane).await
    }

    async fn administer(&self, steps: &[String]) -> Result<()> {
        for step in steps {
            self.stack.postgres().administer(step).await?;
        }
        Ok(())
    }
}

fn database(lane: &Lane) -> String {
    let url = lane.environment.database_url();
    url.rsplit('/').next().unwrap_or_default().to_owned()
}

fn end_connections(database: &str) -> String {
    format!(
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where datname = '{database}' and pid <> pg_backend_pid()"
    )
}
