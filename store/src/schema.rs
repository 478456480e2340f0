//! The schema's version: what is applied, what this program knows, and whether they fit.

use chrono::{DateTime, Utc};
use sqlx::migrate::Migrator;

use crate::{Error, Store};

static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// How the data base's schema stands to this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// They fit.
    Current {
        /// The version of both.
        version: i64,
    },
    /// The data base is older: `actcore db upgrade` is to be run.
    Behind {
        /// The data base's version; 0 when it is empty.
        found: i64,
        /// This program's version.
        known: i64,
    },
    /// The data base is newer: this program is to be upgraded.
    Ahead {
        /// The data base's version.
        found: i64,
        /// This program's version.
        known: i64,
    },
}

impl SchemaState {
    /// Whether this program can work on it; the error says what is to be done.
    pub fn fits(self) -> Result<(), String> {
        match self {
            Self::Current { .. } => Ok(()),
            Self::Behind { .. } | Self::Ahead { .. } => Err(self.to_string()),
        }
    }
}

impl std::fmt::Display for SchemaState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Current { version } => write!(formatter, "the schema is current ({version})"),
            Self::Behind { found, known } => write!(
                formatter,
                "the schema is at version {found}, this program needs {known}; run `actcore db \
                 upgrade`"
            ),
            Self::Ahead { found, known } => write!(
                formatter,
                "the schema is at version {found}, this program knows only {known}; upgrade this \
                 program"
            ),
        }
    }
}

/// One migration, for `actcore db history`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMigration {
    /// Its number.
    pub version: i64,
    /// What it does.
    pub description: String,
    /// When it was applied; `None` when it is pending.
    pub applied_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Applies the pending migrations, and returns how many there were. Safe to run when none
    /// is pending and by several programs at once: a lock in the data base lets one go first.
    pub async fn upgrade(&self) -> Result<usize, Error> {
        let pending = self.pending().await?;
        MIGRATOR
            .run(self.pool.unbounded())
            .await
            .map_err(Error::Migrate)?;
        Ok(pending)
    }

    /// How the schema stands to this program.
    pub async fn schema_state(&self) -> Result<SchemaState, Error> {
        let known = MIGRATOR.iter().map(|migration| migration.version).max();
        let known = known.unwrap_or_default();
        let found = self.newest_applied().await?;
        Ok(match found.cmp(&known) {
            std::cmp::Ordering::Equal => SchemaState::Current { version: known },
            std::cmp::Ordering::Less => SchemaState::Behind { found, known },
            std::cmp::Ordering::Greater => SchemaState::Ahead { found, known },
        })
    }

    /// Every migration that this program knows, with the time at which it was applied.
    pub async fn migrations(&self) -> Result<Vec<AppliedMigration>, Error> {
        let applied: Vec<(i64, DateTime<Utc>)> = if self.has_migrations_table().await? {
            sqlx::query_as("select version, installed_on from _sqlx_migrations where success")
                .fetch_all(&self.pool)
                .await
                .map_err(Error::query("read the applied migrations"))?
        } else {
            Vec::new()
        };
        Ok(MIGRATOR
            .iter()
            .map(|migration| AppliedMigration {
                version: migration.version,
                description: migration.description.to_string(),
                applied_at: applied
                    .iter()
                    .find(|(version, _)| *version == migration.version)
                    .map(|(_, time)| *time),
            })
            .collect())
    }

    async fn pending(&self) -> Result<usize, Error> {
        let migrations = self.migrations().await?;
        Ok(migrations
            .iter()
            .filter(|migration| migration.applied_at.is_none())
            .count())
    }

    async fn newest_applied(&self) -> Result<i64, Error> {
        if !self.has_migrations_table().await? {
            return Ok(0);
        }
        sqlx::query_scalar("select coalesce(max(version), 0) from _sqlx_migrations where success")
            .fetch_one(&self.pool)
            .await
            .map_err(Error::query("read the schema version"))
    }

    async fn has_migrations_table(&self) -> Result<bool, Error> {
        sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
            .fetch_one(&self.pool)
            .await
            .map_err(Error::query("look for the schema version"))
    }
}
