//! Ports for servers that cannot report the one they chose: the operating system is asked for a
//! free one, which is then handed over.
//!
//! Between asking and the server's bind somebody else may take the port. Whoever starts a server
//! therefore tries again with new ports when the server says so: see
//! [`crate::process::start_on_free_ports`].

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context, Result};

/// Ports already handed out by this process: two of our own servers never get the same one.
static HANDED_OUT: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// How often the operating system may offer a port that was handed out before.
const ATTEMPTS: usize = 64;

/// A port on 127.0.0.1 that is free now and was not given by this process before.
pub fn free_port() -> Result<u16> {
    for _ in 0..ATTEMPTS {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("failed to ask the operating system for a free port")?;
        let port = listener
            .local_addr()
            .context("failed to read the port of a listener")?
            .port();
        let mut handed_out = HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
        if handed_out.insert(port) {
            return Ok(port);
        }
    }
    anyhow::bail!("the operating system offered no fresh port in {ATTEMPTS} attempts")
}

/// Which port a server gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PortChoice {
    /// Any free one.
    #[default]
    Free,
    /// This one if it is free, else any free one.
    Preferred(u16),
}

impl PortChoice {
    /// Finds the port.
    pub fn pick(self) -> Result<u16> {
        match self {
            Self::Free => free_port(),
            Self::Preferred(wanted) => Ok(PreferredPort::find(wanted)?.given),
        }
    }
}

/// A port that was asked for by number, and the one that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreferredPort {
    /// The well-known number.
    pub wanted: u16,
    /// The number to use: `wanted`, unless somebody else listens there.
    pub given: u16,
}

impl PreferredPort {
    /// Takes `wanted` if nobody listens there, else a free port.
    pub fn find(wanted: u16) -> Result<Self> {
        let given = if is_free(wanted) {
            wanted
        } else {
            free_port()?
        };
        Ok(Self { wanted, given })
    }

    /// True when the well-known number was taken by somebody else.
    pub fn was_taken(self) -> bool {
        self.wanted != self.given
    }
}

/// True when nobody listens there, on whichever address: a listener on one address stops another
/// one on all addresses.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_handed_out_twice() {
        let ports: HashSet<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 50);
    }

    #[test]
    fn a_taken_port_is_replaced_and_said_to_be_taken() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        let port = PreferredPort::find(taken).unwrap();
        assert!(port.was_taken());
        assert_ne!(port.given, taken);
    }
}
