//! `down`: stops the stack and makes sure that nothing is left of it.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::DevFolder;
use super::stack_file::StackFile;
use super::up::clear_up_after_kill;
use crate::progress::Progress;
use crate::wait::{self, Seen};

/// The programs get 15 seconds each at most, and they usually take one.
const STOP_TIMEOUT: Duration = Duration::from_mins(2);
/// The kernel ends the children of a killed process at once.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// What happens to the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volumes {
    /// The next `up` goes on with it.
    Keep,
    /// It is gone: database, schedules, objects, streams and reports.
    Remove,
}

/// Stops the stack of `folder`, if one is up. Logs are kept.
pub async fn down(folder: &DevFolder, volumes: Volumes, progress: &Progress) -> Result<()> {
    match StackFile::read(folder)? {
        None => progress.say("no stack is up"),
        Some(stack) if stack.supervisor.is_running() => stop(folder, &stack, progress).await?,
        Some(stack) => clear_up_after_kill(folder, &stack, progress).await?,
    }
    if volumes == Volumes::Remove {
        for data in [folder.data(), folder.working_memory()] {
            match std::fs::remove_dir_all(&data) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("failed to remove {}", data.display()));
                }
                _ => {}
            }
        }
        progress.say("the data is removed");
    }
    Ok(())
}

async fn stop(folder: &DevFolder, stack: &StackFile, progress: &Progress) -> Result<()> {
    let step = progress.step("stack", "stopping the programs, then the servers");
    stack.supervisor.signal(Signal::TERM)?;
    let ended = wait::until("the supervisor to end", STOP_TIMEOUT, async || {
        !stack.supervisor.is_running()
    });
    let in_order = step.follow(ended, || "stopping".to_owned()).await.is_ok();
    if !in_order {
        stack.supervisor.signal(Signal::KILL)?;
    }
    nothing_left(stack).await?;
    StackFile::remove(folder)?;
    step.finish(if in_order {
        "stopped; no process is left"
    } else {
        "did not stop in time and was killed; no process is left"
    });
    Ok(())
}

/// Waits until no process of the stack runs any more; an error names those that do.
pub(super) async fn nothing_left(stack: &StackFile) -> Result<()> {
    wait::until(
        "all processes of the stack to end",
        KILL_TIMEOUT,
        async || {
            let left = stack.running();
            if left.is_empty() && !stack.supervisor.is_running() {
                return Seen::Done(());
            }
            let names: Vec<String> = left
                .iter()
                .map(|process| format!("{} (process {})", process.name, process.process.pid))
                .collect();
            Seen::NotYet(format!("still running: {}", names.join(", ")))
        },
    )
    .await?;
    Ok(())
}
