//! Why a run happens, as a key that is the same wherever and however often it is computed.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

/// The origin of a run, without its particulars: a label for metrics and the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TriggerKind {
    /// The Temporal Schedule fired.
    Schedule,
    /// An event matched.
    Event,
    /// Somebody asked for it.
    Manual,
    /// A past time was made up for.
    Backfill,
}

impl TriggerKind {
    /// The name used in metrics, in the ledger and in trigger keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Event => "event",
            Self::Manual => "manual",
            Self::Backfill => "backfill",
        }
    }
}

/// What started one run, exactly. Two triggers with equal keys are the same trigger.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TriggerKey {
    /// The Schedule's nominal time, to the second.
    Schedule(DateTime<Utc>),
    /// One event of one source. The id alone is not enough: only source and id together are
    /// unique (CloudEvents 1.0, section "REQUIRED Attributes").
    Event {
        /// Who published the event.
        source: String,
        /// The publisher's id for it.
        event_id: String,
    },
    /// A request by a person or a program, identified by the requester.
    Manual {
        /// The request's id; the same id twice is one run.
        request_id: String,
    },
    /// A nominal time that is made up for on purpose.
    Backfill(DateTime<Utc>),
}

impl TriggerKey {
    /// The origin without the particulars.
    pub const fn kind(&self) -> TriggerKind {
        match self {
            Self::Schedule(_) => TriggerKind::Schedule,
            Self::Event { .. } => TriggerKind::Event,
            Self::Manual { .. } => TriggerKind::Manual,
            Self::Backfill(_) => TriggerKind::Backfill,
        }
    }

    /// The nominal time, where the trigger has one.
    pub const fn scheduled_for(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Schedule(time) | Self::Backfill(time) => Some(*time),
            Self::Event { .. } | Self::Manual { .. } => None,
        }
    }
}

impl fmt::Display for TriggerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind().as_str();
        match self {
            Self::Schedule(time) | Self::Backfill(time) => write!(
                formatter,
                "{kind}/{}",
                time.to_rfc3339_opts(SecondsFormat::Secs, true)
            ),
            // The separator is escaped inside the source, so that no pair of source and id can
            // be mistaken for another pair.
            Self::Event { source, event_id } => write!(
                formatter,
                "{kind}/{}/{event_id}",
                source.replace('%', "%25").replace('/', "%2F")
            ),
            Self::Manual { request_id } => write!(formatter, "{kind}/{request_id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn keys_read_as_the_design_writes_them() {
        let time = Utc.with_ymd_and_hms(2026, 11, 24, 9, 0, 0).unwrap();
        assert_eq!(
            TriggerKey::Schedule(time).to_string(),
            "schedule/2026-11-24T09:00:00Z"
        );
        assert_eq!(
            TriggerKey::Event {
                source: "user-service".into(),
                event_id: "42".into()
            }
            .to_string(),
            "event/user-service/42"
        );
        assert_eq!(
            TriggerKey::Manual {
                request_id: "r1".into()
            }
            .to_string(),
            "manual/r1"
        );
        assert_eq!(
            TriggerKey::Backfill(time).to_string(),
            "backfill/2026-11-24T09:00:00Z"
        );
    }
}
