//! Which process is meant: a process id alone may be given to another process later.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process, told from a later one with the same id by when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The process id.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did (`/proc/<pid>/stat`, field 22).
    pub start_time: u64,
}

impl ProcessIdentity {
    /// The running process with this id.
    pub fn of(pid: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("process {pid} does not run"))?;
        let (_, start_time) = state_and_start(&stat)
            .with_context(|| format!("/proc/{pid}/stat is not understood"))?;
        Ok(Self { pid, start_time })
    }

    /// True while exactly this process runs. One that has ended and is only not yet collected by
    /// its parent does not count.
    pub fn is_running(self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        match state_and_start(&stat) {
            Some((state, start_time)) => {
                start_time == self.start_time && !matches!(state, 'Z' | 'X')
            }
            None => false,
        }
    }

    /// Sends a signal to exactly this process; one that has ended is left in peace.
    pub fn signal(self, signal: Signal) -> Result<()> {
        let Some(handle) = self.open()? else {
            return Ok(());
        };
        match pidfd_send_signal(handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("failed to signal process {}", self.pid))
            }
        }
    }

    /// A handle of the process. It is opened before the start time is compared, so that it means
    /// the process that was compared.
    fn open(self) -> Result<Option<OwnedFd>> {
        let pid = i32::try_from(self.pid)
            .ok()
            .and_then(Pid::from_raw)
            .context("no process id")?;
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("failed to look at process {}", self.pid));
            }
        };
        Ok(self.is_running().then_some(handle))
    }
}

/// The third and the 22nd field; the second one is a name in parentheses that may hold anything.
fn state_and_start(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    Some((state, start_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_spaces_and_parentheses_does_not_confuse() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 2";
        assert_eq!(state_and_start(stat), Some(('S', 987_654)));
    }

    #[test]
    fn a_recycled_process_id_is_not_taken_for_the_old_process() {
        let us = ProcessIdentity::of(std::process::id()).unwrap();
        assert!(us.is_running());
        let earlier = ProcessIdentity {
            start_time: us.start_time - 1,
            ..us
        };
        assert!(!earlier.is_running());
        // It would end this test if it were sent.
        earlier.signal(Signal::KILL).unwrap();
    }
}
