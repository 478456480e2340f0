//! What can go wrong with the data base.

/// A failed access.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement failed.
    #[error("failed to {operation} in Postgres")]
    Query {
        /// What was to be done.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// A row holds something that this program does not know.
    #[error("{table} holds a row that this version can't read: {problem}")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// What can't be read.
        problem: String,
    },
    /// The object's activity id belongs to another definition.
    #[error("activity id is taken by the definition {namespace}/{name}")]
    ActivityIdTaken {
        /// The namespace of the definition that has it.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Migrations failed.
    #[error("failed to migrate the schema")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

impl Error {
    /// Whether trying the same again is of no use: Postgres refuses the values themselves
    /// (SQLSTATE classes 22, data exception, and 23, integrity constraint violation).
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Query { source, .. } => source
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .is_some_and(|code| code.starts_with("22") || code.starts_with("23")),
            Self::Unreadable { .. } | Self::ActivityIdTaken { .. } => true,
            Self::Migrate(_) => false,
        }
    }

    /// Names the operation that failed.
    pub(crate) const fn query(operation: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |source| Self::Query { operation, source }
    }
}
