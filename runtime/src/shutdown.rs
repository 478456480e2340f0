//! Stopping: SIGTERM and SIGINT become one token that everything long-running watches.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Whether the process is to stop. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// A shutdown that follows SIGTERM and SIGINT.
    pub fn on_signals() -> std::io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = Self::default();
        let token = shutdown.0.clone();
        // The task lives exactly as long as there is something to stop.
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                () = token.cancelled() => return,
            };
            tracing::info!(signal = name, "stopping");
            token.cancel();
        });
        Ok(shutdown)
    }

    /// Asks everything to stop.
    pub fn begin(&self) {
        self.0.cancel();
    }

    /// Whether everything is to stop.
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until everything is to stop.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }

    /// The future's output, or `None` when the process is to stop first.
    pub async fn or<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = self.0.cancelled() => None,
            output = future => Some(output),
        }
    }

    /// Waits, but no longer than the process runs; false when it is to stop.
    pub async fn sleep(&self, duration: Duration) -> bool {
        self.or(tokio::time::sleep(duration)).await.is_some()
    }
}
