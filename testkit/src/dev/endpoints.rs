//! Where everything of a development stack is, as a table for people and as lines for a shell.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The endpoints and what else a user of the stack needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The REST API.
    pub api_url: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The Kubernetes API.
    pub kubernetes_url: String,
    /// Host and port of Temporal.
    pub temporal_host: String,
    /// The Temporal namespace of our programs.
    pub temporal_namespace: String,
    /// Temporal's web UI.
    pub temporal_ui_url: String,
    /// The database of our programs.
    pub database_url: String,
    /// NATS.
    pub nats_url: String,
    /// The monitoring pages of NATS.
    pub nats_monitoring_url: String,
    /// The worker's metrics.
    pub worker_metrics_url: String,
    /// The stand-in of State Hub.
    pub state_hub_url: String,
    /// The stand-in of issue-core.
    pub issue_core_url: String,
    /// The stand-in of a language model.
    pub openai_base_url: String,
    /// The key that the stand-in of a language model accepts.
    pub openai_api_key: String,
    /// The receiver of webhooks.
    pub webhook_url: String,
    /// Where the working-memory sink writes.
    pub working_memory_dir: PathBuf,
    /// Folders of programs to put in front of the PATH: kubectl, temporal and our own.
    pub programs: Vec<PathBuf>,
}

impl Endpoints {
    /// Name and address of each, for people.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("REST API", self.api_url.clone()),
            ("REST API documentation", format!("{}/docs", self.api_url)),
            ("Temporal UI", self.temporal_ui_url.clone()),
            ("Temporal", self.temporal_host.clone()),
            ("Kubernetes API", self.kubernetes_url.clone()),
            ("kubeconfig", self.kubeconfig.display().to_string()),
            ("Postgres", self.database_url.clone()),
            ("NATS", self.nats_url.clone()),
            ("NATS monitoring", self.nats_monitoring_url.clone()),
            ("Worker metrics", self.worker_metrics_url.clone()),
            ("State Hub (stand-in)", self.state_hub_url.clone()),
            ("issue-core (stand-in)", self.issue_core_url.clone()),
            ("Language model (stand-in)", self.openai_base_url.clone()),
            ("Webhook receiver", self.webhook_url.clone()),
            (
                "Working memory",
                self.working_memory_dir.display().to_string(),
            ),
        ]
    }

    /// The variables that our programs read.
    pub fn program_env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("KUBECONFIG", self.kubeconfig.display().to_string()),
            ("TEMPORAL_HOST", self.temporal_host.clone()),
            ("TEMPORAL_NAMESPACE", self.temporal_namespace.clone()),
            ("ACTCORE_DB_URL", self.database_url.clone()),
            ("NATS_URL", self.nats_url.clone()),
            ("STATE_HUB_URL", self.state_hub_url.clone()),
            ("ISSUE_CORE_URL", self.issue_core_url.clone()),
            ("OPENAI_BASE_URL", self.openai_base_url.clone()),
            ("OPENAI_API_KEY", self.openai_api_key.clone()),
            (
                "WORKING_MEMORY_DIR",
                self.working_memory_dir.display().to_string(),
            ),
        ]
    }

    /// The lines of `.dev/env`.
    pub fn shell_lines(&self) -> String {
        let mut variables = self.program_env();
        variables.extend([
            // The name that Temporal's own command line reads.
            ("TEMPORAL_ADDRESS", self.temporal_host.clone()),
            ("TEMPORAL_UI_URL", self.temporal_ui_url.clone()),
            ("API_URL", self.api_url.clone()),
            ("NATS_MONITORING_URL", self.nats_monitoring_url.clone()),
            ("WORKER_METRICS_URL", self.worker_metrics_url.clone()),
            ("WEBHOOK_URL", self.webhook_url.clone()),
        ]);
        let mut lines = String::from("# Written by `make up`; gone after `make down`.\n");
        for (name, value) in variables {
            lines.extend(["export ", name, "=", &quoted(&value), "\n"]);
        }
        for folder in self.programs.iter().rev() {
            let folder = quoted(&folder.display().to_string());
            lines.extend(["export PATH=", &folder, ":\"$PATH\"\n"]);
        }
        lines
    }
}

/// A word that a shell takes as it is.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        let value = "a 'quoted' $HOME \\ path";
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {}", quoted(value))])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
    }
}
