//! `stack.json`: what is up, written by the supervisor, read by everybody else.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::identity::ProcessIdentity;
use super::{DevFolder, Endpoints, remove_file, write_atomically};
use crate::http;
use crate::wait::Seen;

/// One process of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackProcess {
    /// Its name.
    pub name: String,
    /// Which process it is.
    pub process: ProcessIdentity,
    /// A page that answers with success while it is well; `None` if running is all there is to see.
    pub health_url: Option<String>,
}

/// What is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackFile {
    /// The process that owns all others.
    pub supervisor: ProcessIdentity,
    /// All others.
    pub processes: Vec<StackProcess>,
    /// Where they answer; `None` while they are being started.
    pub endpoints: Option<Endpoints>,
}

impl StackFile {
    /// Reads it; `None` if there is none.
    pub fn read(folder: &DevFolder) -> Result<Option<Self>> {
        let path = folder.stack_file();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("failed to read {}", path.display()));
            }
        };
        serde_json::from_str(&text).map(Some).with_context(|| {
            format!(
                "{} is not understood; remove it if no stack is up",
                path.display()
            )
        })
    }

    /// Writes it, and `env` once the endpoints are known.
    pub(super) fn write(&self, folder: &DevFolder) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("failed to print stack.json")?;
        write_atomically(&folder.stack_file(), &text)?;
        if let Some(endpoints) = &self.endpoints {
            write_atomically(&folder.env(), &endpoints.shell_lines())?;
        }
        Ok(())
    }

    /// Removes both files.
    pub(super) fn remove(folder: &DevFolder) -> Result<()> {
        remove_file(&folder.env())?;
        remove_file(&folder.stack_file())
    }

    /// The processes that still run, without the supervisor.
    pub(super) fn running(&self) -> Vec<&StackProcess> {
        self.processes
            .iter()
            .filter(|process| process.process.is_running())
            .collect()
    }

    /// Name and state of each process, the supervisor first.
    pub(super) async fn states(&self) -> Vec<(String, State)> {
        let supervisor = State::of_process(self.supervisor);
        let mut states = vec![("supervisor".to_owned(), supervisor)];
        for process in &self.processes {
            states.push((process.name.clone(), process.state().await));
        }
        states
    }

    /// Whether every process is well; else which are not.
    pub(super) async fn all_well(&self) -> Seen<()> {
        let mut unwell = self.states().await;
        unwell.retain(|(_, state)| *state != State::Well);
        if unwell.is_empty() {
            return Seen::Done(());
        }
        let names = unwell
            .iter()
            .map(|(name, state)| format!("{name} ({})", state.describe()));
        Seen::NotYet(names.collect::<Vec<_>>().join(", "))
    }
}

/// How a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It runs, and says it is well if it can say so.
    Well,
    /// It runs but is not ready.
    NotReady,
    /// It does not run.
    Ended,
}

impl State {
    fn of_process(process: ProcessIdentity) -> Self {
        if process.is_running() {
            Self::Well
        } else {
            Self::Ended
        }
    }

    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Well => "up",
            Self::NotReady => "not ready",
            Self::Ended => "ended",
        }
    }
}

impl StackProcess {
    async fn state(&self) -> State {
        match (State::of_process(self.process), &self.health_url) {
            (State::Well, Some(url)) => match http::is_ok(url).await {
                Ok(true) => State::Well,
                Ok(false) | Err(_) => State::NotReady,
            },
            (state, _) => state,
        }
    }
}
