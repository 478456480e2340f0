//! Plain HTTP questions to our own servers on loopback.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result};

/// A server on loopback that does not answer by then is asked again.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One client for all questions would tie them to the runtime of the first; a client is cheap.
fn client() -> Result<reqwest::Client> {
    install_crypto();
    reqwest::Client::builder()
        .timeout(TIMEOUT)
        .no_proxy()
        .build()
        .context("failed to make an HTTP client")
}

/// TLS libraries in one process must agree on their cryptography; this says which, once.
pub(crate) fn install_crypto() {
    static INSTALLED: LazyLock<()> = LazyLock::new(|| {
        // It fails only if the program has chosen before us, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
    LazyLock::force(&INSTALLED);
}

/// True if the URL answers with a status of success.
pub(crate) async fn is_ok(url: &str) -> Result<bool> {
    Ok(client()?.get(url).send().await?.status().is_success())
}
