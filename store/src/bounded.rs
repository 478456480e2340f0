//! A pool whose statements have a deadline. A connection that has died without a word answers
//! nothing, and says so to nobody: whoever waits for it would wait for ever.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use sqlx::pool::PoolConnection;
use sqlx::{
    Database, Describe, Either, Error, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr,
};

/// How long a statement may take, and a connection may be waited for on top.
const DEADLINE: Duration = Duration::from_secs(10);

/// A pool of connections, used like sqlx's own.
#[derive(Debug, Clone)]
pub(crate) struct BoundedPool(PgPool);

impl BoundedPool {
    pub(crate) const fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    /// The pool without deadlines.
    pub(crate) const fn unbounded(&self) -> &PgPool {
        &self.0
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&self) -> Result<BoundedConnection, Error> {
        let mut transaction = self.acquire().await?;
        within(sqlx::query("begin").execute(&mut *transaction)).await?;
        Ok(transaction)
    }

    /// Takes a connection.
    pub(crate) async fn acquire(&self) -> Result<BoundedConnection, Error> {
        Ok(BoundedConnection(Some(within(self.0.acquire()).await?)))
    }
}

/// A connection for several statements, with or without a transaction. Whoever gives it up by
/// dropping it, as [`bounded`] does when it is late, closes it: the server rolls back, and nobody
/// else gets a connection that is dead.
#[derive(Debug)]
pub(crate) struct BoundedConnection(Option<PoolConnection<Postgres>>);

impl BoundedConnection {
    /// Makes everything last that was done in the transaction.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        within(sqlx::query("commit").execute(&mut *self)).await?;
        self.release();
        Ok(())
    }

    /// Gives it back to the pool.
    pub(crate) fn release(mut self) {
        drop(self.0.take());
    }
}

impl Deref for BoundedConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_deref().expect(NOT_ENDED)
    }
}

impl DerefMut for BoundedConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_deref_mut().expect(NOT_ENDED)
    }
}

/// Why there is a connection.
const NOT_ENDED: &str = "only its end takes it";

impl Drop for BoundedConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

/// Gives several statements together the time of one; they are to use one [`BoundedConnection`].
/// On the heap, because sqlx's futures are large.
pub(crate) fn bounded<'work, T: 'work>(
    operation: &'static str,
    work: impl Future<Output = Result<T, crate::Error>> + Send + 'work,
) -> BoxFuture<'work, Result<T, crate::Error>> {
    async move {
        let done = tokio::time::timeout(DEADLINE, work).await;
        done.unwrap_or_else(|_| Err(crate::Error::query(operation)(late())))
    }
    .boxed()
}

/// Gives one statement its time.
pub(crate) async fn within<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let done = tokio::time::timeout(DEADLINE, work).await;
    done.unwrap_or_else(|_| Err(late()))
}

fn late() -> Error {
    let seconds = DEADLINE.as_secs();
    let problem = format!("Postgres gave no answer within {seconds} s");
    Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, problem))
}

/// Uses a connection of the pool, and throws it away if it does not answer in time, or if nobody
/// waits for it any more: in the pool it would keep others waiting.
macro_rules! on_a_connection {
    ($pool:ident, $connection:ident, $work:expr) => {{
        let pool = $pool.0.clone();
        async move {
            let mut $connection = BoundedConnection(Some(pool.acquire().await?));
            let done = tokio::time::timeout(DEADLINE, $work).await;
            let done = done.map_err(|_| late())?;
            $connection.release();
            done
        }
    }};
}

type Step<D> = Result<Either<<D as Database>::QueryResult, <D as Database>::Row>, Error>;

impl<'pool> Executor<'pool> for &'pool BoundedPool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Step<Postgres>>
    where
        'pool: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let all = on_a_connection!(self, connection, {
            let steps = connection.fetch_many(query);
            steps.try_collect::<Vec<_>>()
        });
        stream::once(all)
            .map_ok(|steps| stream::iter(steps.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<<Postgres as Database>::Row>, Error>>
    where
        'pool: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        on_a_connection!(self, connection, connection.fetch_optional(query)).boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [<Postgres as Database>::TypeInfo],
    ) -> BoxFuture<'e, Result<<Postgres as Database>::Statement, Error>>
    where
        'pool: 'e,
    {
        on_a_connection!(self, connection, connection.prepare_with(sql, parameters)).boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'pool: 'e,
    {
        on_a_connection!(self, connection, connection.describe(sql)).boxed()
    }
}
