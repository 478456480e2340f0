//! How many requests one caller may send. Each has a bucket of its own, so that one who asks in a
//! loop by mistake slows down nobody else.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::error::{Refusal, StatusHeader};

/// After so many checks, callers who have not asked for a while are forgotten.
const CHECKS_PER_SWEEP: u32 = 1024;

/// Who a request is counted against.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// A user of the cluster.
    User(String),
    /// Somebody who is not known (yet), by address; `None` where there is none.
    Address(Option<IpAddr>),
}

/// How many requests one caller may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Requests per second in the long run; as many as they like when 0.
    pub(crate) per_second: u32,
    /// Requests at once.
    pub(crate) burst: u32,
}

/// Counts requests.
#[derive(Debug)]
pub(crate) struct RateLimits {
    rate: Rate,
    limiter: Option<DefaultKeyedRateLimiter<Source>>,
    clock: DefaultClock,
    checks: AtomicU32,
}

impl RateLimits {
    /// Nobody has asked yet.
    pub(crate) fn new(rate: Rate) -> Self {
        let quota = NonZeroU32::new(rate.per_second).map(|per_second| {
            let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
            Quota::per_second(per_second).allow_burst(burst)
        });
        Self {
            rate,
            limiter: quota.map(RateLimiter::keyed),
            clock: DefaultClock::default(),
            checks: AtomicU32::new(0),
        }
    }

    /// Counts a request, or refuses it with 429 and the time to wait.
    pub(crate) fn check(&self, source: &Source) -> Result<(), Refusal> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_PER_SWEEP == CHECKS_PER_SWEEP - 1 {
            limiter.retain_recent();
        }
        limiter.check_key(source).map_err(|too_early| {
            let wait = too_early.wait_time_from(self.clock.now());
            self.refusal(wait)
        })
    }

    fn refusal(&self, wait: Duration) -> Refusal {
        // Whole seconds, and rounded up: who comes back too early is refused again.
        let seconds = u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX);
        Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "more than {} requests a second, {} at once, from one caller \
                 (API_RATE_LIMIT_PER_SECOND, API_RATE_LIMIT_BURST); wait {seconds} s",
                self.rate.per_second, self.rate.burst
            ),
        )
        .with(StatusHeader::RetryAfter(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Source {
        Source::User(name.to_owned())
    }

    #[test]
    fn one_who_asks_too_often_is_told_when_to_come_back_and_others_are_not_held_up() {
        let limits = RateLimits::new(Rate {
            per_second: 1,
            burst: 3,
        });
        for _ in 0..3 {
            assert_eq!(limits.check(&user("ada")), Ok(()));
        }
        let refused = limits.check(&user("ada")).unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.header, Some(StatusHeader::RetryAfter(1)));
        assert_eq!(limits.check(&user("bob")), Ok(()));
        assert_eq!(limits.check(&Source::Address(None)), Ok(()));
    }

    #[test]
    fn without_a_rate_nobody_is_held_up() {
        let limits = RateLimits::new(Rate {
            per_second: 0,
            burst: 1,
        });
        for _ in 0..1000 {
            assert_eq!(limits.check(&user("ada")), Ok(()));
        }
    }

    #[test]
    fn callers_who_have_gone_are_forgotten() {
        let limits = RateLimits::new(Rate {
            per_second: 1_000_000,
            burst: 1,
        });
        for number in 0..CHECKS_PER_SWEEP * 4 {
            assert_eq!(limits.check(&user(&number.to_string())), Ok(()));
        }
        let remembered = limits.limiter.as_ref().unwrap().len();
        assert!(remembered <= 2 * CHECKS_PER_SWEEP as usize, "{remembered}");
    }
}
