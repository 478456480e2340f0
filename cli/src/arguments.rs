//! What can be typed, and the groups of options that commands share.

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    about, backfill, create, database, definitions, describe, dlq, doctor, event_types, events,
    feedback, import, next, runs, search_attributes, sync, trigger, verify,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done; for verify: every condition agrees that the run happened
  1  it was looked at, and it is not as it should be (for verify: a check FAILED)
  2  a system could not be looked at or reached (for verify: a check is unknown)
  3  the command line is wrong, or what it names does not exist or is not unique

Environment:
  Options marked [env: NAME] can be set by that variable; the programs of
  activity-core read the same ones. NO_COLOR turns colours off.";

/// Operates and verifies activities: durable, scheduled and event-driven runs that can prove
/// that they ran.
///
/// Installed as kubectl-actcore it is also `kubectl actcore`.
#[derive(Debug, Parser)]
#[command(name = "actcore", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One thing to do. A variant without a text takes that of its options, which is longer.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Verify(verify::VerifyArguments),

    /// Lists the definitions, with where they stand.
    Get(definitions::GetArguments),

    /// Shows one definition with its status, coming runs and time budget.
    Describe(describe::DescribeArguments),

    /// Creates definitions from a file or from options.
    Create(create::CreateArguments),

    /// Lets a definition's runs start.
    Enable(definitions::SwitchArguments),

    /// Pauses a definition: no run starts until it is enabled again.
    Disable(definitions::SwitchArguments),

    Trigger(trigger::TriggerArguments),

    Backfill(backfill::BackfillArguments),

    /// Lists a definition's runs, the newest first.
    Runs(runs::RunsArguments),

    /// Shows one run.
    Run(runs::RunArguments),

    /// Shows when runs are expected, computed from the definition.
    Next(next::NextArguments),

    /// Lists the types of events.
    #[command(name = "eventtypes", visible_alias = "event-types")]
    EventTypes(event_types::EventTypesArguments),

    Events(events::EventsArguments),

    Dlq(dlq::DlqArguments),

    Feedback(feedback::FeedbackArguments),

    Sync(sync::SyncArguments),

    Import(import::ImportArguments),

    /// Checks everything that activity-core depends on, and says what to do.
    Doctor(doctor::DoctorArguments),

    /// Checks and registers the search attributes in Temporal.
    SearchAttributes(search_attributes::SearchAttributesArguments),

    /// Upgrades and shows the schema of the data base.
    #[command(name = "db")]
    Database(database::DatabaseArguments),

    /// Prints a completion script for a shell.
    Completion(about::CompletionArguments),

    /// Prints the version.
    Version(about::VersionArguments),
}

/// Where State Hub is.
#[derive(Debug, Clone, Args)]
#[group(id = "state-hub-arguments")]
pub(crate) struct StateHubArguments {
    /// State Hub, as http://host:port.
    #[arg(
        long,
        env = "STATE_HUB_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "State Hub"
    )]
    pub(crate) state_hub_url: Option<String>,
}
