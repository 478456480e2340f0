//! What Postgres announces to whoever listens. A connection on which nothing comes is asked now and
//! then whether it stands: one that has died without a word is as silent as one on which nothing
//! happens. What is done about an announcement is left to the caller.

use std::time::Duration;

use futures::FutureExt as _;
use sqlx::postgres::PgListener;

use crate::bounded::within;
use crate::definition::DEFINITIONS_CHANNEL;
use crate::run::RUNS_CHANNEL;
use crate::{Error, Store};

/// How long nothing may come before the connection is asked.
const SILENCE: Duration = Duration::from_secs(30);

/// Hears what is announced on a channel from now on, on a connection of its own.
#[derive(Debug)]
pub struct Listener {
    /// There until it is dropped.
    listener: Option<PgListener>,
    /// What it is for, as errors name it.
    operation: &'static str,
}

impl Store {
    /// Hears of each run that begins or ends: the text is the activity's id.
    pub async fn follow_runs(&self) -> Result<Listener, Error> {
        self.listen(RUNS_CHANNEL, "follow the ledger").await
    }

    /// Hears of each change of the mirror.
    pub async fn follow_definitions(&self) -> Result<Listener, Error> {
        self.listen(DEFINITIONS_CHANNEL, "follow the mirror").await
    }

    async fn listen(
        &self,
        channel: &'static str,
        operation: &'static str,
    ) -> Result<Listener, Error> {
        // On the heap, because sqlx's futures are large.
        let connecting = PgListener::connect_with(self.pool.unbounded()).boxed();
        let listener = within(connecting).await.map_err(Error::query(operation))?;
        let mut listener = Listener {
            listener: Some(listener),
            operation,
        };
        let listening = listener.inner().listen(channel).boxed();
        within(listening).await.map_err(Error::query(operation))?;
        Ok(listener)
    }
}

impl Listener {
    /// Waits for the next announcement, and returns its text. After an error something may have
    /// been announced to nobody: listen anew, and look at everything once.
    pub async fn next(&mut self) -> Result<String, Error> {
        let operation = self.operation;
        loop {
            let hearing = self.inner().try_recv().boxed();
            let Ok(heard) = tokio::time::timeout(SILENCE, hearing).await else {
                let asking = sqlx::query("select 1").execute(self.inner());
                within(asking).await.map_err(Error::query(operation))?;
                continue;
            };
            match heard.map_err(Error::query(operation))? {
                Some(announced) => return Ok(announced.payload().to_owned()),
                None => return Err(Error::query(operation)(lost())),
            }
        }
    }

    fn inner(&mut self) -> &mut PgListener {
        self.listener.as_mut().expect("only the end takes it")
    }
}

impl Drop for Listener {
    /// sqlx spawns a task that has the connection unlisten, and waits for that: on a connection that
    /// is dead, for ever. In a runtime that nobody runs nothing is waited for, and what was left to
    /// it is closed with it.
    fn drop(&mut self) {
        let Ok(nobody) = tokio::runtime::Builder::new_current_thread().build() else {
            return;
        };
        let handle = nobody.handle().clone();
        let entered = handle.enter();
        drop(self.listener.take());
        nobody.shutdown_background();
        drop(entered);
    }
}

fn lost() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into())
}
