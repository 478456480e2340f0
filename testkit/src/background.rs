//! One runtime for whatever must outlive the test that started it: each `#[tokio::test]` brings
//! its own runtime, and what was spawned there ends with that test.

use std::sync::LazyLock;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

use crate::http::install_crypto;

static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("testkit")
        .enable_all()
        .build()
});

/// Runs `work` on the background runtime and waits for it.
pub(crate) async fn run<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    // Whoever asks for anything here goes on to talk to it.
    install_crypto();
    let runtime = RUNTIME
        .as_ref()
        .context("failed to start testkit's runtime")?;
    runtime
        .spawn(work)
        .await
        .context("testkit's own work has panicked")?
}
