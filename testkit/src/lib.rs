//! Starts the real servers — etcd, kube-apiserver, kube-controller-manager, Temporal, NATS and
//! Postgres — and stand-ins for the systems that cannot be run here (State Hub, issue-core, an
//! OpenAI-compatible endpoint, a webhook receiver).
//!
//! One way to start the parts serves both the tests ([`Stack`], [`TestEnvironment`]) and the
//! development stack ([`dev`], the binary `actcore-dev`). It asserts nothing: what a test claims is
//! the test's own business.
//!
//! Linux on x86_64 and aarch64 is supported; elsewhere the first call says so.

mod background;
pub mod components;
pub mod crds;
pub mod demo;
pub mod dev;
mod environment;
pub mod fault;
mod file_lock;
mod folder;
mod http;
pub mod image;
pub mod node;
pub mod ports;
pub mod process;
mod program;
pub mod progress;
pub mod servers;
mod stack;
pub mod stand_ins;
pub mod wait;

pub use environment::TestEnvironment;
pub use program::{Program, ProgramPorts, RunningProgram, binaries, binary};
pub use rustix::process::Signal;
pub use stack::{Stack, StackOptions};
