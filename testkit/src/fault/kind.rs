//! The kinds of faults, and which make sense for which call.

use std::fmt;
use std::str::FromStr;

use super::{Call, Effect, Server};

/// What befalls a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The program dies before the call, or the delivery, gets anywhere.
    CrashBefore,
    /// The program dies when the server has carried the call out, before it hears of it.
    CrashApplied,
    /// The program dies as soon as it has the answer.
    CrashAfter,
    /// The call never arrives, and nobody answers.
    TimeOut,
    /// The call is carried out, and the connection breaks before the answer.
    ReplyLost,
    /// The connection breaks before the call arrives.
    Cut,
    /// The server refuses for now.
    Retryable,
    /// The server refuses for good.
    Permanent,
    /// Somebody else was faster.
    Conflict,
    /// The call arrives late.
    Slow,
    /// The call, or the delivery, arrives twice.
    Duplicated,
    /// The server has forgotten where the watch stood: everything is to be listed anew, and what
    /// happened meanwhile is never told.
    Expired,
    /// The same, and the list is an old one: the watch travels back in time.
    StaleList,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::CrashBefore,
        Self::CrashApplied,
        Self::CrashAfter,
        Self::TimeOut,
        Self::ReplyLost,
        Self::Cut,
        Self::Retryable,
        Self::Permanent,
        Self::Conflict,
        Self::Slow,
        Self::Duplicated,
        Self::Expired,
        Self::StaleList,
    ];

    /// The name in plans and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CrashBefore => "crash-before",
            Self::CrashApplied => "crash-applied",
            Self::CrashAfter => "crash-after",
            Self::TimeOut => "time-out",
            Self::ReplyLost => "reply-lost",
            Self::Cut => "cut",
            Self::Retryable => "retryable",
            Self::Permanent => "permanent",
            Self::Conflict => "conflict",
            Self::Slow => "slow",
            Self::Duplicated => "duplicated",
            Self::Expired => "expired",
            Self::StaleList => "stale-list",
        }
    }

    /// Why this can't befall the call, or would be the same as another kind; `None` if it can.
    pub fn does_not_apply_to(self, call: &Call) -> Option<&'static str> {
        match call.effect {
            Effect::Read => self.does_not_apply_to_read(call),
            Effect::Create | Effect::Update | Effect::Delete => self.does_not_apply_to_write(call),
            Effect::Subscribe => self.does_not_apply_to_subscription(call.server),
            Effect::Delivery => self.does_not_apply_to_delivery(call.server),
        }
    }

    fn does_not_apply_to_read(self, call: &Call) -> Option<&'static str> {
        match self {
            Self::CrashApplied => Some("a read applies nothing: the same as crash-before"),
            Self::Conflict => Some("nobody competes for a read"),
            Self::Duplicated => Some("reading twice changes nothing"),
            Self::ReplyLost => Some("a read applies nothing: the same as cut"),
            Self::Expired => Some("only a watch expires"),
            Self::StaleList
                if call.server != Server::Kubernetes || !call.name.starts_with("list-") =>
            {
                Some("only Kubernetes' lists come from a cache")
            }
            _ => None,
        }
    }

    fn does_not_apply_to_write(self, call: &Call) -> Option<&'static str> {
        let server = call.server;
        match self {
            Self::Expired | Self::StaleList => Some("only a watch expires"),
            Self::Duplicated if server == Server::Postgres => {
                Some("a statement travels on one ordered connection, which can't repeat it")
            }
            Self::Conflict if server == Server::Postgres && call.effect != Effect::Create => {
                Some("only what is made can clash with what is there")
            }
            Self::Conflict if matches!(server, Server::Nats | Server::Chat) => {
                Some("nobody competes for it")
            }
            _ => None,
        }
    }

    const fn does_not_apply_to_subscription(self, server: Server) -> Option<&'static str> {
        match self {
            Self::CrashApplied | Self::CrashAfter | Self::ReplyLost | Self::Duplicated => {
                Some("what a subscription brings are deliveries, which have faults of their own")
            }
            Self::Conflict => Some("nobody competes for a subscription"),
            Self::Expired if !matches!(server, Server::Kubernetes) => Some("only a watch expires"),
            Self::StaleList => Some("only a list can be stale"),
            _ => None,
        }
    }

    const fn does_not_apply_to_delivery(self, server: Server) -> Option<&'static str> {
        match self {
            Self::CrashApplied | Self::TimeOut | Self::Retryable | Self::Permanent => {
                Some("nobody answers a delivery")
            }
            Self::Conflict => Some("nobody competes for a delivery"),
            Self::Expired | Self::StaleList if !matches!(server, Server::Kubernetes) => {
                Some("only a watch expires")
            }
            Self::ReplyLost if matches!(server, Server::Postgres) => {
                Some("a notification gets lost only with its connection: see cut")
            }
            Self::ReplyLost if matches!(server, Server::Kubernetes) => {
                Some("a watch tells everything or breaks: see cut, expired and stale-list")
            }
            Self::Duplicated if matches!(server, Server::Kubernetes | Server::Temporal) => {
                Some("the protocol delivers once: one answer to one question")
            }
            Self::Cut if matches!(server, Server::Temporal) => Some("the same as reply-lost"),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("{text} is no kind of fault"))
    }
}
