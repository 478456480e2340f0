//! The demo: the main job from `kubectl apply` to a proven run, on the development stack.
//!
//! It does what a newcomer would do at a shell, with the same commands, and shows each command
//! and what it answered. It judges nothing by itself: the ledger, `kubectl` and `actcore verify`
//! do. Any run that does not complete ends it with an error.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use crate::components::{Component, Components};
use crate::dev::Endpoints;
use crate::wait::{self, Seen};

/// The Kubernetes namespace of the samples.
const NAMESPACE: &str = "activity-core";

/// How long one run may take from its trigger to its end.
const RUN_TIMEOUT: Duration = Duration::from_mins(1);

/// Runs the demo and prints it. Returns the time from `started` to the first completed run.
pub async fn run(endpoints: &Endpoints, started: Instant) -> Result<Duration> {
    let components = Components::resolve(&crate::progress::Progress::on_stderr()).await?;
    let shell = Shell {
        endpoints,
        kubectl: components.program(Component::Kubectl)?,
        actcore: crate::binary("actcore")?,
        since: Utc::now(),
    };
    heading("The definitions, as a user applies them");
    shell.kubectl(&["apply", "-f", "samples/"]).await?;
    shell
        .kubectl(&[
            "wait",
            "--for=condition=Ready",
            "--timeout=60s",
            "-n",
            NAMESPACE,
            "actdef",
            "heartbeat",
            "user-onboarding",
            "daily-triage",
        ])
        .await?;

    heading("An event, as another service publishes it");
    let event_id = publish_user_created(endpoints).await?;
    println!("published user.created {event_id} to activity.user.created");

    heading("The clock: the first run of the heartbeat");
    shell.wait_for_run("heartbeat", "schedule/").await?;
    let to_first_run = started.elapsed();
    println!(
        "first completed run after {:.1} s",
        to_first_run.as_secs_f64()
    );

    heading("By hand: today's daily triage");
    shell
        .actcore(&[
            "trigger",
            "daily-triage",
            "-n",
            NAMESPACE,
            "--wait",
            "--timeout",
            "60",
        ])
        .await?;
    let event = format!("event/user-service/{event_id}");
    shell.wait_for_run("user-onboarding", &event).await?;

    heading("What the cluster says");
    shell
        .kubectl_until_true("daily-triage", "RunVerified")
        .await?;
    shell.kubectl(&["get", "actdef", "-n", NAMESPACE]).await?;

    heading("What the ledger says");
    for name in ["heartbeat", "user-onboarding", "daily-triage"] {
        shell.actcore(&["runs", name, "--limit", "3"]).await?;
    }

    heading("The report of the daily triage");
    let report = newest_report(&endpoints.working_memory_dir, "daily-triage")?;
    println!("$ cat {}", report.display());
    let text = std::fs::read_to_string(&report)
        .with_context(|| format!("unable to read {}", report.display()))?;
    println!("{text}");

    heading("Did today's daily triage happen?");
    shell
        .actcore(&[
            "verify",
            "daily-triage",
            "--live",
            "--date",
            &today(),
            "--working-memory-dir",
            &endpoints.working_memory_dir.display().to_string(),
        ])
        .await?;
    Ok(to_first_run)
}

/// What to try next on the stack that stays up.
pub fn next_things(endpoints: &Endpoints, env: &Path) {
    heading("The stack stays up. Next things to try");
    println!(
        "  . {env}                                   # kubectl, temporal and actcore on your PATH
  kubectl get actdef -n {NAMESPACE} -w
  kubectl describe actdef daily-triage -n {NAMESPACE}
  kubectl explain actdef.spec.trigger.cron
  actcore runs heartbeat
  actcore disable heartbeat -n {NAMESPACE}          # pauses its Schedule
  curl {api}/activity-definitions/
  curl -X POST {api}/activity-definitions/ -H 'Content-Type: application/json' -d '{{
    \"name\": \"daily-report\",
    \"trigger_config\": {{\"trigger_type\": \"cron\", \"cron_expression\": \"0 9 * * 1-5\",
                       \"timezone\": \"Europe/Berlin\", \"misfire_policy\": \"skip\"}}}}'
  open {api}/docs                       # the REST API
  open {ui}                            # Temporal
  make down                                         # stops everything",
        env = env.display(),
        api = endpoints.api_url,
        ui = endpoints.temporal_ui_url,
    );
}

fn heading(text: &str) {
    println!("\n== {text}");
}

fn today() -> String {
    // The daily triage counts its days in Berlin; the demo's run is of that day.
    Utc::now()
        .with_timezone(&chrono_tz::Europe::Berlin)
        .format("%Y-%m-%d")
        .to_string()
}

