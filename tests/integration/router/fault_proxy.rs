//! A TCP proxy between a router and a server, which can fail.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// The first acknowledgement is swallowed, and everything that the client sends after it on
    /// the same connection.
    SwallowAcknowledgements,
    /// Connections are cut, and new ones too.
    Closed,
}

/// A running proxy; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct FaultProxy {
    address: String,
    fault: watch::Sender<Fault>,
}

impl FaultProxy {
    /// A proxy to `server`, given as host and port with or without a scheme.
    pub(super) async fn to(server: &str) -> Result<Self> {
        let server = server.split_once("://").map_or(server, |(_, host)| host);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (fault, faults) = watch::channel(Fault::None);
        tokio::spawn(accept(listener, server.to_owned(), faults));
        Ok(Self { address, fault })
    }

    /// Host and port for the client.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// What goes wrong from now on.
    pub(super) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

async fn accept(listener: TcpListener, server: String, mut faults: watch::Receiver<Fault>) {
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted,
            ended = async { while faults.changed().await.is_ok() {} } => return ended,
        };
        let Ok((client, _)) = client else { return };
        if *faults.borrow() != Fault::Closed {
            tokio::spawn(connect(client, server.clone(), faults.clone()));
        }
    }
}

/// Carries one connection; an error of either side cuts both, as a proxy does.
async fn connect(client: TcpStream, server: String, mut faults: watch::Receiver<Fault>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let upwards = carry(from_client, to_server, Some(faults.clone()));
    let downwards = carry(from_server, to_client, None);
    tokio::select! {
        _ = upwards => {}
        _ = downwards => {}
        _ = faults.wait_for(|fault| *fault == Fault::Closed) => {}
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    faults: Option<watch::Receiver<Fault>>,
) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        let chunk = buffer.get(..length).context("more was read than fits")?;
        if chunk.is_empty() {
            return Ok(());
        }
        let swallows = faults
            .as_ref()
            .is_some_and(|faults| *faults.borrow() == Fault::SwallowAcknowledgements);
        if swallows && chunk.windows(4).any(|window| window == b"+ACK") {
            std::future::pending::<()>().await;
        }
        to.write_all(chunk).await?;
    }
}
