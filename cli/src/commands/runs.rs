//! `actcore runs` and `actcore run show`: the ledger.

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use contracts::workflow::format_time;
use domain::{ActivityId, RunId};
use runtime::postgres::PostgresArguments;

use crate::api::{ApiArguments, ApiClient};
use crate::catalogue::{Catalogue, CatalogueArguments};
use crate::connections::{self, answer};
use crate::exit::{Exit, Problem};
use crate::history::{History, RunEvidence, RunView};
use crate::output::{self, Format, OutputArguments};

/// The options of `actcore runs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  # The last runs, with how they ended and why
  actcore runs daily-triage

  # How many of the last 500 runs failed?
  actcore runs daily-triage --limit 500 -o json | jq 'map(select(.outcome == \"Failed\")) | length'

The ledger is read in Postgres (ACTCORE_DB_URL), else through the REST API (API_URL). The runs of a
definition that is deleted stay; name it by its activity id.

Exit codes: 0 done, 2 a system could not be reached, 3 usage or no such definition.")]
pub(crate) struct RunsArguments {
    /// The definition: its name, its display name or its activity id.
    name: String,

    /// At most so many runs, the newest first.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,

    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    catalogue: CatalogueArguments,
}

/// The options of `actcore run`.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(subcommand)]
    command: RunCommand,
}

