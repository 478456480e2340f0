//! Connections to the systems that commands speak to, and the patience with which they wait.

use std::future::Future;
use std::time::Duration;

use runtime::postgres::PostgresArguments;
use runtime::temporal::TemporalArguments;
use store::Store;
use temporal::Temporal;

use crate::exit::Problem;

/// The name under which the systems see us.
pub(crate) const PROGRAM: &str = "actcore";

/// How long a system may take for one answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for a system's answer, ten seconds at most. No answer means that nobody knows.
pub(crate) async fn answer<T, E>(
    system: &str,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, Problem>
where
    E: std::error::Error,
{
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Problem::unknown(runtime::describe(&error))),
        Err(_) => Err(Problem::unknown(format!(
            "{system} gave no answer within {} s",
            PATIENCE.as_secs()
        ))),
    }
}

/// Postgres, whatever its schema.
pub(crate) async fn open_postgres(arguments: &PostgresArguments) -> Result<Store, Problem> {
    let pool = arguments
        .pool(PROGRAM)
        .map_err(|error| Problem::usage(runtime::describe(&error)))?;
    answer("Postgres", arguments.check(PROGRAM)).await?;
    Ok(Store::new(pool))
}

/// Postgres with the schema that this version knows.
pub(crate) async fn open_ledger(arguments: &PostgresArguments) -> Result<Store, Problem> {
    let store = open_postgres(arguments).await?;
    let schema = answer("Postgres", store.schema_state()).await?;
    schema.fits().map_err(Problem::unknown)?;
    Ok(store)
}

/// Temporal.
pub(crate) async fn open_temporal(arguments: &TemporalArguments) -> Result<Temporal, Problem> {
    if arguments.temporal_host.is_none() {
        return Err(Problem::usage(
            "TEMPORAL_HOST is required: set it to the address of Temporal's frontend, host:7233",
        ));
    }
    let identity = runtime::temporal::identity(PROGRAM);
    answer("Temporal", arguments.connect_once(&identity))
        .await
        .map(Temporal::new)
}
