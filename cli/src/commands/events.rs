//! `actcore events`: what an event would start, and what it should have started.

mod explain;
mod replay;
mod source;
mod standing;

use clap::{Args, Subcommand};

use crate::exit::Exit;

/// The options of `actcore events`.
#[derive(Debug, Args)]
#[command(
    about = "Says what an event starts, and starts what never was",
    long_about = "\
What an event starts is decided as the event router decides it: by the event's type, the schemas of
its EventTypes, and the filters and conditions of the definitions that wait for the type."
)]
pub(crate) struct EventsArguments {
    #[command(subcommand)]
    command: EventsCommand,
}

#[derive(Debug, Subcommand)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, as long as the program runs"
)]
enum EventsCommand {
    Test(explain::TestArguments),

    Replay(replay::ReplayArguments),
}

/// Carries out `actcore events`.
pub(crate) async fn run(arguments: EventsArguments) -> anyhow::Result<Exit> {
    match arguments.command {
        EventsCommand::Test(arguments) => explain::run(arguments).await,
        EventsCommand::Replay(arguments) => replay::run(arguments).await,
    }
}
