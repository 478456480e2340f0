//! `up`: fetches what is missing, starts the supervisor and shows how far it is.

use std::fs::OpenOptions;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::identity::ProcessIdentity;
use super::progress_file::{Note, NotesReader};
use super::stack_file::StackFile;
use super::start::STEPS;
use super::{DevFolder, Endpoints, remove_file};
use crate::components::Components;
use crate::file_lock::FileLock;
use crate::process::tail;
use crate::program::{COMMAND_LINE, Program, binary};
use crate::progress::Progress;
use crate::wait::{self, Seen};

/// A stack that is not up by then hangs somewhere; each server gives up earlier by itself.
const UP_TIMEOUT: Duration = Duration::from_mins(10);
/// How long a program may be on its way back.
const WELL_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Makes sure that the stack of `folder` is up, and gives its endpoints. One that is up and well
/// is left as it is; one that somebody else is starting is waited for.
pub async fn up(folder: &DevFolder, progress: &Progress) -> Result<Endpoints> {
    folder.make()?;
    let _lock = wait_for_turn(folder, progress).await?;
    if let Some(stack) = StackFile::read(folder)? {
        if stack.supervisor.is_running()
            && let Some(endpoints) = join(folder, &stack, progress).await?
        {
            return Ok(endpoints);
        }
        clear_up_after_kill(folder, &stack, progress).await?;
    }
    for name in Program::ALL.map(Program::binary) {
        binary(name)?;
    }
    binary(COMMAND_LINE)?;
    // With its progress shown here; the supervisor then finds everything in the cache.
    Components::resolve(progress).await?;
    remove_file(&folder.progress_file())?;
    let log_start = std::fs::metadata(folder.supervisor_log()).map_or(0, |log| log.len());
    let supervisor = start_supervisor(folder)?;
    let process = ProcessIdentity::of(supervisor.id())?;
    Watch {
        folder,
        progress,
        process,
        log_start,
        supervisor: Some(supervisor),
    }
    .until_up()
    .await
}

/// Two calls at the same time would start two supervisors: the second one waits until the first
/// is done, and then finds the stack up.
async fn wait_for_turn(folder: &DevFolder, progress: &Progress) -> Result<FileLock> {
    let path = folder.path().join("up.lock");
    if let Some(lock) = FileLock::try_take(&path)? {
        return Ok(lock);
    }
    let step = progress.step("stack", "it is being started already; waiting");
    let lock = wait::until("the other start to end", UP_TIMEOUT, async || {
        FileLock::try_take(&path)
    });
    Ok(step
        .follow(lock, || "waiting for the other start".to_owned())
        .await?)
}

/// The stack is there already, or about to be. `None` when it turns out that its supervisor is
/// gone: a process that was killed a moment ago is still there for another one.
async fn join(
    folder: &DevFolder,
    stack: &StackFile,
    progress: &Progress,
) -> Result<Option<Endpoints>> {
    let Some(endpoints) = &stack.endpoints else {
        progress.say("the stack is being started already; waiting for it");
        let process = stack.supervisor;
        let watch = Watch {
            folder,
            progress,
            process,
            log_start: 0,
            supervisor: None,
        };
        return watch.until_up().await.map(Some);
    };
    // A program that is just being started again is given the time for it.
    let well = wait::until("everything to be well", WELL_TIMEOUT, async || {
        let stack = StackFile::read(folder)?.context("the stack has been stopped")?;
        if !stack.supervisor.is_running() {
            return Ok(Seen::Done(None));
        }
        anyhow::Ok(match stack.all_well().await {
            Seen::Done(()) => Seen::Done(Some(endpoints.clone())),
            Seen::NotYet(seen) => Seen::NotYet(seen),
        })
    });
    match well.await {
        Ok(None) => Ok(None),
        Ok(Some(endpoints)) => {
            progress.say("the stack is up already");
            Ok(Some(endpoints))
        }
        Err(error) => bail!(
            "a stack is up, but not well: {}; look into {}, or start anew with `make down` and \
             `make up`",
            error.last_seen,
            folder.logs().display()
        ),
    }
}

/// The supervisor was killed, and with it went everything; what it wrote has remained.
pub(super) async fn clear_up_after_kill(
    folder: &DevFolder,
    stack: &StackFile,
    progress: &Progress,
) -> Result<()> {
    progress.say(&format!(
        "the supervisor of the last stack (process {}) was killed; clearing up after it",
        stack.supervisor.pid
    ));
    super::down::nothing_left(stack).await?;
    StackFile::remove(folder)
}

fn start_supervisor(folder: &DevFolder) -> Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.supervisor_log())
        .context("failed to open the supervisor's log")?;
    let program = std::env::current_exe().context("failed to find our own program")?;
    std::process::Command::new(program)
        .args(["supervise", "--dir"])
        .arg(folder.path())
        // Relative folders of the cache and of the binaries mean the same there.
        .stdin(Stdio::null())
        .stdout(
            log.try_clone()
                .context("failed to share the supervisor's log")?,
        )
        .stderr(log)
        .spawn()
        .context("failed to start the supervisor")
}

/// Watches a supervisor that is starting.
struct Watch<'a> {
    folder: &'a DevFolder,
    progress: &'a Progress,
    process: ProcessIdentity,
    /// How long its log was when it started.
    log_start: u64,
    /// Ours to collect, if we have started it.
    supervisor: Option<Child>,
}

impl Watch<'_> {
    async fn until_up(mut self) -> Result<Endpoints> {
        let started = Instant::now();
        let mut notes = NotesReader::new(self.folder.progress_file());
        let mut ready = 0;
        loop {
            // In this order: what it says before its end is read after it has ended.
            let has_ended = self.has_ended()?;
            for note in notes.new_notes() {
                match note {
                    Note::Starting { .. } => {}
                    Note::Ready { name, seconds } => {
                        ready += 1;
                        let line = format!("[{ready}/{STEPS}] {name} ready in {seconds:.1} s");
                        self.progress.say(&line);
                    }
                    Note::Remark { text } => self.progress.say(&text),
                    Note::Failed { error } => bail!("{error}"),
                    Note::Up => return self.endpoints(),
                }
            }
            if has_ended {
                bail!(
                    "the supervisor has ended\n{}",
                    tail(&self.folder.supervisor_log(), self.log_start)
                );
            }
            if started.elapsed() > UP_TIMEOUT {
                self.process.signal(Signal::TERM)?;
                bail!(
                    "the stack is not up after {UP_TIMEOUT:?}; look into {}",
                    self.folder.logs().display()
                );
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn has_ended(&mut self) -> Result<bool> {
        if let Some(supervisor) = &mut self.supervisor {
            let ended = supervisor
                .try_wait()
                .context("failed to look at the supervisor")?;
            return Ok(ended.is_some());
        }
        Ok(!self.process.is_running())
    }

    fn endpoints(&self) -> Result<Endpoints> {
        StackFile::read(self.folder)?
            .and_then(|stack| stack.endpoints)
            .context("the stack came up and went down again at once")
    }
}
