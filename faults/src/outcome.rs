//! What became of a plan.

use std::collections::BTreeMap;

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
    /// When it ended, in seconds since 1970.
    #[serde(default)]
    pub at: i64,
    /// How often a program was started anew.
    pub restarts: usize,
    /// How many statuses that said `Ready=True` were compared with the world.
    pub statuses_compared: usize,
    /// Where the time went, in seconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub phases: BTreeMap<String, f64>,
    /// What is wrong.
    pub problems: Vec<String>,
    /// The last calls before the problem was found, for whoever looks into it.
    pub trace: Vec<String>,
}

impl Outcome {
    /// One line for a person, and one for each problem.
    pub fn line(&self) -> String {
        let after = self.converged_after;
        let after = after.map_or_else(String::new, |after| {
            format!(", converged after {after:.1} s")
        });
        let mut line = format!(
            "{:?} {} ({:.1} s{after})",
            self.verdict, self.plan, self.took
        );
        for problem in &self.problems {
            line.push_str("\n    ");
            line.extend(problem.chars().take(1500));
        }
        line
    }
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
