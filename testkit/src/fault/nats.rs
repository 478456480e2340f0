//! NATS' line protocol: publications are named by what they ask of JetStream, messages of a
//! consumer are deliveries.

mod line;
mod session;

use std::sync::Arc;

use anyhow::Result;
use tokio::net::TcpStream;

use super::Conductor;
use super::listener::Listening;
use session::Session;

/// Listens for the program, and connects to nats-server at `address` (host:port).
pub(super) async fn listen(address: String, conductor: Arc<Conductor>) -> Result<Listening> {
    Listening::start(move |client, _| {
        let (address, conductor) = (address.clone(), Arc::clone(&conductor));
        async move {
            // A server that can't be reached looks like one from here too.
            let Ok(server) = TcpStream::connect(&address).await else {
                return;
            };
            let _ = server.set_nodelay(true);
            Session::new(client, server, conductor).run().await;
        }
    })
    .await
}
