//! Postgres' wire protocol, version 3: statements are named by verb and table, and struck by the
//! whole batch up to its Sync.
//!
//! Statements are prepared once for each connection, so what a Bind means was said by an earlier
//! Parse. Passing preparations have no fault of their own: they are reads.

mod frame;
mod session;
mod statement;

use std::sync::Arc;

use anyhow::Result;
use tokio::net::TcpStream;

use super::Conductor;
use super::listener::Listening;
use session::Session;

/// Listens for the program, and connects to Postgres at `address` (host:port).
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
