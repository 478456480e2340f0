//! What is done while a fault strikes.

mod api;
mod definitions;
mod runs;

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use testkit::Program;

pub use crate::actor::Stage;
use crate::lane::Cast;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Workload {
    /// A definition is created.
    Create,
    /// Every field of the trigger is changed.
    ChangeSchedule,
    /// A definition is disabled.
    Disable,
    /// A definition that is disabled is enabled.
    Enable,
    /// A definition is disabled and enabled at once.
    Flip,
    /// A definition is deleted.
    Delete,
    /// A definition is deleted and made anew under the same name.
    Recreate,
    /// A definition with an activity id of its own gets another name.
    Rename,
    /// A spec that can't be carried out, then one that can, and another one beside it.
    Correct,
    /// A cron definition becomes one that waits for events.
    Retrigger,
    /// A maintenance window opens and is withdrawn.
    Maintenance,
    /// An event type is created, changed and deleted.
    EventType,
    /// The program is restarted, and a definition is changed while it is away.
    Restart,
    /// Twenty definitions are created, half of them changed, half deleted.
    Bulk,
    /// A run is asked for by annotation, with every kind of sink.
    Manual,
    /// An event comes twice.
    Event,
    /// Worker or router is restarted while a run and an event wait for it.
    RestartRun,
    /// A definition is created through the REST API.
    ApiCreate,
    /// A definition is changed through the REST API.
    ApiUpdate,
    /// A run is asked for through the REST API.
    ApiTrigger,
    /// A definition is deleted through the REST API.
    ApiDelete,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Create,
        Self::ChangeSchedule,
        Self::Disable,
        Self::Enable,
        Self::Flip,
        Self::Delete,
        Self::Recreate,
        Self::Rename,
        Self::Correct,
        Self::Retrigger,
        Self::Maintenance,
        Self::EventType,
        Self::Restart,
        Self::Bulk,
        Self::Manual,
        Self::Event,
        Self::RestartRun,
        Self::ApiCreate,
        Self::ApiUpdate,
        Self::ApiTrigger,
        Self::ApiDelete,
    ];

    /// The name in plans and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::ChangeSchedule => "change-schedule",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Flip => "flip",
            Self::Delete => "delete",
            Self::Recreate => "recreate",
            Self::Rename => "rename",
            Self::Correct => "correct",
            Self::Retrigger => "retrigger",
            Self::Maintenance => "maintenance",
            Self::EventType => "event-type",
            Self::Restart => "restart",
            Self::Bulk => "bulk",
            Self::Manual => "manual",
            Self::Event => "event",
            Self::RestartRun => "restart-run",
            Self::ApiCreate => "api-create",
            Self::ApiUpdate => "api-update",
            Self::ApiTrigger => "api-trigger",
            Self::ApiDelete => "api-delete",
        }
    }

    /// Which programs have to run.
    pub const fn cast(self) -> Cast {
        match self {
            Self::Manual | Self::Event | Self::RestartRun => Cast::Runs,
            Self::ApiCreate | Self::ApiUpdate | Self::ApiTrigger | Self::ApiDelete => Cast::Api,
            _ => Cast::Definitions,
        }
    }

    /// Whose calls are struck.
    pub const fn struck(self) -> &'static [Program] {
        match self {
            Self::Manual => &[Program::Operator, Program::Worker],
            Self::Event | Self::RestartRun => &[Program::Worker, Program::EventRouter],
            Self::ApiCreate | Self::ApiUpdate | Self::ApiTrigger | Self::ApiDelete => {
                &[Program::Api]
            }
            _ => &[Program::Operator],
        }
    }

    /// Brings the world to where the workload begins. Nothing is struck yet.
    pub async fn prepare(self, stage: &mut Stage<'_>) -> Result<()> {
        match self.cast() {
            Cast::Definitions | Cast::Admission => definitions::prepare(self, stage).await?,
            Cast::Runs | Cast::All | Cast::Clocks => runs::prepare(self, stage).await?,
            Cast::Api => api::prepare(self, stage).await?,
        }
        stage.settle().await
    }

    /// Does it. `struck` is the program whose calls may be struck by now.
    pub async fn act(self, stage: &mut Stage<'_>, struck: Program) -> Result<()> {
        match self.cast() {
            Cast::Definitions | Cast::Admission => definitions::act(self, stage).await,
            Cast::Runs | Cast::All | Cast::Clocks => runs::act(self, stage, struck).await,
            Cast::Api => api::act(self, stage).await,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|workload| workload.as_str() == text)
            .ok_or_else(|| format!("{text} is no workload"))
    }
}
