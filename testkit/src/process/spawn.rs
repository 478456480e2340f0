//! The thread that starts all children, and the threads that wait for them.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::watch;

use super::{Command, DeathSignal, INHERITED, Inherit, Process};

/// Runs after the parent-death signal was asked for: if the parent had died just before, nobody
/// would send the signal, so the child looks whether it still is our child.
const STILL_OUR_CHILD: &str = r#"[ "$PPID" = "$0" ] || exit 143; exec "$@""#;

type Started = std::io::Result<(Child, OwnedFd)>;

struct Request {
    command: std::process::Command,
    reply: mpsc::Sender<Started>,
}

/// The parent-death signal follows the death of the thread that forked, not of the process; this
/// thread lives as long as the process because its channel is never closed.
static SPAWNER: LazyLock<Mutex<mpsc::Sender<Request>>> = LazyLock::new(|| {
    let (sender, requests) = mpsc::channel::<Request>();
    std::thread::spawn(move || {
        for mut request in requests {
            let started = request.command.spawn().and_then(with_handle);
            // Whoever asked may have been cancelled: then the child has nobody and is ended.
            if let Err(mpsc::SendError(Ok((child, _)))) = request.reply.send(started) {
                end(child);
            }
        }
    });
    Mutex::new(sender)
});

/// Adds a handle that keeps meaning this process even after its id was given to another one.
/// Nobody has waited for the child yet, so the id still is its own.
fn with_handle(child: Child) -> Started {
    match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
        Ok(handle) => Ok((child, handle)),
        Err(error) => {
            end(child);
            Err(error.into())
        }
    }
}

fn end(mut child: Child) {
    if let Err(error) = child.kill().and_then(|()| child.wait()) {
        eprintln!(
            "testkit: process {} could not be ended: {error}",
            child.id()
        );
    }
}

/// Starts `command`.
pub(super) fn spawn(command: Command) -> Result<Process> {
    let log_start = std::fs::metadata(&command.log).map_or(0, |metadata| metadata.len());
    let (child, handle) = start(&command).with_context(|| {
        format!(
            "failed to start {} ({})",
            command.name,
            command.program.display()
        )
    })?;
    let pid = child.id();
    let exit = watch_exit(child);
    Ok(Process {
        name: command.name.clone(),
        pid,
        handle,
        exit,
        log: command.log.clone(),
        log_start,
        stop_signal: command.stop_signal,
        command,
    })
}

fn start(command: &Command) -> Result<(Child, OwnedFd)> {
    anyhow::ensure!(
        command.program.components().count() == 1 || command.program.exists(),
        "{} does not exist",
        command.program.display()
    );
    let (reply, started) = mpsc::channel();
    let request = Request {
        command: to_system(command)?,
        reply,
    };
    let spawner = SPAWNER
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    spawner
        .send(request)
        .ok()
        .context("the thread that starts processes has ended")?;
    let started = started
        .recv()
        .context("the thread that starts processes has ended")?;
    started.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => anyhow::anyhow!(
            "`setpriv` is missing; it is part of util-linux (Debian package util-linux)"
        ),
        _ => error.into(),
    })
}

fn to_system(command: &Command) -> Result<std::process::Command> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&command.log)
        .with_context(|| format!("failed to open the log {}", command.log.display()))?;
    let death_signal = match command.death_signal {
        DeathSignal::Kill => "KILL",
        DeathSignal::Quit => "QUIT",
    };
    let mut system = std::process::Command::new("setpriv");
    if command.inherit == Inherit::Essentials {
        let essentials = INHERITED
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        system.env_clear().envs(essentials);
    }
    system
        .args(&command.privileges)
        .args(["--pdeathsig", death_signal, "sh", "-c", STILL_OUR_CHILD])
        .arg(std::process::id().to_string())
        .arg(&command.program)
        .args(&command.arguments)
        .envs(
            command
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("failed to share the log")?)
        .stderr(log)
        // Ctrl-C on a terminal goes to a whole group; our children are stopped by us, in order.
        .process_group(0);
    if let Some(directory) = &command.directory {
        system.current_dir(directory);
    }
    Ok(system)
}

/// Waits for the child on a thread of its own, so that no runtime needs to live as long.
fn watch_exit(mut child: Child) -> watch::Receiver<Option<std::process::ExitStatus>> {
    let (sender, receiver) = watch::channel(None);
    std::thread::spawn(move || match child.wait() {
        Ok(status) => {
            sender.send_replace(Some(status));
        }
        Err(error) => eprintln!(
            "testkit: waiting for process {} failed: {error}",
            child.id()
        ),
    });
    receiver
}
