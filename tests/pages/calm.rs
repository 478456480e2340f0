//! Before and after each fault: nothing is wrong, by Prometheus's and by Alertmanager's word.

use std::time::Duration;

use anyhow::Result;
use testkit::wait::Seen;

use crate::monitoring::Monitoring;

const CALM_TIMEOUT: Duration = Duration::from_mins(5);

/// Waits until no alert is pending or fires.
pub(crate) async fn wait(monitoring: &Monitoring) -> Result<()> {
    testkit::wait::until("calm", CALM_TIMEOUT, async || {
        let alerts = monitoring.alerts().await?;
        let held = monitoring.held().await?;
        anyhow::Ok(if alerts.is_empty() && held == 0 {
            Seen::Done(())
        } else {
            Seen::not_yet(format!("{alerts:?}; Alertmanager holds {held}"))
        })
    })
    .await?;
    Ok(())
}
