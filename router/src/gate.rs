//! Holding calls back while what they need is away.
//!
//! While a dependency is away, an event is neither sent back nor counted as failed: it waits
//! here, in place, and its delivery is kept alive. A negative acknowledgement would use up a
//! delivery for something that is not the event's fault, and after an hour's outage every event
//! of that hour would be a dead letter. Waiting also stops the pulling of more events as soon as
//! all places are taken, which is the back-pressure that is wanted.
//!
//! Only one call at a time looks whether the dependency is back, after a growing pause; the
//! others wait for its result. So an outage makes neither a storm of calls nor of log lines, and
//! no answer but that of a real call counts: a server can greet and still not work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use runtime::Backoff;
use tokio::sync::Mutex;

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What became of one call.
#[derive(Debug)]
pub(crate) enum Attempt<T> {
    /// The dependency answered; whether it agreed is the caller's business.
    Answered(T),
    /// The dependency is away, for this reason.
    Away(String),
}

/// Holds calls to one dependency back while it is away.
#[derive(Debug)]
pub(crate) struct Gate {
    dependency: &'static str,
    open: AtomicBool,
    /// Whose turn it is to look.
    turn: Mutex<Backoff>,
}

impl Gate {
    /// An open gate to `dependency`.
    pub(crate) fn new(dependency: &'static str) -> Self {
        Self {
            dependency,
            open: AtomicBool::new(true),
            turn: Mutex::new(Backoff::up_to(LONGEST_PAUSE)),
        }
    }

    /// Whether the dependency was there when it was last called.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Calls until the dependency answers, however long that takes: the caller bounds it. May be
    /// dropped at any time.
    pub(crate) async fn until_answered<T, F, Fut>(&self, call: F) -> T
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Attempt<T>>,
    {
        loop {
            if self.is_open() {
                match call().await {
                    Attempt::Answered(answer) => return answer,
                    Attempt::Away(reason) => self.close(&reason),
                }
            }
            let mut backoff = self.turn.lock().await;
            if self.is_open() {
                continue;
            }
            let pause = backoff.next_delay();
            tokio::time::sleep(pause).await;
            match call().await {
                Attempt::Answered(answer) => {
                    *backoff = Backoff::up_to(LONGEST_PAUSE);
                    self.open.store(true, Ordering::Relaxed);
                    tracing::info!(dependency = self.dependency, "back; events go on");
                    return answer;
                }
                Attempt::Away(reason) => tracing::warn!(
                    dependency = self.dependency,
                    reason,
                    "still away; events are held"
                ),
            }
        }
    }

    fn close(&self, reason: &str) {
        if self.open.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                dependency = self.dependency,
                reason,
                "away; events are held"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_caller_looks_for_all_and_all_go_on_when_it_is_back() {
        let gate = Arc::new(Gate::new("test"));
        let away = Arc::new(AtomicBool::new(true));
        let calls = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..100)
            .map(|number| {
                let (gate, away, calls) = (gate.clone(), away.clone(), calls.clone());
                tokio::spawn(async move {
                    gate.until_answered(|| async {
                        calls.fetch_add(1, Ordering::Relaxed);
                        if away.load(Ordering::Relaxed) {
                            Attempt::Away("off".to_owned())
                        } else {
                            Attempt::Answered(number)
                        }
                    })
                    .await
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(!gate.is_open());
        // Everybody's turn holds one look: 1, 2, 4, 8, 15 … seconds apart, not a hundred at once.
        let during_the_outage = calls.load(Ordering::Relaxed);
        assert!(during_the_outage <= 110, "{during_the_outage} calls");
        away.store(false, Ordering::Relaxed);
        for (number, caller) in callers.into_iter().enumerate() {
            assert_eq!(caller.await.unwrap(), number);
        }
        assert!(gate.is_open());
    }
}
