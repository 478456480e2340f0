//! Faults on the wire: proxies between one of our programs and the servers that it calls, which
//! understand the protocol well enough to name each call, and do to a chosen one what networks,
//! servers and kernels do.
//!
//! The programs know nothing of it: they are the real ones, and so are the servers. A program that
//! dies at a chosen moment is started again, as Kubernetes would ([`FaultyProgram`]). Which fault
//! befalls which call is a [`Fault`]; what is claimed about the outcome is the caller's business.

mod call;
mod conductor;
mod exchange;
mod grpc;
mod http;
mod kind;
mod kubernetes;
mod listener;
mod nats;
mod plant;
mod postgres;
mod program;

pub use call::{Call, Effect, Server};
pub use conductor::{Conductor, Fault, Injected, Met};
pub use kind::Kind;
pub use plant::{Claim, Plant, Slip};
pub use program::{FaultyProgram, Restart};

use std::time::Duration;

/// How long a slow call is held: longer than the lease (6 s) and the acknowledgement wait (2 s)
/// that those give their programs who strike them.
pub const SLOW: Duration = Duration::from_secs(7);

/// How long a call comes late that a program with a planted bug makes late.
const LATE: Duration = Duration::from_secs(3);

/// How long an unanswered call is held before its connection is cut. Whoever still waits by then
/// has no deadline worth the name.
pub const LONGEST_HOLD: Duration = Duration::from_secs(45);
