//! Bounded, level-triggered waiting: ask again and again whether something holds now, and if it
//! never does, say what was waited for and what was seen last.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::time::{Duration, Instant};

/// The first pause between two questions; it grows up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Something that was waited for did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("waited {waited:?} for {what}; last seen: {last_seen}")]
pub struct TimedOut {
    /// What was waited for, as the caller put it.
    pub what: String,
    /// How long.
    pub waited: Duration,
    /// The last answer: a value that did not do, an error, or that no answer came.
    pub last_seen: String,
}

/// What one look at the world found.
#[derive(Debug)]
pub enum Seen<T> {
    /// It holds; this is the value to hand on.
    Done(T),
    /// It does not hold yet; this is what was there instead.
    NotYet(String),
}

impl<T> Seen<T> {
    /// Not yet, with what was there instead.
    pub fn not_yet(seen: impl Display) -> Self {
        Self::NotYet(seen.to_string())
    }
}

/// How an answer of the asking closure is understood; implemented for `bool`, `Option`, [`Seen`]
/// and `Result` of any of these (an error is not fatal: it is asked again, and the last one shown).
pub trait Answer {
    /// What the wait hands on when it ends well.
    type Value;

    /// Sorts the answer into done and not yet.
    fn into_seen(self) -> Seen<Self::Value>;
}

impl Answer for bool {
    type Value = ();

    fn into_seen(self) -> Seen<()> {
        if self {
            Seen::Done(())
        } else {
            Seen::not_yet("false")
        }
    }
}

impl<T> Answer for Option<T> {
    type Value = T;

    fn into_seen(self) -> Seen<T> {
        self.map_or_else(|| Seen::not_yet("nothing"), Seen::Done)
    }
}

impl<T> Answer for Seen<T> {
    type Value = T;

    fn into_seen(self) -> Self {
        self
    }
}

impl<A: Answer, E: Debug> Answer for Result<A, E> {
    type Value = A::Value;

    fn into_seen(self) -> Seen<A::Value> {
        match self {
            Ok(answer) => answer.into_seen(),
            Err(error) => Seen::NotYet(format!("error: {error:?}")),
        }
    }
}

/// Asks until the answer is done or `timeout` is over. A question that hangs is given up at the
/// deadline too.
///
/// # Examples
/// ```no_run
/// # async fn example() -> Result<(), testkit::wait::TimedOut> {
/// use std::time::Duration;
/// testkit::wait::until("the report file", Duration::from_secs(30), || async {
///     std::fs::exists("/tmp/report.md")
/// })
/// .await
/// # }
/// ```
pub async fn until<A, F, Fut>(
    what: impl Display,
    timeout: Duration,
    mut ask: F,
) -> Result<A::Value, TimedOut>
where
    A: Answer,
    F: FnMut() -> Fut,
    Fut: Future<Output = A>,
{
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut last_seen = String::from("no answer came at all");
    loop {
        let left = timeout.saturating_sub(started.elapsed());
        match tokio::time::timeout(left, ask())
            .await
            .map(Answer::into_seen)
        {
            Ok(Seen::Done(value)) => return Ok(value),
            Ok(Seen::NotYet(seen)) => last_seen = seen,
            // The question hangs; the deadline below ends it.
            Err(_) => {}
        }
        if started.elapsed() >= timeout {
            return Err(TimedOut {
                what: what.to_string(),
                waited: started.elapsed(),
                last_seen,
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_ends_as_soon_as_the_answer_is_there() {
        let mut asked = 0;
        let value = until("the third question", Duration::from_secs(5), || {
            asked += 1;
            let seen = if asked == 3 {
                Seen::Done(asked)
            } else {
                Seen::not_yet(asked)
            };
            async move { seen }
        })
        .await
        .unwrap();
        assert_eq!(value, 3);
    }

    #[tokio::test]
    async fn a_wait_in_vain_says_what_for_and_what_was_seen_last() {
        let error = until("a unicorn", Duration::from_millis(50), || async {
            Seen::<()>::not_yet("a horse")
        })
        .await
        .unwrap_err();
        let message = error.to_string();
        assert!(message.contains("for a unicorn"), "{message}");
        assert!(message.contains("last seen: a horse"), "{message}");
    }

    #[tokio::test]
    async fn a_question_that_hangs_is_given_up_at_the_deadline() {
        let error = until(
            "an answer",
            Duration::from_millis(50),
            std::future::pending::<bool>,
        )
        .await
        .unwrap_err();
        assert_eq!(error.last_seen, "no answer came at all");
    }
}
