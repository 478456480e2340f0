//! The harness is shown to be able to fail: bugs of known patterns are planted, each has a plan
//! that has to find it, and the same plan finds nothing where the bug is not.
//!
//! The bugs are planted on the wire, by [`testkit::fault::Plant`]: what a program with the bug
//! would say is what the servers hear, and what it would believe is what it is told.

mod bugs;

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use testkit::fault::Plant;

use crate::outcome::{Outcome, Verdict};
use crate::plan::Plan;
use crate::runner::Runner;
use crate::trial::Task;
pub use bugs::BUGS;

/// The file of these results.
pub const PLANTED: &str = "planted.jsonl";

/// How long a program with a planted bug is waited for: several times as long as one without
/// takes, and far less than what is allowed to one that a fault befalls.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A bug, and the plan that has to find it.
#[derive(Debug, Clone, Copy)]
pub struct Bug {
    /// What the bug is called.
    pub name: &'static str,
    /// What kind of bug it is, as published lists of such bugs have it.
    pub pattern: &'static str,
    /// How it shows on the wire.
    pub plants: &'static [Plant],
    /// The plan; its program has the bug.
    pub plan: &'static str,
}

/// Whether a bug was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Found {
    /// What the bug is called.
    pub bug: String,
    /// What kind of bug it is.
    pub pattern: String,
    /// The plan.
    pub plan: String,
    /// Whether the plan diverged with the bug.
    pub is_found: bool,
    /// Whether it converged without.
    pub is_quiet_without: bool,
    /// What the oracles said.
    pub problems: Vec<String>,
}

impl Found {
    /// Whether the bug is found, and nothing where it is not.
    pub const fn is_well(&self) -> bool {
        self.is_found && self.is_quiet_without
    }
}

/// Runs the plan of each bug with and without it.
pub async fn run(runner: &Runner, bugs: &[Bug]) -> Result<Vec<Found>> {
    let mut tasks = Vec::new();
    for bug in bugs {
        let plan: Plan = bug.plan.parse().map_err(|error: String| {
            anyhow::anyhow!("the plan of {} can't be read: {error}", bug.name)
        })?;
        for plants in [&[], bug.plants] {
            let plan = plan.clone();
            tasks.push(Task { plan, plants });
        }
    }
    let outcomes = runner.carry_out(tasks).await?;
    let pairs = outcomes.chunks_exact(2);
    let found = bugs.iter().zip(pairs).map(|(bug, pair)| found(bug, pair));
    Ok(found.collect())
}

fn found(bug: &Bug, pair: &[Outcome]) -> Found {
    let [without, with] = pair else {
        unreachable!("each bug has two outcomes")
    };
    let problems = if without.verdict == Verdict::Converged {
        &with.problems
    } else {
        &without.problems
    };
    Found {
        bug: bug.name.to_owned(),
        pattern: bug.pattern.to_owned(),
        plan: bug.plan.to_owned(),
        is_found: with.verdict == Verdict::Diverged,
        is_quiet_without: without.verdict == Verdict::Converged,
        problems: problems
            .iter()
            .map(|problem| problem.chars().take(400).collect())
            .collect(),
    }
}

/// The latest result of each bug that there still is, in their order.
pub fn latest(found: Vec<Found>) -> Vec<Found> {
    let of = |bug: &Bug| found.iter().rev().find(|found| found.bug == bug.name);
    BUGS.iter().filter_map(of).cloned().collect()
}

/// The kill matrix.
pub fn figures(found: &[Found]) -> String {
    let mut text = format!(
        "{} of {} planted bugs are found, each by its plan; without the bug the plan converges.\n\n\
         | bug | pattern | found by | as |\n| --- | --- | --- | --- |\n",
        found.iter().filter(|found| found.is_well()).count(),
        found.len()
    );
    for found in found {
        let said = found.problems.first().map_or("", String::as_str);
        let said = match (found.is_found, found.is_quiet_without) {
            (true, true) => gist(said),
            (false, _) => "**not found**".to_owned(),
            (true, false) => format!("**found without the bug too**: {}", gist(said)),
        };
        let Found {
            bug, pattern, plan, ..
        } = found;
        // Writing to a text can't fail.
        let _ = writeln!(text, "| {bug} | {pattern} | `{plan}` | {said} |");
    }
    text
}

/// The end of what an oracle said, without what changes from run to run.
fn gist(problem: &str) -> String {
    let said = problem.rsplit_once("last seen: ");
    let said = said.map_or(problem, |(_, said)| said);
    let words = said.split_whitespace().map(|word| {
        let is_id = word.chars().filter(char::is_ascii_digit).count() > 5 || word.len() > 40;
        if is_id { "…" } else { word }
    });
    let said: String = words.collect::<Vec<_>>().join(" ");
    let said: String = said.chars().take(110).collect();
    said.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_bug_has_a_name_of_its_own_and_a_plan_that_can_be_read() {
        let names: BTreeSet<&str> = BUGS.iter().map(|bug| bug.name).collect();
        assert_eq!(names.len(), BUGS.len());
        assert!(BUGS.len() >= 30, "{}", BUGS.len());
        for bug in BUGS {
            assert!(bug.plan.parse::<Plan>().is_ok(), "{}", bug.plan);
            assert!(!bug.plants.is_empty(), "{}", bug.name);
        }
    }
}