#[derive(Debug, Subcommand)]
enum RunCommand {
    /// Shows one run: its row in the ledger, its deliveries, and what its instruction took.
    Show(ShowArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  # Why is there no report?
  actcore run show 0f5c63b1-6a5e-5b6c-9d2f-3a1b2c4d5e6f

  # The report itself
  actcore run show 0f5c63b1-6a5e-5b6c-9d2f-3a1b2c4d5e6f --report

Exit codes: 0 done, 2 a system could not be reached, 3 usage or no such run.")]
struct ShowArguments {
    /// The run (activity_core_run_id).
    #[arg(value_name = "RUN_ID")]
    run: RunId,

    /// Print the run's report and nothing else; needs ACTCORE_DB_URL.
    #[arg(long)]
    report: bool,

    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    postgres: PostgresArguments,

    #[command(flatten)]
    api: ApiArguments,
}

/// Carries out `actcore runs`.
pub(crate) async fn list(arguments: RunsArguments) -> anyhow::Result<Exit> {
    let catalogue = &arguments.catalogue;
    let history = History::open(&catalogue.postgres, &catalogue.api).await?;
    let activity = activity(&arguments, &history).await?;
    let limit = usize::try_from(arguments.limit)?;
    let runs = history.runs(activity, limit).await?;
    match arguments.output.output {
        Format::Json => output::json(&runs)?,
        Format::Yaml => output::yaml(&runs)?,
        Format::Table if runs.is_empty() => output::note("no run yet"),
        Format::Table => output::table(
            &["RUN", "TRIGGER", "FIRED AT", "DURATION", "OUTCOME", "ERROR"],
            runs.iter().map(row).collect(),
        )?,
    }
    Ok(Exit::Done)
}

/// The activity that is meant; an id is taken at its word, because runs outlive their definition.
async fn activity(arguments: &RunsArguments, history: &History) -> Result<ActivityId, Problem> {
    if let Ok(activity) = arguments.name.parse() {
        return Ok(activity);
    }
    let catalogue = match history {
        History::Ledger(store) => Catalogue::Mirror(store.clone()),
        History::Api(api) => Catalogue::Api(ApiClient::clone(api)),
    };
    let wanted = arguments.catalogue.wanted(&arguments.name);
    catalogue.find(wanted).await?.activity()
}

fn row(run: &RunView) -> Vec<String> {
    vec![
        run.run_id.to_string(),
        run.trigger.clone(),
        shown_time(run.fired_at),
        shown_duration(run.duration()),
        run.outcome.clone(),
        output::shortened(run.error.as_deref().unwrap_or_default(), 80),
    ]
}

/// Carries out `actcore run`.
pub(crate) async fn run(arguments: RunArguments) -> anyhow::Result<Exit> {
    let RunCommand::Show(arguments) = arguments.command;
    if arguments.report {
        return show_report(&arguments).await;
    }
    let history = History::open(&arguments.postgres, &arguments.api).await?;
    let evidence = history
        .run(arguments.run)
        .await?
        .ok_or_else(|| no_such_run(arguments.run))?;
    match arguments.output.output {
        Format::Json => output::json(&evidence)?,
        Format::Yaml => output::yaml(&evidence)?,
        Format::Table => print_evidence(&evidence)?,
    }
    Ok(Exit::Done)
}

async fn show_report(arguments: &ShowArguments) -> anyhow::Result<Exit> {
    let store = connections::open_ledger(&arguments.postgres).await?;
    let report = answer("Postgres", store.report(arguments.run)).await?;
    let report = report.ok_or_else(|| {
        Problem::usage(format!(
            "run {} has no report: its definition has no instruction, or it was not answered yet",
            arguments.run
        ))
    })?;
    output::line(report.trim_end())?;
    Ok(Exit::Done)
}

fn no_such_run(run: RunId) -> Problem {
    Problem::usage(format!(
        "the ledger has no run {run}; a run is entered when a worker begins it"
    ))
}

fn print_evidence(evidence: &RunEvidence) -> std::io::Result<()> {
    let run = &evidence.run;
    output::fields(&[
        ("Run", run.run_id.to_string()),
        (
            "Activity",
            format!("{} ({})", run.activity_name, run.activity_id),
        ),
        ("Trigger", run.trigger.clone()),
        ("Scheduled for", shown_time(run.scheduled_for)),
        ("Fired at", shown_time(run.fired_at)),
        ("Completed at", shown_time(run.completed_at)),
        ("Duration", shown_duration(run.duration())),
        ("Outcome", run.outcome.clone()),
        ("Error", run.error.clone().unwrap_or_else(none)),
        ("Workflow", run.workflow_id.clone().unwrap_or_else(none)),
    ])?;
    if let Some(usage) = &evidence.usage {
        output::fields(&[
            ("Model", usage.model.clone()),
            (
                "Tokens",
                format!(
                    "{} in the prompt, {} in the answer",
                    usage.prompt_tokens, usage.completion_tokens
                ),
            ),
            ("Answered in", format!("{} ms", usage.milliseconds)),
            ("Prompt SHA-256", usage.prompt_sha256.clone()),
        ])?;
    }
    output::line("")?;
    if evidence.deliveries.is_empty() {
        return output::line("No deliveries.");
    }
    let rows = evidence.deliveries.iter().map(|delivery| {
        vec![
            delivery.sink.clone(),
            delivery.kind.clone(),
            delivery.result.clone(),
            delivery.attempts.to_string(),
            delivery.external_reference.clone().unwrap_or_else(none),
            delivery.last_error.clone().unwrap_or_else(none),
        ]
    });
    output::table(
        &[
            "SINK",
            "KIND",
            "RESULT",
            "ATTEMPTS",
            "REFERENCE",
            "LAST ERROR",
        ],
        rows.collect(),
    )
}

fn none() -> String {
    "-".to_owned()
}

fn shown_time(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(none, format_time)
}

/// `820 ms`, `12.3 s`, `5 min 3 s`, `2 h 5 min`.
fn shown_duration(duration: Option<TimeDelta>) -> String {
    let Some(duration) = duration else {
        return none();
    };
    let milliseconds = duration.num_milliseconds().max(0);
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..60 => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_readable_at_every_length() {
        let shown = |milliseconds| shown_duration(Some(TimeDelta::milliseconds(milliseconds)));
        assert_eq!(shown(820), "820 ms");
        assert_eq!(shown(12_345), "12.3 s");
        assert_eq!(shown(303_000), "5 min 3 s");
        assert_eq!(shown(7_500_000), "2 h 5 min");
        assert_eq!(shown(-5), "0 ms");
        assert_eq!(shown_duration(None), "-");
    }
}
