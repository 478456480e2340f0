//! The cable between this machine and a node: a pair of network devices, one end here, one end in
//! the node's namespace. Whoever makes the pair with a number has the number.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

/// As many nodes can be on one machine.
const MOST: u8 = 64;

/// This machine's end of the cable. The kernel removes both ends with the node's namespace, and
/// the janitor if it came to none.
#[derive(Debug, Clone)]
pub(super) struct Link {
    number: u8,
}

/// The name of the node's end.
pub(super) fn inner_name(number: u8) -> String {
    format!("actcore{number}n")
}

impl Link {
    /// Makes the pair with the first free number, both ends still here.
    pub(super) fn claim() -> Result<Self> {
        let mut last = None;
        for number in 0..MOST {
            let link = Self { number };
            if fs::exists(format!("/sys/class/net/{}", link.name())).unwrap_or(false) {
                continue;
            }
            let inner = inner_name(number);
            // Another process may be faster: then the next number is tried.
            match ip(&[
                "link",
                "add",
                &link.name(),
                "type",
                "veth",
                "peer",
                "name",
                &inner,
            ]) {
                Ok(()) => {
                    let address = format!("198.18.{number}.1/30");
                    ip(&["address", "add", &address, "dev", &link.name()])?;
                    ip(&["link", "set", &link.name(), "up"])?;
                    return Ok(link);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("there are {MOST} nodes already")))
            .context("failed to make a link to a node")
    }

    /// Which node it leads to.
    pub(super) fn number(&self) -> u8 {
        self.number
    }

    /// The name of this machine's end.
    pub(super) fn name(&self) -> String {
        format!("actcore{}", self.number)
    }

    /// Moves the node's end into the network namespace of a process; false while the process has
    /// none of its own yet.
    pub(super) fn hand_over(&self, process: u32) -> Result<bool> {
        let namespace = |process: &str| {
            let file = format!("/proc/{process}/ns/net");
            fs::read_link(&file).with_context(|| format!("failed to read {file}"))
        };
        let process = process.to_string();
        if namespace(&process)? == namespace("self")? {
            return Ok(false);
        }
        ip(&["link", "set", &inner_name(self.number), "netns", &process])?;
        Ok(true)
    }
}

/// Runs `ip` to its end.
pub(super) fn ip(arguments: &[&str]) -> Result<()> {
    run("ip", arguments)
}

/// Runs a program to its end; what it printed tells why it failed.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("failed to run {program}"))?;
    anyhow::ensure!(
        output.status.success(),
        "`{program} {}` failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
