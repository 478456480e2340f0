//! Workflow code: it decides what is done in which order. It does no I/O and reads no clock;
//! recorded histories must replay.

mod activity_run;
mod conclusion;
mod options;

#[cfg(test)]
mod replay_tests;

pub(crate) use activity_run::ActivityRun;
