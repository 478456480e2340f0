//! Child processes that cannot outlive us.
//!
//! Each child is started through `setpriv --pdeathsig`, so the kernel ends it when the thread that
//! started it ends. That thread is therefore one of our own that lives as long as the process: a
//! test's thread would take the servers of all other tests with it. A short shell step after
//! `setpriv` closes the gap between the fork and the call that asks for the signal.
//!
//! What a server needs to be ready is the business of [`crate::servers`].

mod finish;
mod log;
mod spawn;
mod start;

use std::fmt::{self, Debug};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::sync::watch;

pub use finish::run_to_its_end;
pub use log::tail;
pub use start::{StartError, start_on_free_ports};

/// How long a child may take to end after its stop signal before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// The same when nobody waits for an orderly end any more.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);
/// The kernel ends a killed process at once; more than this means it hangs in the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// What to start and how.
#[derive(Debug, Clone)]
pub struct Command {
    /// The name in messages.
    pub name: String,
    /// The file to run.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, beside what it inherits.
    pub environment: Vec<(String, String)>,
    /// What it inherits of our environment.
    pub inherit: Inherit,
    /// Where its output goes; it is appended to.
    pub log: PathBuf,
    /// The folder it runs in; ours if none is given.
    pub directory: Option<PathBuf>,
    /// Further arguments for `setpriv`, to drop to another user.
    pub privileges: Vec<String>,
    /// What asks it to end in an orderly way.
    pub stop_signal: Signal,
    /// What the kernel sends when we die.
    pub death_signal: DeathSignal,
}

/// The signal of the kernel to an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeathSignal {
    /// Ends any process.
    Kill,
    /// For Postgres, which ends at once on it too, but gives its shared memory back first.
    Quit,
}

/// How much of our environment a child inherits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inherit {
    /// [`INHERITED`] only: everything else could change what a server does.
    Essentials,
    /// All of it: for tools that a person sets up by environment, such as Go and pip.
    All,
}

/// What [`Inherit::Essentials`] lets through.
pub const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "TMPDIR", "TZ", "LLVM_PROFILE_FILE"];

impl Command {
    /// A command with no environment of its own, ended by SIGTERM.
    pub fn new(name: &str, program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            inherit: Inherit::Essentials,
            log: log.into(),
            directory: None,
            privileges: Vec::new(),
            stop_signal: Signal::TERM,
            death_signal: DeathSignal::Kill,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<I: IntoIterator<Item: Into<String>>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds one flag with its value, `--name=value`.
    #[must_use]
    pub fn flag(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.arguments.push(format!("--{name}={value}"));
        self
    }

    /// Starts it.
    pub fn spawn(self) -> Result<Process> {
        spawn::spawn(self)
    }

    /// Starts it and waits for its end, at most `timeout`. An exit code other than zero is an
    /// error that shows the last lines of its output.
    pub async fn run(self, timeout: Duration) -> Result<()> {
        let name = self.name.clone();
        let process = self.spawn()?;
        let status = process.wait(timeout).await?;
        anyhow::ensure!(
            status.success(),
            "{name} failed ({status}):\n{}",
            process.log_tail()
        );
        Ok(())
    }
}

/// A child process. Dropping it ends it.
pub struct Process {
    name: String,
    pid: u32,
    handle: OwnedFd,
    exit: watch::Receiver<Option<ExitStatus>>,
    log: PathBuf,
    /// How long the log was when it started.
    log_start: u64,
    stop_signal: Signal,
    command: Command,
}

impl Process {
    /// The name given in [`Command`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Where its output is.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The end of what it has printed.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log, self.log_start)
    }

    /// Whether the end of what it has printed says `words`.
    pub(crate) fn log_says(&self, words: &str) -> bool {
        log::says(&self.log, self.log_start, words)
    }

    /// How it ended, if it has.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Sends a signal. A process that has ended already is left in peace.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.handle, signal) {
            Err(error) if error != rustix::io::Errno::SRCH => {
                Err(error).with_context(|| format!("failed to signal {} ({})", self.name, self.pid))
            }
            _ => Ok(()),
        }
    }

    /// Starts the same again, once this one has ended: with its arguments, ports and data.
    pub fn start_again(&self) -> Result<Self> {
        self.command.clone().spawn()
    }

    /// Waits for its end, at most `timeout`.
    pub async fn wait(&self, timeout: Duration) -> Result<ExitStatus> {
        tokio::time::timeout(timeout, self.wait_for_end())
            .await
            .with_context(|| format!("{} did not end within {timeout:?}", self.name))?
    }

    /// Waits for its end, however long that takes.
    pub(crate) async fn wait_for_end(&self) -> Result<ExitStatus> {
        let mut exit = self.exit.clone();
        exit.wait_for(Option::is_some)
            .await
            .with_context(|| format!("nobody watches {} any more", self.name))?
            .with_context(|| format!("{} ended without a status", self.name))
    }

    /// Asks it to end, waits, and kills it if it does not.
    pub async fn stop(self) -> Result<()> {
        self.signal(self.stop_signal)?;
        if self.wait(STOP_TIMEOUT).await.is_err() {
            self.signal(Signal::KILL)?;
            self.wait(KILL_TIMEOUT).await?;
        }
        Ok(())
    }

    /// The blocking wait of [`Drop`], which has no runtime it could rely on.
    fn has_ended_within(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while self.exit_status().is_none() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exit_status().is_some() {
            return;
        }
        for (signal, timeout) in [
            (self.stop_signal, DROP_TIMEOUT),
            (Signal::KILL, KILL_TIMEOUT),
        ] {
            if let Err(error) = self.signal(signal) {
                eprintln!("testkit: {error:#}");
            }
            if self.has_ended_within(timeout) {
                return;
            }
        }
        eprintln!("testkit: {} (process {}) does not end", self.name, self.pid);
    }
}

impl Debug for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (process {})", self.name, self.pid)
    }
}
