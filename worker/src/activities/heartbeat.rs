//! Heartbeats: what tells Temporal that a long step is still under way, and a step that the run
//! was cancelled.

use std::future::Future;
use std::time::Duration;

use temporalio_sdk::activities::{ActivityContext, ActivityError};
use tokio::time::Instant;

use crate::error::StepError;

/// How often a heartbeat is given, the first after this long: each one that Temporal is told of is
/// a write there and an action on the bill, and most steps are done sooner.
const INTERVAL: Duration = Duration::from_secs(3);

/// Works with heartbeats, until the work is done or the activity is cancelled. Cancelled work is
/// dropped where it stands; what it had done is found by who comes next.
pub(super) async fn with_heartbeat<T>(
    context: &ActivityContext,
    mut work: impl Future<Output = Result<T, StepError>> + Unpin,
) -> Result<T, ActivityError> {
    let mut ticker = tokio::time::interval_at(Instant::now() + INTERVAL, INTERVAL);
    loop {
        tokio::select! {
            done = &mut work => return done.map_err(StepError::into_failure),
            () = context.cancelled() => return Err(ActivityError::cancelled()),
            _ = ticker.tick() => context.record_heartbeat(()).await?,
        }
    }
}