/// Publishes the event of the reference runbook.
async fn publish_user_created(endpoints: &Endpoints) -> Result<Uuid> {
    let event_id = Uuid::new_v4();
    let envelope = json!({
        "event_id": event_id,
        "type": "user.created",
        "source": "user-service",
        "occurred_at": Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
        "subject": "user/42",
        "trace_id": Uuid::new_v4().simple().to_string(),
        "payload": {"tier": "pro", "region": "eu"},
    });
    let client = async_nats::connect(&endpoints.nats_url)
        .await
        .with_context(|| format!("unable to connect to NATS at {}", endpoints.nats_url))?;
    let stream = async_nats::jetstream::new(client);
    stream
        .publish("activity.user.created", envelope.to_string().into())
        .await
        .context("failed to publish the event")?
        .await
        .context("JetStream did not accept the event")?;
    Ok(event_id)
}

/// The newest report file of a prefix.
fn newest_report(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let mut reports: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("unable to list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("unable to list {}", folder.display()))?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            let written = entry.metadata().and_then(|about| about.modified());
            reports.push((written.context("unable to date a report")?, entry.path()));
        }
    }
    reports
        .into_iter()
        .max()
        .map(|(_, path)| path)
        .with_context(|| format!("{} holds no report {prefix}-*.md", folder.display()))
}

/// Runs commands as a person at the stack's shell would.
struct Shell<'stack> {
    endpoints: &'stack Endpoints,
    kubectl: PathBuf,
    actcore: PathBuf,
    /// Runs that began before are of an earlier demo.
    since: DateTime<Utc>,
}

impl Shell<'_> {
    async fn kubectl(&self, arguments: &[&str]) -> Result<()> {
        self.show(&self.kubectl, "kubectl", arguments).await
    }

    async fn actcore(&self, arguments: &[&str]) -> Result<()> {
        self.show(&self.actcore, "actcore", arguments).await
    }

    /// Runs a command with its output to the terminal; a failure of it is the demo's.
    async fn show(&self, program: &Path, name: &str, arguments: &[&str]) -> Result<()> {
        let line = format!("{name} {}", arguments.join(" "));
        println!("$ {line}");
        let status = self
            .command(program, arguments)
            .status()
            .await
            .with_context(|| format!("unable to run {line}"))?;
        if !status.success() {
            bail!("`{line}` ended with {status}");
        }
        Ok(())
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(self.endpoints.program_env())
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn read(&self, program: &Path, arguments: &[&str]) -> Result<String> {
        let output = self.command(program, arguments).output().await?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Waits until a run of this demo with such a trigger has ended, and fails unless it
    /// succeeded.
    async fn wait_for_run(&self, name: &str, trigger: &str) -> Result<()> {
        let what = format!("a run of {name} to end");
        let outcome = wait::until(what, RUN_TIMEOUT, || async {
            let runs = self
                .read(
                    &self.actcore,
                    &["runs", name, "--limit", "20", "-o", "json"],
                )
                .await?;
            let runs: Vec<Value> = serde_json::from_str(&runs)?;
            let ended = runs
                .iter()
                .filter(|run| self.is_of_this_demo(run, trigger))
                .filter_map(|run| run["outcome"].as_str())
                .find(|outcome| *outcome != "Running");
            Ok::<_, anyhow::Error>(match ended {
                Some(outcome) => Seen::Done(outcome.to_owned()),
                None => Seen::not_yet(format!("{} run(s), none of them", runs.len())),
            })
        })
        .await?;
        if outcome != "Succeeded" {
            bail!("the run of {name} is {outcome}; see `actcore runs {name}`");
        }
        println!("a run of {name} succeeded");
        Ok(())
    }

    fn is_of_this_demo(&self, run: &Value, trigger: &str) -> bool {
        let text = |field: &str| run[field].as_str().unwrap_or_default();
        let fired_at: Result<DateTime<Utc>, _> = text("firedAt").parse();
        fired_at.is_ok_and(|fired_at| fired_at >= self.since)
            && text("trigger").starts_with(trigger)
    }

    /// Waits until the operator has seen what the ledger says.
    async fn kubectl_until_true(&self, name: &str, condition: &str) -> Result<()> {
        let path = format!("jsonpath={{.status.conditions[?(@.type==\"{condition}\")].status}}");
        let arguments = ["get", "actdef", name, "-n", NAMESPACE, "-o", &path];
        wait::until(format!("{name} to be {condition}"), RUN_TIMEOUT, || async {
            let status = self.read(&self.kubectl, &arguments).await?;
            Ok::<_, anyhow::Error>(if status == "True" {
                Seen::Done(())
            } else {
                Seen::not_yet(status)
            })
        })
        .await?;
        Ok(())
    }
}
