//! State Hub: a progress entry of the run.

use contracts::state_hub::{NewProgress, Progress, ProgressDetail};
use contracts::workflow::format_time;
use serde_json::{Map, Value, json};
use url::Url;

use super::{Delivered, ReportDelivery};
use crate::egress::{Call, endpoint};
use crate::error::StepError;
use crate::report::Report;

/// The URL of State Hub's progress entries.
pub(crate) fn progress_url(state_hub: Option<&Url>) -> Result<Url, StepError> {
    let base = state_hub.ok_or(StepError::NotConfigured {
        variable: "STATE_HUB_URL",
        needed_for: "State Hub",
    })?;
    Ok(endpoint(base, "progress/"))
}

pub(super) async fn deliver(
    delivery: &ReportDelivery<'_>,
    event_type: &str,
) -> Result<Delivered, StepError> {
    let url = progress_url(delivery.services.settings.state_hub.as_ref())?;
    if let Some(entry) = find(delivery, url.clone(), event_type).await? {
        return Ok(Delivered::before(Some(entry.id)));
    }
    let body = serde_json::to_value(progress(delivery.report, event_type)).unwrap_or_default();
    let idempotency_key = delivery.idempotency_key();
    let mut call = Call::post(url, delivery.timeout(), &body);
    call.idempotency_key = Some(&idempotency_key);
    call.traceparent = delivery.traceparent;
    let answer = delivery.services.egress.send(call).await;
    let answer = answer.map_err(StepError::call("post the report to State Hub"))?;
    // The entry is there, whatever the answer's body looks like.
    let created: Option<Progress> = answer.json().ok();
    Ok(Delivered::now(created.map(|entry| entry.id)))
}

async fn find(
    delivery: &ReportDelivery<'_>,
    mut url: Url,
    event_type: &str,
) -> Result<Option<Progress>, StepError> {
    let run_id = delivery.report.run_id.as_uuid();
    url.query_pairs_mut()
        .append_pair("event_type", event_type)
        .append_pair("activity_core_run_id", &run_id.to_string());
    let mut call = Call::get(url, delivery.timeout());
    call.traceparent = delivery.traceparent;
    let answer = delivery.services.egress.send(call).await;
    let entries: Vec<Progress> = answer
        .and_then(|answer| answer.json())
        .map_err(StepError::call("look for the report in State Hub"))?;
    // A server that does not know the filter answers with entries of others.
    Ok(entries
        .into_iter()
        .find(|entry| entry.event_type == event_type && entry.run_id() == Some(run_id)))
}

fn progress(report: &Report, event_type: &str) -> NewProgress {
    let more = json!({
        "scheduled_for": report.scheduled_for.map(format_time),
        "fired_at": format_time(report.fired_at),
        "trigger": report.trigger,
        "model": report.model,
    });
    NewProgress {
        event_type: event_type.to_owned(),
        summary: report.summary(),
        detail: ProgressDetail {
            activity_core_run_id: report.run_id.as_uuid(),
            activity_id: Some(report.activity.as_uuid()),
            report: Some(report.text.clone()),
            more: match more {
                Value::Object(more) => more,
                _ => Map::new(),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn an_entry_carries_the_run_in_its_detail() {
        let entry = serde_json::to_value(progress(&report(Some("# Fine")), "daily_triage"));
        let entry = entry.unwrap();
        assert_eq!(entry["event_type"], "daily_triage");
        assert_eq!(entry["summary"], "Daily triage: Fine");
        assert_eq!(
            entry["detail"]["activity_core_run_id"],
            "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f"
        );
        assert_eq!(entry["detail"]["report"], "# Fine");
        assert_eq!(entry["detail"]["scheduled_for"], "2026-11-23T23:30:00Z");
    }

    #[test]
    fn a_missing_setting_is_named() {
        let missing = progress_url(None).unwrap_err().to_string();
        assert!(missing.contains("STATE_HUB_URL"), "{missing}");
    }
}
