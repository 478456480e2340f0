//! What each command does, one module per noun.

pub(crate) mod about;
pub(crate) mod backfill;
pub(crate) mod create;
pub(crate) mod database;
pub(crate) mod definitions;
pub(crate) mod describe;
pub(crate) mod dlq;
pub(crate) mod doctor;
pub(crate) mod event_types;
pub(crate) mod events;
pub(crate) mod feedback;
pub(crate) mod import;
pub(crate) mod next;
pub(crate) mod runs;
pub(crate) mod search_attributes;
pub(crate) mod sync;
pub(crate) mod trigger;
pub(crate) mod verify;

use crate::arguments::{Arguments, Command};
use crate::exit::Exit;

/// Carries out one command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    match arguments.command {
        Command::Verify(arguments) => verify::run(arguments).await,
        Command::Get(arguments) => definitions::get(arguments).await,
        Command::Describe(arguments) => describe::run(arguments).await,
        Command::Create(arguments) => create::run(arguments).await,
        Command::Enable(arguments) => definitions::enable(arguments).await,
        Command::Disable(arguments) => definitions::disable(arguments).await,
        Command::Trigger(arguments) => trigger::run(arguments).await,
        Command::Backfill(arguments) => backfill::run(arguments).await,
        Command::Runs(arguments) => runs::list(arguments).await,
        Command::Run(arguments) => runs::run(arguments).await,
        Command::Next(arguments) => next::run(arguments).await,
        Command::EventTypes(arguments) => event_types::list(arguments).await,
        Command::Events(arguments) => Box::pin(events::run(arguments)).await,
        Command::Dlq(arguments) => Box::pin(dlq::run(arguments)).await,
        Command::Feedback(arguments) => feedback::run(arguments).await,
        Command::Import(arguments) => import::run(arguments).await,
        Command::Sync(arguments) => sync::run(arguments).await,
        Command::Doctor(arguments) => Box::pin(doctor::run(arguments)).await,
        Command::SearchAttributes(arguments) => search_attributes::run(arguments).await,
        Command::Database(arguments) => database::run(arguments).await,
        Command::Completion(arguments) => about::completion(&arguments),
        Command::Version(arguments) => about::version(&arguments),
    }
}
