//! `actcore doctor`: is everything there that activity-core depends on?

mod checks;
mod local;
mod permissions;
mod scheduler;

use std::path::PathBuf;

use clap::Args;
use runtime::nats::NatsArguments;
use runtime::postgres::PostgresArguments;
use runtime::temporal::TemporalArguments;
use serde::Serialize;

use crate::api::ApiArguments;
use crate::arguments::StateHubArguments;
use crate::cluster::ClusterArguments;
use crate::exit::Exit;
use crate::output::{self, Colour, Format, OutputArguments, paint};

/// The options of `actcore doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  # From a shell that has the programs' environment
  set -a; . .dev/env; set +a; actcore doctor

  # For a script
  actcore doctor -o json | jq '.[] | select(.verdict != \"ok\")'

Each dependency is ok, FAILED, unknown (it could not be looked at), or n/a (it is optional and not
set). State Hub, the working memory and the REST API are optional. Looked at are: the Kubernetes
API, our kinds in it and what you may do with them; Postgres, its schema and its clock; Temporal, its
namespace, the search attributes and who polls the two task queues; NATS, the streams and the
routers' consumer.

Exit codes: 0 all is ok or n/a, 1 something FAILED, 2 nothing FAILED, but something is unknown,
3 usage.")]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    cluster: ClusterArguments,

    #[command(flatten)]
    postgres: PostgresArguments,

    #[command(flatten)]
    temporal: TemporalArguments,

    #[command(flatten)]
    nats: NatsArguments,

    #[command(flatten)]
    state_hub: StateHubArguments,

    #[command(flatten)]
    api: ApiArguments,

    /// Where the working-memory sink writes to: a folder, or s3://bucket/prefix with AWS_*.
    #[arg(long, env = "WORKING_MEMORY_DIR", value_name = "FOLDER|URL")]
    working_memory_dir: Option<PathBuf>,
}

/// How a dependency stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Verdict {
    #[serde(rename = "ok")]
    Ok,
    #[serde(rename = "n/a")]
    NotApplicable,
    #[serde(rename = "FAILED")]
    Failed,
    #[serde(rename = "unknown")]
    Unknown,
}

/// One dependency and how it stands, in the shape that `-o json` promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    dependency: &'static str,
    verdict: Verdict,
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(dependency: &'static str, detail: impl Into<String>) -> Self {
        Self::new(dependency, Verdict::Ok, detail)
    }

    fn failed(dependency: &'static str, detail: impl Into<String>) -> Self {
        Self::new(dependency, Verdict::Failed, detail)
    }

    fn unknown(dependency: &'static str, detail: impl Into<String>) -> Self {
        Self::new(dependency, Verdict::Unknown, detail)
    }

    fn not_applicable(dependency: &'static str, detail: impl Into<String>) -> Self {
        Self::new(dependency, Verdict::NotApplicable, detail)
    }

    fn new(dependency: &'static str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            dependency,
            verdict,
            detail: output::on_one_line(&detail.into()),
            advice: None,
        }
    }

    fn advise(mut self, advice: &str) -> Self {
        self.advice = Some(advice.to_owned());
        self
    }
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotApplicable => "n/a",
            Self::Failed => "FAILED",
            Self::Unknown => "unknown",
        }
    }
}

/// Carries out `actcore doctor`.
pub(crate) async fn run(arguments: DoctorArguments) -> anyhow::Result<Exit> {
    let (kubernetes, postgres, temporal, nats, state_hub, api, memory) = tokio::join!(
        checks::kubernetes(&arguments.cluster),
        checks::postgres(&arguments.postgres),
        scheduler::temporal(&arguments.temporal),
        checks::nats(&arguments.nats),
        checks::state_hub(&arguments.state_hub),
        checks::api(&arguments.api),
        local::working_memory(arguments.working_memory_dir),
    );
    let findings: Vec<Finding> = [kubernetes, postgres, temporal, nats, state_hub, memory, api]
        .into_iter()
        .flatten()
        .collect();
    match arguments.output.output {
        Format::Json => output::json(&findings)?,
        Format::Yaml => output::yaml(&findings)?,
        Format::Table => print(&findings)?,
    }
    Ok(exit(&findings))
}

fn print(findings: &[Finding]) -> std::io::Result<()> {
    let colour = output::use_colour();
    for finding in findings {
        let tint = match finding.verdict {
            Verdict::Ok => Colour::Green,
            Verdict::NotApplicable => Colour::Plain,
            Verdict::Failed => Colour::Red,
            Verdict::Unknown => Colour::Yellow,
        };
        let verdict = format!("{:<7}", finding.verdict.as_str());
        output::line(format!(
            "{} {:<28} {}",
            paint(&verdict, tint, colour),
            finding.dependency,
            finding.detail
        ))?;
        if let Some(advice) = &finding.advice {
            output::line(format!("        {:<28} -> {advice}", ""))?;
        }
    }
    Ok(())
}

fn exit(findings: &[Finding]) -> Exit {
    let any = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
    if any(Verdict::Failed) {
        Exit::Failed
    } else if any(Verdict::Unknown) {
        Exit::Unknown
    } else {
        Exit::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ok_or_optional_is_healthy() {
        let ok = Finding::ok("a", "");
        let optional = Finding::not_applicable("b", "");
        let unknown = Finding::unknown("c", "");
        let failed = Finding::failed("d", "");
        assert_eq!(exit(&[ok.clone(), optional]), Exit::Done);
        assert_eq!(exit(&[ok.clone(), unknown.clone()]), Exit::Unknown);
        assert_eq!(exit(&[ok, unknown, failed]), Exit::Failed);
    }
}
