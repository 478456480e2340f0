//! `actcore`, run as a person runs it: the built binary, an environment, and what it prints.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::process::Command;

use crate::place::PATIENCE;

/// The command line with an environment that holds nothing else.
#[derive(Debug, Clone)]
pub(crate) struct Actcore {
    pub(crate) environment: BTreeMap<String, String>,
}

/// What one command line came to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Actcore {
    pub(crate) fn new(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            environment: environment.into_iter().collect(),
        }
    }

    /// The same with some settings changed; an empty value leaves the setting out.
    pub(crate) fn with(&self, settings: &[(&str, &str)]) -> Self {
        let mut changed = self.clone();
        for (name, value) in settings {
            if value.is_empty() {
                changed.environment.remove(*name);
            } else {
                let value = (*value).to_owned();
                changed.environment.insert((*name).to_owned(), value);
            }
        }
        changed
    }

    /// Runs one command line to its end.
    pub(crate) async fn run(&self, words: &[&str]) -> Result<Answer> {
        let running = Command::new(testkit::binary("actcore")?)
            .args(words)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let ended = tokio::time::timeout(PATIENCE, running).await;
        let ended = ended.with_context(|| format!("actcore {words:?} did not end"))??;
        Ok(Answer {
            code: ended.status.code().context("actcore was killed")?,
            stdout: String::from_utf8(ended.stdout)?,
            stderr: String::from_utf8(ended.stderr)?,
        })
    }
}

impl Answer {
    /// The JSON on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The conditions that failed, in order, separated by commas.
    pub(crate) fn failed(&self) -> String {
        self.conditions("FAILED")
    }

    /// The conditions that are unknown, likewise.
    pub(crate) fn unknown(&self) -> String {
        self.conditions("unknown")
    }

    fn conditions(&self, verdict: &str) -> String {
        let checks = self.json()["definitions"][0]["checks"].clone();
        let checks = checks.as_array().cloned().unwrap_or_default();
        let named: Vec<&str> = checks
            .iter()
            .filter(|check| check["verdict"] == verdict)
            .map(|check| check["condition"].as_str().unwrap())
            .collect();
        named.join(", ")
    }

    /// What is said about one condition.
    pub(crate) fn detail(&self, condition: &str) -> String {
        let checks = self.json()["definitions"][0]["checks"].clone();
        let checks = checks.as_array().cloned().unwrap_or_default();
        let found = checks.iter().find(|check| check["condition"] == condition);
        found.unwrap()["detail"].as_str().unwrap().to_owned()
    }
}
