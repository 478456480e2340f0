//! The process that owns a development stack: starts everything, keeps our programs running, and
//! stops everything in reverse order when told to.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::DevFolder;
use super::identity::ProcessIdentity;
use super::programs::{Keeper, describe};
use super::progress_file::{Note, Notes};
use super::stack_file::{StackFile, StackProcess};
use super::start::Started;
use crate::file_lock::FileLock;
use crate::servers::Servers;

/// Runs the stack of `folder` until SIGTERM or SIGINT. To be started by [`super::up()`].
pub async fn supervise(folder: &DevFolder) -> Result<()> {
    // A session of its own: the terminal that started us may be closed.
    rustix::process::setsid().context("failed to begin a session")?;
    folder.make()?;
    // Only one supervisor at a time works in a folder.
    let lock = FileLock::try_take(&folder.path().join("supervisor.lock"))?;
    let _lock =
        lock.with_context(|| format!("another supervisor works in {}", folder.path().display()))?;
    let notes = Arc::new(Notes::create(&folder.progress_file())?);
    let supervisor = ProcessIdentity::of(std::process::id())?;
    StackFile {
        supervisor,
        processes: Vec::new(),
        endpoints: None,
    }
    .write(folder)?;

    let outcome = Box::pin(run(folder, supervisor, &notes)).await;
    if let Err(error) = &outcome {
        notes.tell(&Note::Failed {
            error: format!("{error:#}"),
        });
    }
    StackFile::remove(folder)?;
    outcome
}

async fn run(folder: &DevFolder, supervisor: ProcessIdentity, notes: &Arc<Notes>) -> Result<()> {
    let mut told_to_stop = std::pin::pin!(told_to_stop()?);
    let started = tokio::select! {
        // Whatever has been started by then ends when it is dropped here.
        () = &mut told_to_stop => anyhow::bail!("told to stop before everything was up"),
        started = Started::start(folder, notes) => started?,
    };
    let Started {
        servers,
        stand_ins,
        programs,
        endpoints,
    } = started;
    let mut file = StackFile {
        supervisor,
        processes: describe_servers(&servers)?,
        endpoints: Some(endpoints),
    };
    let (restarted, mut restarts) = mpsc::unbounded_channel();
    let mut keepers = Vec::new();
    for (recipe, running) in programs {
        file.processes.push(describe(&running)?);
        keepers.push(Keeper::new(recipe, running, restarted.clone()));
    }
    file.write(folder)?;
    notes.tell(&Note::Up);

    loop {
        tokio::select! {
            () = &mut told_to_stop => break,
            Some(process) = restarts.recv() => {
                file.processes.retain(|other| other.name != process.name);
                file.processes.push(process);
                file.write(folder)?;
            }
        }
    }
    eprintln!("told to stop");
    while let Some(keeper) = keepers.pop() {
        if let Err(error) = keeper.stop().await {
            eprintln!("{error:#}");
        }
    }
    drop(stand_ins);
    servers.stop().await
}

fn told_to_stop() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to watch for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn describe_servers(servers: &Servers) -> Result<Vec<StackProcess>> {
    let mut described = Vec::new();
    for (process, health_url) in servers.processes() {
        described.push(StackProcess {
            name: process.name().to_owned(),
            process: ProcessIdentity::of(process.pid())?,
            health_url,
        });
    }
    Ok(described)
}
