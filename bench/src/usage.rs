//! What a process uses, as the kernel counts it.

use std::time::Duration;

use anyhow::{Context, Result};

/// The unit of processor time in `/proc`: `USER_HZ`, 100 on every Linux that we run on.
const TICKS_PER_SECOND: u64 = 100;

/// What a process has used so far, and its memory now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Time on the processor, its own and the kernel's for it.
    pub(crate) cpu: Duration,
    /// Resident memory in MiB.
    pub(crate) resident: f64,
}

impl Usage {
    /// Of a process by its id.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/{file}"))
                .with_context(|| format!("process {pid} can't be looked at"))
        };
        let stat = read("stat")?;
        // The name in parentheses may hold blanks; what follows does not (proc_pid_stat(5)).
        let (_, rest) = stat.rsplit_once(')').context("/proc/…/stat has no name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |index: usize| -> Result<u64> {
            let field = fields.get(index).context("/proc/…/stat is too short")?;
            Ok(field.parse()?)
        };
        let ticks = ticks(11)? + ticks(12)?;
        let status = read("status")?;
        let resident: f64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .context("/proc/…/status has no VmRSS")?
            .parse()?;
        Ok(Self {
            cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
            resident: resident / 1024.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.resident > 1.0, "{usage:?}");
    }
}
