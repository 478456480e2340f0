//! The connection to Temporal, which may come later than the API itself.

use std::sync::{Arc, OnceLock};

use runtime::Shutdown;
use runtime::temporal::{TemporalArguments, identity};
use temporal::Temporal;

use crate::error::Error;

/// Temporal, once it has been reached. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct TemporalLink(Arc<OnceLock<Temporal>>);

impl TemporalLink {
    /// Temporal, or an error until it has been reached for the first time. Later outages show in
    /// each call; the connection mends itself.
    pub(crate) fn get(&self) -> Result<&Temporal, Error> {
        self.0.get().ok_or(Error::TemporalAway)
    }

    /// Connects, trying again until it succeeds or the process is to stop. Fails only when the
    /// settings are of no use.
    pub(crate) async fn connect(
        self,
        arguments: TemporalArguments,
        shutdown: Shutdown,
    ) -> Result<(), runtime::Error> {
        match arguments
            .connect(&identity(crate::PROGRAM), None, &shutdown)
            .await
        {
            Ok(client) => {
                tracing::info!("connected to Temporal");
                self.0.get_or_init(|| Temporal::new(client));
                Ok(())
            }
            Err(runtime::Error::Stopped { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
