//! From a started process to a ready server, with another try when a free port was lost.

use std::fmt::Display;
use std::future::Future;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;

use super::Process;
use crate::wait::{self, Answer};

/// Tries of a server whose port was taken between the asking and the bind.
const TRIES: usize = 5;

/// Why a server did not become ready.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else took the port in the meantime; new ports may help.
    #[error("{name} found its port taken\n{log}")]
    PortTaken {
        /// Which server.
        name: String,
        /// The end of its log.
        log: String,
    },
    /// It ended by itself.
    #[error("{name} ended ({status}) before it was ready\n{log}")]
    Ended {
        /// Which server.
        name: String,
        /// How.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// It runs but is not ready in time.
    #[error("{name} is not ready: {seen}\n{log}")]
    NotReady {
        /// Which server.
        name: String,
        /// What the last look at its readiness showed.
        seen: String,
        /// The end of its log.
        log: String,
    },
}

impl Process {
    /// Polls `ask` until it says yes; ends early when the process does.
    pub async fn ready<A, F, Fut>(&self, timeout: Duration, ask: F) -> Result<A::Value, StartError>
    where
        A: Answer,
        F: FnMut() -> Fut,
        Fut: Future<Output = A>,
    {
        let readiness = wait::until(format!("{} to be ready", self.name), timeout, ask);
        let mut exit = self.exit.clone();
        tokio::select! {
            ready = readiness => ready.map_err(|error| StartError::NotReady {
                name: self.name.clone(),
                seen: error.to_string(),
                log: self.log_tail(),
            }),
            _ = exit.wait_for(Option::is_some) => Err(self.ended()),
        }
    }

    fn ended(&self) -> StartError {
        let (name, log) = (self.name.clone(), self.log_tail());
        if self.log_says("address already in use") {
            return StartError::PortTaken { name, log };
        }
        StartError::Ended {
            name,
            status: self.exit_status().unwrap_or_default(),
            log,
        }
    }
}

/// Calls `start`, which asks for free ports itself, again while it loses the race for them.
pub async fn start_on_free_ports<T, F, Fut>(what: impl Display, mut start: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let mut last = None;
    for _ in 0..TRIES {
        match start().await {
            Err(error) if matches!(error.downcast_ref(), Some(StartError::PortTaken { .. })) => {
                last = Some(error);
            }
            outcome => return outcome,
        }
    }
    let error = last.unwrap_or_else(|| anyhow::anyhow!("it was never tried"));
    Err(error.context(format!("{what} lost the race for its port {TRIES} times")))
}
