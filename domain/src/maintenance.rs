//! Maintenance windows: when one is open, and when that changes next.

use chrono::{DateTime, Duration, Utc};

use crate::CronSchedule;

/// A time, or a recurring time, in which schedules pause on purpose.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "windows are few and short-lived in memory"
)]
pub enum Window {
    /// From one instant to another, the second not included.
    Once {
        /// When it opens.
        start: DateTime<Utc>,
        /// When it closes.
        end: DateTime<Utc>,
    },
    /// Again and again.
    Recurring {
        /// When it opens.
        opens: CronSchedule,
        /// How long it stays open.
        duration: Duration,
    },
}

impl Window {
    /// When the window that is open at `now` closes; `None` when none is open.
    pub fn open_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Once { start, end } => (*start <= now && now < *end).then_some(*end),
            Self::Recurring { opens, duration } => opens
                .occurrences(
                    now - *duration + Duration::nanoseconds(1),
                    now + Duration::nanoseconds(1),
                )
                .last()
                .map(|opened| *opened + *duration),
        }
    }

    /// The next instant at which the window opens or closes; `None` when it never will again.
    pub fn next_change(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Once { start, end } => [*start, *end].into_iter().find(|change| *change > now),
            Self::Recurring { opens, .. } => {
                let opens = opens.next_after(now);
                self.open_until(now).into_iter().chain(opens).min()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CronExpression, TimeZone};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_single_window_is_open_from_its_start_to_just_before_its_end() {
        let window = Window::Once {
            start: at("2026-01-01T10:00:00Z"),
            end: at("2026-01-01T12:00:00Z"),
        };
        assert_eq!(window.open_until(at("2026-01-01T09:59:59Z")), None);
        let end = Some(at("2026-01-01T12:00:00Z"));
        assert_eq!(window.open_until(at("2026-01-01T10:00:00Z")), end);
        assert_eq!(window.open_until(at("2026-01-01T12:00:00Z")), None);
        assert_eq!(window.next_change(at("2026-01-01T11:00:00Z")), end);
        assert_eq!(window.next_change(at("2026-01-01T12:00:00Z")), None);
    }

    #[test]
    fn a_recurring_window_opens_again() {
        let window = Window::Recurring {
            opens: CronSchedule {
                expression: CronExpression::parse("0 22 * * *").unwrap(),
                time_zone: TimeZone::UTC,
                start: None,
                end: None,
            },
            duration: Duration::hours(4),
        };
        assert_eq!(
            window.open_until(at("2026-01-02T01:59:59Z")),
            Some(at("2026-01-02T02:00:00Z"))
        );
        assert_eq!(window.open_until(at("2026-01-02T02:00:00Z")), None);
        assert_eq!(
            window.next_change(at("2026-01-02T02:00:00Z")),
            Some(at("2026-01-02T22:00:00Z"))
        );
        assert_eq!(
            window.next_change(at("2026-01-01T23:00:00Z")),
            Some(at("2026-01-02T02:00:00Z"))
        );
    }
}
