//! Accepts connections on a free port of loopback, each with a cord by which it can be cut.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// A listening proxy; it ends with all its connections when this is dropped.
#[derive(Debug)]
pub(super) struct Listening {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Listening {
    /// Serves each connection with `serve` until it returns or the token is cancelled.
    pub(super) async fn start<F, Fut>(serve: F) -> Result<Self>
    where
        F: Fn(TcpStream, CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("failed to open a port for a fault proxy")?;
        let address = listener
            .local_addr()
            .context("failed to read a listener's port")?;
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        // A connection that is gone before it is accepted is nobody's loss.
                        let Ok((stream, _)) = accepted else { continue };
                        // A delayed segment would be a fault that nobody ordered.
                        let _ = stream.set_nodelay(true);
                        let cut = CancellationToken::new();
                        let serving = serve(stream, cut.clone());
                        connections.spawn(async move {
                            tokio::select! {
                                () = serving => {}
                                () = cut.cancelled() => {}
                            }
                        });
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { address, accepting })
    }

    /// Where it listens.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
