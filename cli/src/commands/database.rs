//! `actcore db`: the schema of the data base.

use std::time::Duration;

use clap::{Args, Subcommand};
use contracts::workflow::format_time;
use runtime::postgres::PostgresArguments;
use serde::Serialize;
use store::{AppliedMigration, SchemaState, Store};

use crate::connections::{self, answer};
use crate::exit::{Exit, Problem};
use crate::output::{self, Format, OutputArguments};

/// The options of `actcore db`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  # Bring a new or older data base to the schema of this version
  ACTCORE_DB_URL=postgres://actcore:secret@localhost:5432/actcore actcore db upgrade

  # In a script: is the schema the one that this version needs?
  actcore db current || actcore db upgrade

Exit codes: 0 done or current, 1 the schema is older or newer than this version needs or the
upgrade failed, 2 Postgres could not be reached, 3 usage.")]
pub(crate) struct DatabaseArguments {
    #[command(subcommand)]
    command: DatabaseCommand,
}

#[derive(Debug, Subcommand)]
enum DatabaseCommand {
    /// Applies the pending migrations. Safe to run when none is pending, and by several at once.
    #[command(after_help = "\
Examples:
  # Before the programs of a new version start
  ACTCORE_DB_URL=postgres://actcore:secret@localhost:5432/actcore actcore db upgrade

Exit codes: 0 done or nothing to do, 1 the upgrade failed or the schema is newer than this version,
2 Postgres could not be reached, 3 usage.")]
    Upgrade(UpgradeArguments),
    /// Shows how the schema stands to this version; exits 0 only when they fit.
    #[command(after_help = "\
Examples:
  # In a script: is the schema the one that this version needs?
  actcore db current || actcore db upgrade

Exit codes: 0 current, 1 older or newer, 2 Postgres could not be reached, 3 usage.")]
    Current(ConnectionArguments),
    /// Lists every migration that this version knows, and when it was applied.
    #[command(after_help = "\
Examples:
  # What is pending?
  actcore db history | grep pending

Exit codes: 0 done, 2 Postgres could not be reached, 3 usage.")]
    History(HistoryArguments),
}

#[derive(Debug, Args)]
struct ConnectionArguments {
    #[command(flatten)]
    postgres: PostgresArguments,
}

#[derive(Debug, Args)]
struct UpgradeArguments {
    /// How long the migrations may take, in seconds.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    timeout: u64,

    #[command(flatten)]
    postgres: PostgresArguments,
}

#[derive(Debug, Args)]
struct HistoryArguments {
    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    postgres: PostgresArguments,
}

/// Carries out `actcore db`.
pub(crate) async fn run(arguments: DatabaseArguments) -> anyhow::Result<Exit> {
    match arguments.command {
        DatabaseCommand::Upgrade(arguments) => upgrade(&arguments).await,
        DatabaseCommand::Current(arguments) => {
            let state =
                schema_state(&connections::open_postgres(&arguments.postgres).await?).await?;
            output::line(state.to_string())?;
            Ok(match state {
                SchemaState::Current { .. } => Exit::Done,
                SchemaState::Behind { .. } | SchemaState::Ahead { .. } => Exit::Failed,
            })
        }
        DatabaseCommand::History(arguments) => history(&arguments).await,
    }
}

async fn upgrade(arguments: &UpgradeArguments) -> anyhow::Result<Exit> {
    let store = connections::open_postgres(&arguments.postgres).await?;
    let before = schema_state(&store).await?;
    if let SchemaState::Ahead { .. } = before {
        return Err(Problem::failed(before.to_string()).into());
    }
    let limit = Duration::from_secs(arguments.timeout);
    let Ok(applied) = tokio::time::timeout(limit, store.upgrade()).await else {
        return Err(Problem::failed(format!(
            "the migrations were not done within {} s; look whether another session holds a lock \
             (pg_stat_activity), then run this again",
            limit.as_secs()
        ))
        .into());
    };
    let applied = applied.map_err(|error| Problem::failed(runtime::describe(&error)))?;
    let after = schema_state(&store).await?;
    output::line(match applied {
        0 => format!("nothing to apply: {after}"),
        1 => format!("applied 1 migration: {after}"),
        many => format!("applied {many} migrations: {after}"),
    })?;
    Ok(Exit::Done)
}

async fn schema_state(store: &Store) -> Result<SchemaState, Problem> {
    answer("Postgres", store.schema_state()).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Migration {
    version: i64,
    description: String,
    applied_at: Option<String>,
}

impl From<AppliedMigration> for Migration {
    fn from(migration: AppliedMigration) -> Self {
        Self {
            version: migration.version,
            description: migration.description,
            applied_at: migration.applied_at.map(format_time),
        }
    }
}

async fn history(arguments: &HistoryArguments) -> anyhow::Result<Exit> {
    let store = connections::open_postgres(&arguments.postgres).await?;
    let migrations = answer("Postgres", store.migrations()).await?;
    let migrations: Vec<Migration> = migrations.into_iter().map(Migration::from).collect();
    match arguments.output.output {
        Format::Json => output::json(&migrations)?,
        Format::Yaml => output::yaml(&migrations)?,
        Format::Table => {
            let rows = migrations.into_iter().map(|migration| {
                vec![
                    migration.version.to_string(),
                    migration.description,
                    migration.applied_at.unwrap_or_else(|| "pending".to_owned()),
                ]
            });
            output::table(&["VERSION", "DESCRIPTION", "APPLIED AT"], rows.collect())?;
        }
    }
    Ok(Exit::Done)
}
