//! The blows: which fall when, and dealing them out.

use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use testkit::{RunningProgram, Signal};
use tokio::sync::watch;

use super::Options;
use super::place::{Place, Servers};

/// The longest that a server stays away, in milliseconds.
const LONGEST_PAUSE: u64 = 3000;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Nats,
    Temporal,
}

/// A blow to a server.
#[derive(Debug, Clone, Copy)]
struct Restart {
    /// How many events are settled when it falls.
    at: u64,
    server: Server,
    pause: Duration,
}

/// Which blows fall when.
#[derive(Debug)]
pub(super) struct Blows {
    /// How many events are settled when a router is killed, and which one.
    kills: Vec<(u64, usize)>,
    restarts: Vec<Restart>,
}

impl Blows {
    /// Draws them.
    pub(super) fn draw(options: &Options) -> Self {
        // Not the numbers that the traffic is drawn from.
        let mut rng = Rng::with_seed(options.seed ^ 0x5eed);
        let events = u64::try_from(options.events).unwrap_or(u64::MAX);
        // The last twentieth is left for what the blows have held up.
        let latest = (events * 19 / 20).max(1);
        let mut kills: Vec<(u64, usize)> = (0..options.kills)
            .map(|_| (rng.u64(..latest), rng.usize(..options.routers.max(1))))
            .collect();
        kills.sort_unstable();
        let nats = std::iter::repeat_n(Server::Nats, options.nats_restarts);
        let temporal = std::iter::repeat_n(Server::Temporal, options.temporal_restarts);
        let mut restarts: Vec<Restart> = nats
            .chain(temporal)
            .map(|server| Restart {
                at: rng.u64(..latest),
                server,
                pause: Duration::from_millis(rng.u64(..LONGEST_PAUSE)),
            })
            .collect();
        restarts.sort_by_key(|restart| restart.at);
        Self { kills, restarts }
    }

    /// Kills routers, and starts another in the place of each.
    pub(super) async fn kill_routers(
        &self,
        place: &Place,
        mut routers: Vec<RunningProgram>,
        mut settled: watch::Receiver<u64>,
    ) -> Result<Vec<RunningProgram>> {
        for (at, index) in &self.kills {
            settled.wait_for(|settled| settled >= at).await?;
            let Some(router) = routers.get_mut(*index) else {
                continue;
            };
            router.kill(Signal::KILL)?;
            *router = place.start_router().await?;
        }
        Ok(routers)
    }

    /// Kills servers, and starts them again.
    pub(super) async fn restart_servers(
        &self,
        place: &Place,
        mut servers: Servers,
        mut settled: watch::Receiver<u64>,
    ) -> Result<Servers> {
        for restart in &self.restarts {
            settled.wait_for(|settled| *settled >= restart.at).await?;
            match restart.server {
                Server::Nats => servers.restart_nats(place, restart.pause).await?,
                Server::Temporal => servers.restart_temporal(place, restart.pause).await?,
            }
        }
        Ok(servers)
    }
}
