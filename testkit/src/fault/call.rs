//! What a program asks of a server, by a name that stays the same from run to run.

use std::fmt;
use std::str::FromStr;

/// Whom a program calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Server {
    /// The Kubernetes API.
    Kubernetes,
    /// Temporal's frontend.
    Temporal,
    /// Postgres.
    Postgres,
    /// NATS.
    Nats,
    /// State Hub.
    StateHub,
    /// issue-core.
    IssueCore,
    /// The language model.
    Chat,
    /// The receiver of webhooks.
    Webhook,
}

impl Server {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Kubernetes,
        Self::Temporal,
        Self::Postgres,
        Self::Nats,
        Self::StateHub,
        Self::IssueCore,
        Self::Chat,
        Self::Webhook,
    ];

    /// The name in plans and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Temporal => "temporal",
            Self::Postgres => "postgres",
            Self::Nats => "nats",
            Self::StateHub => "state-hub",
            Self::IssueCore => "issue-core",
            Self::Chat => "chat",
            Self::Webhook => "webhook",
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|server| server.as_str() == text)
            .ok_or_else(|| format!("{text} is no server"))
    }
}

/// What a call does at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing: it asks.
    Read,
    /// Makes something that must not be there yet.
    Create,
    /// Changes something.
    Update,
    /// Removes something.
    Delete,
    /// Asks to be told: a watch, a poll, a LISTEN.
    Subscribe,
    /// The server tells: an event of a watch, a task, a message.
    Delivery,
}

impl Effect {
    /// Whether the server has changed afterwards.
    pub const fn is_write(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Delete)
    }
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    /// Whom.
    pub server: Server,
    /// What, such as `patch-activitydefinitions.status`.
    pub name: String,
    /// To what effect.
    pub effect: Effect,
}

impl Call {
    pub(super) fn new(server: Server, name: impl Into<String>, effect: Effect) -> Self {
        Self {
            server,
            name: name.into(),
            effect,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.server, self.name)
    }
}
