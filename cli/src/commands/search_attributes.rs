//! `actcore search-attributes`: the search attributes by which runs are found in Temporal.

use clap::{Args, Subcommand};
use runtime::temporal::TemporalArguments;
use temporal::REQUIRED_SEARCH_ATTRIBUTES;

use crate::connections::{self, answer};
use crate::exit::{Exit, Problem};
use crate::output;

/// The options of `actcore search-attributes`.
#[derive(Debug, Args)]
#[command(after_help = "\
The programs of activity-core register what they need by themselves; this is for a look, or for a
server on which only an administrator may.

Examples:
  TEMPORAL_HOST=localhost:7233 actcore search-attributes check
  TEMPORAL_HOST=localhost:7233 actcore search-attributes register

Exit codes: 0 all are registered, 1 one is missing or has a wrong type, 2 Temporal could not be
reached, 3 usage.")]
pub(crate) struct SearchAttributesArguments {
    #[command(subcommand)]
    command: SearchAttributesCommand,
}

#[derive(Debug, Subcommand)]
enum SearchAttributesCommand {
    /// Says whether ActivityId and ActivityName are registered as Keyword.
    #[command(after_help = "\
Examples:
  TEMPORAL_HOST=localhost:7233 actcore search-attributes check

Exit codes: 0 they are, 1 one is missing or has a wrong type, 2 Temporal could not be reached,
3 usage.")]
    Check(TemporalArguments),
    /// Registers those that are missing. Safe to run again.
    #[command(after_help = "\
Examples:
  TEMPORAL_HOST=localhost:7233 actcore search-attributes register

Exit codes: 0 all are registered, 1 one has a wrong type, 2 Temporal could not be reached,
3 usage.")]
    Register(TemporalArguments),
}

/// Carries out `actcore search-attributes`.
pub(crate) async fn run(arguments: SearchAttributesArguments) -> anyhow::Result<Exit> {
    match arguments.command {
        SearchAttributesCommand::Check(arguments) => check(&arguments).await,
        SearchAttributesCommand::Register(arguments) => register(&arguments).await,
    }
}

async fn check(arguments: &TemporalArguments) -> anyhow::Result<Exit> {
    let temporal = connections::open_temporal(arguments).await?;
    let missing = wrong_type_fails(
        answer("Temporal", async {
            Ok::<_, temporal::Error>(temporal.missing_search_attributes().await)
        })
        .await?,
    )?;
    for name in REQUIRED_SEARCH_ATTRIBUTES {
        let state = if missing.contains(&name) {
            "missing; register it with `actcore search-attributes register`"
        } else {
            "Keyword"
        };
        output::line(format!("{name:<14} {state}"))?;
    }
    Ok(if missing.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

async fn register(arguments: &TemporalArguments) -> anyhow::Result<Exit> {
    let temporal = connections::open_temporal(arguments).await?;
    let registered = wrong_type_fails(
        answer("Temporal", async {
            Ok::<_, temporal::Error>(temporal.ensure_search_attributes().await)
        })
        .await?,
    )?;
    for name in REQUIRED_SEARCH_ATTRIBUTES {
        let state = if registered.contains(&name) {
            "registered as Keyword"
        } else {
            "unchanged: Keyword"
        };
        output::line(format!("{name:<14} {state}"))?;
    }
    Ok(Exit::Done)
}

/// An attribute of a wrong type was looked at and is wrong; anything else nobody knows.
fn wrong_type_fails<T>(answer: Result<T, temporal::Error>) -> Result<T, Problem> {
    answer.map_err(|error| match &error {
        temporal::Error::SearchAttributeType { .. } => Problem::failed(runtime::describe(&error)),
        _ => Problem::unknown(runtime::describe(&error)),
    })
}
