//! The chart on a real cluster: what only pods, Services and a kubelet can prove.
//!
//! `make e2e` runs it. It has one journey, from an empty cluster to an empty cluster, whose
//! commands and answers become `docs/e2e-transcript.md`.

#![expect(
    clippy::print_stdout,
    reason = "the transcript is followed while it is made"
)]

mod cluster;
mod flow;
mod images;
mod journey;
mod ledger;
mod lifecycle;
mod rights;
mod runbook;
mod shell;
