//! A way to a server that can be cut: what an outage looks like from a client.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A TCP proxy on loopback. While it is cut, connections are closed, old ones and new ones.
#[derive(Debug)]
pub(crate) struct Proxy {
    url: String,
    open: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before the server of a URL `scheme://user@host:port/path`.
    pub(crate) async fn before(url: &str) -> Result<Self> {
        let rest = url.split_once('@').context("the URL has no user")?.1;
        let target = rest.split('/').next().unwrap_or(rest).to_owned();
        let address: SocketAddr = target.parse().context("the URL has no address")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let here = listener.local_addr()?;
        let open = Arc::new(watch::Sender::new(true));
        let task = tokio::spawn(forward(listener, address, Arc::clone(&open)));
        Ok(Self {
            url: url.replacen(&target, &here.to_string(), 1),
            open,
            task,
        })
    }

    /// The URL by way of the proxy.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Cuts every connection, and those to come.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(listener: TcpListener, address: SocketAddr, open: Arc<watch::Sender<bool>>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut is_open = open.subscribe();
        if !*is_open.borrow_and_update() {
            continue;
        }
        tokio::spawn(async move {
            let Ok(mut server) = TcpStream::connect(address).await else {
                return;
            };
            tokio::select! {
                // Either side hanging up ends a connection; that is no news.
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                _ = is_open.wait_for(|open| !open) => {}
            }
        });
    }
}
