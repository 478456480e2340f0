//! What was found, kept in a folder: a line of JSON for each plan, written as soon as it is known,
//! so that a run can be broken off and taken up again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::outcome::{Outcome, Verdict};

/// The file of the plans with faults on the wire.
pub const WIRE: &str = "wire.jsonl";

/// A file of results.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    file: Mutex<File>,
}

impl Results {
    /// Opens a file in a folder; both are made if they are not there.
    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
        let path = folder.join(name);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("failed to open {}", path.display()))?;
        Ok(Self {
            path,
            file: Mutex::new(file),
        })
    }

    /// Adds a line.
    pub fn append<T: Serialize>(&self, result: &T) -> Result<()> {
        let line = serde_json::to_string(result).context("failed to print a result")? + "\n";
        // One write, so that a line is whole or not there.
        self.file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(line.as_bytes())
            .with_context(|| format!("failed to write {}", self.path.display()))
    }
}

/// Every line of a file in a folder; none when there is no such file.
pub fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Vec<T>> {
    let path = folder.join(name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("failed to open {}", path.display()));
        }
    };
    let lines = BufReader::new(file).lines();
    lines
        .map(|line| {
            let line = line.with_context(|| format!("failed to read {}", path.display()))?;
            serde_json::from_str(&line)
                .with_context(|| format!("{} has a line that is no result", path.display()))
        })
        .collect()
}

/// The latest outcome of each plan in a file.
pub fn outcomes(folder: &Path, name: &str) -> Result<Vec<Outcome>> {
    Ok(latest(read(folder, name)?))
}

/// The latest outcome of each plan.
pub fn latest(all: Vec<Outcome>) -> Vec<Outcome> {
    let mut latest: BTreeMap<String, Outcome> = BTreeMap::new();
    for outcome in all {
        latest.insert(outcome.plan.clone(), outcome);
    }
    latest.into_values().collect()
}

/// How many plans diverged once, and converged the last time.
pub fn mended(all: &[Outcome]) -> usize {
    let mut plans: BTreeMap<&str, (bool, Verdict)> = BTreeMap::new();
    for outcome in all {
        let plan = plans
            .entry(&outcome.plan)
            .or_insert((false, outcome.verdict));
        *plan = (
            plan.0 || outcome.verdict == Verdict::Diverged,
            outcome.verdict,
        );
    }
    let mended = plans
        .values()
        .filter(|plan| **plan == (true, Verdict::Converged));
    mended.count()
}

/// Whether a plan with this outcome needs no further run.
pub const fn is_settled(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Converged | Verdict::NotReached)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(plan: &str, verdict: Verdict) -> Outcome {
        Outcome {
            plan: plan.to_owned(),
            verdict,
            converged_after: None,
            took: 1.0,
            at: 0,
            restarts: 0,
            statuses_compared: 0,
            phases: BTreeMap::new(),
            problems: Vec::new(),
            trace: Vec::new(),
        }
    }

    #[test]
    fn the_latest_outcome_of_a_plan_counts() {
        let folder = tempfile::tempdir().unwrap();
        let results = Results::open(folder.path(), WIRE).unwrap();
        for (plan, verdict) in [
            ("a", Verdict::Diverged),
            ("b", Verdict::Converged),
            ("a", Verdict::Converged),
        ] {
            results.append(&outcome(plan, verdict)).unwrap();
        }
        let outcomes = outcomes(folder.path(), WIRE).unwrap();
        assert_eq!(outcomes.len(), 2);
        assert!(outcomes.iter().all(|outcome| is_settled(outcome.verdict)));
        let all: Vec<Outcome> = read(folder.path(), WIRE).unwrap();
        assert_eq!(mended(&all), 1);
        assert!(read::<Outcome>(folder.path(), "other").unwrap().is_empty());
    }
}
