//! The benchmarks, one file per subject. Each returns its figures.

mod audit;
mod definitions;
mod demo;
mod events;
mod fire_lag;
mod history;
mod idle;
mod runs;

use std::future::Future;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::figures::Figure;
use crate::place::Servers;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// The larger number of definitions.
    pub(crate) definitions: usize,
    /// Rounds of what is cheap to repeat.
    pub(crate) rounds: usize,
    /// Rows of the run history.
    pub(crate) history_rows: usize,
}

/// A subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Benchmark {
    /// Definitions applied, compared again and changed.
    Definitions,
    /// Expected times audited, and all definitions verified.
    Audit,
    /// Events matched and unmatched.
    Events,
    /// Runs per worker.
    Runs,
    /// From the nominal time to the first activity.
    FireLag,
    /// Pages of a long run history.
    History,
    /// Programs with nothing to do.
    Idle,
    /// The first run that a newcomer sees.
    Demo,
}

impl Benchmark {
    /// All, in the order in which they are run.
    pub(crate) const ALL: [Self; 8] = [
        Self::Demo,
        Self::History,
        Self::Idle,
        Self::Events,
        Self::Runs,
        Self::FireLag,
        Self::Audit,
        Self::Definitions,
    ];

    /// The heading of its table.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Definitions => "Definitions",
            Self::Audit => "Proof of runs",
            Self::Events => "Events",
            Self::Runs => "Runs",
            Self::FireLag => "Fire lag",
            Self::History => "Run history",
            Self::Idle => "Idle programs",
            Self::Demo => "The first run",
        }
    }

    /// Measures.
    pub(crate) async fn run(self, servers: &Servers, size: Size) -> Result<Vec<Figure>> {
        match self {
            Self::Definitions => definitions::measure(servers, size).await,
            Self::Audit => audit::measure(servers, size).await,
            Self::Events => events::measure(servers, size).await,
            Self::Runs => runs::measure(servers, size).await,
            Self::FireLag => fire_lag::measure(servers, size).await,
            Self::History => history::measure(servers, size).await,
            Self::Idle => idle::measure(servers).await,
            Self::Demo => demo::measure().await,
        }
    }
}

/// The peer and ours in one round. Who comes first finds a calmer server, so they take turns at that.
async fn in_turn<Raw, Ours>(
    round: usize,
    raw: impl Future<Output = Result<Raw>>,
    ours: impl Future<Output = Result<Ours>>,
) -> Result<(Raw, Ours)> {
    if round.is_multiple_of(2) {
        Ok((raw.await?, ours.await?))
    } else {
        let ours = ours.await?;
        Ok((raw.await?, ours))
    }
}
