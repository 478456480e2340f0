//! Which definitions an event starts, and why the others not.

use crate::{Definition, Event, Mismatch, Trigger};

/// What one definition has to say about one event.
#[derive(Debug, Clone, PartialEq)]
pub enum Match {
    /// The event starts a run.
    Start,
    /// The event does not concern the definition.
    Unmatched(Unmatched),
    /// It cannot be told; the event must not be dropped silently.
    Error(String),
}

/// Why a definition is not started.
#[derive(Debug, Clone, PartialEq)]
pub enum Unmatched {
    /// The definition is disabled.
    Disabled,
    /// The definition has no event trigger, or one for another type.
    OtherType,
    /// A filter does not hold.
    Filter(Mismatch),
    /// The condition answers false.
    Condition,
}

impl std::fmt::Display for Unmatched {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disabled => formatter.write_str("the definition is disabled"),
            Self::OtherType => formatter.write_str("the definition waits for another event type"),
            Self::Filter(mismatch) => mismatch.fmt(formatter),
            Self::Condition => formatter.write_str("the condition answers false"),
        }
    }
}

/// Decides whether `event` starts a run of `definition`.
pub fn route(definition: &Definition, event: &Event) -> Match {
    let Trigger::Event(trigger) = &definition.trigger else {
        return Match::Unmatched(Unmatched::OtherType);
    };
    if trigger.event_type != event.event_type {
        return Match::Unmatched(Unmatched::OtherType);
    }
    if !definition.enabled {
        return Match::Unmatched(Unmatched::Disabled);
    }
    if let Err(mismatch) = trigger.filters.check(&event.payload) {
        return Match::Unmatched(Unmatched::Filter(mismatch));
    }
    match trigger
        .condition
        .as_ref()
        .map(|condition| condition.evaluate(event))
    {
        None | Some(Ok(true)) => Match::Start,
        Some(Ok(false)) => Match::Unmatched(Unmatched::Condition),
        Some(Err(reason)) => Match::Error(format!("condition: {reason}")),
    }
}
