//! Identities, as newtypes: an activity's id can not be passed where a run's is meant.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::TriggerKey;

/// A text that is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no UUID; expected a form like 0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f")]
pub struct InvalidId {
    text: String,
}

/// The identity of an activity: `spec.activityId`, or the `metadata.uid` of its definition.
///
/// It names the Temporal Schedule, the mirror row and every run, and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActivityId(Uuid);

impl ActivityId {
    /// Takes a UUID as the identity of an activity.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID itself.
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for ActivityId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for ActivityId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        parse_uuid(text).map(Self)
    }
}

/// The identity of one run, known everywhere as `activity_core_run_id`.
///
/// It is the UUID version 5 (RFC 9562, section 5.5) of the trigger key in the name space of the
/// activity id. Whoever sees a trigger, however often and on whichever replica, computes the same
/// run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(Uuid);

impl RunId {
    /// The run that `trigger` starts for `activity`.
    pub fn of(activity: ActivityId, trigger: &TriggerKey) -> Self {
        Self(Uuid::new_v5(
            &activity.as_uuid(),
            trigger.to_string().as_bytes(),
        ))
    }

    /// Takes a UUID that was stored as a run's identity.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID itself.
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        parse_uuid(text).map(Self)
    }
}

fn parse_uuid(text: &str) -> Result<Uuid, InvalidId> {
    Uuid::parse_str(text).map_err(|_| InvalidId {
        text: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVITY: ActivityId = ActivityId::new(Uuid::from_u128(0x1234));

    fn event(source: &str, event_id: &str) -> TriggerKey {
        TriggerKey::Event {
            source: source.to_owned(),
            event_id: event_id.to_owned(),
        }
    }

    #[test]
    fn the_same_trigger_is_the_same_run() {
        assert_eq!(
            RunId::of(ACTIVITY, &event("users", "1")),
            RunId::of(ACTIVITY, &event("users", "1"))
        );
    }

    #[test]
    fn equal_event_ids_of_two_sources_are_two_runs() {
        assert_ne!(
            RunId::of(ACTIVITY, &event("users", "1")),
            RunId::of(ACTIVITY, &event("billing", "1"))
        );
    }

    #[test]
    fn a_slash_in_a_source_cannot_forge_another_sources_event() {
        assert_ne!(
            RunId::of(ACTIVITY, &event("a/b", "c")),
            RunId::of(ACTIVITY, &event("a", "b/c"))
        );
    }
}
