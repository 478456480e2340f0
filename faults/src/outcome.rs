//! What became of a plan.

use serde::{Deserialize, Serialize};

/// What became of a plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// The plan, as it can be run again.
    pub plan: String,
    /// The verdict.
    pub verdict: Verdict,
    /// From the fault, or from the end of the workload if that was later, until everything was as
    /// declared; in seconds.
    pub converged_after: Option<f64>,
    /// How long the plan took from its preparation to its end, in seconds.
    pub took: f64,
    /// How often a program was started anew.
    pub restarts: usize,
    /// How many statuses that said `Ready=True` were compared with the world.
    pub statuses_compared: usize,
    /// What is wrong.
    pub problems: Vec<String>,
    /// The last calls before the problem was found, for whoever looks into it.
    pub trace: Vec<String>,
}

/// Whether a plan's claims held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Everything became as declared, and stayed so.
    Converged,
    /// The call that was to be struck did not come.
    NotReached,
    /// Something is wrong.
    Diverged,
    /// The harness itself could not go on: nothing is said about the programs.
    Broken,
}
