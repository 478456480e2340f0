//! Waiting times between tries.

use std::time::Duration;

/// Exponential backoff without jitter: 1 s, 2 s, 4 s … up to a maximum. The programs that use it
/// are few, so there is no herd to spread.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    maximum: Duration,
}

impl Backoff {
    /// Starts at one second and never waits longer than `maximum`.
    pub const fn up_to(maximum: Duration) -> Self {
        Self {
            next: Duration::from_secs(1),
            maximum,
        }
    }

    /// The time to wait now; the next one is twice as long.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next.min(self.maximum);
        self.next = delay.saturating_mul(2);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum() {
        let mut backoff = Backoff::up_to(Duration::from_secs(5));
        let delays: Vec<u64> = (0..5).map(|_| backoff.next_delay().as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 5, 5]);
    }
}
