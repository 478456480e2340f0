//! A webhook: the report as a CloudEvent 1.0 in structured mode.
//!
//! A webhook can't be asked whether it knows the run. What stands in for the look is the event's
//! id, which is the run's, and the idempotency key: a receiver that sees one of them again drops
//! the event. Where the definition names a secret, the request is signed, and the same key is its
//! `webhook-id`.

use chrono::Utc;
use contracts::workflow::format_time;
use domain::SecretReference;
use runtime::Secret;
use serde_json::{Value, json};

use super::signature::SigningKeys;
use super::{Delivered, ReportDelivery};
use crate::egress::{Body, Call};
use crate::error::StepError;
use crate::report::Report;

/// The type of the event.
const EVENT_TYPE: &str = "io.activity-core.report";

/// The media type of CloudEvents 1.0, JSON format, structured mode.
const CONTENT_TYPE: &str = "application/cloudevents+json";

pub(super) async fn deliver(
    delivery: &ReportDelivery<'_>,
    url: &str,
    signing_secret: Option<&SecretReference>,
) -> Result<Delivered, StepError> {
    let url = url
        .parse()
        .map_err(|_| StepError::InvalidUrl("webhook.url"))?;
    let idempotency_key = delivery.idempotency_key();
    let mut call = Call::get(url, delivery.timeout());
    let text = event(delivery.report, delivery.traceparent).to_string();
    if let Some(reference) = signing_secret {
        let secret = delivery.services.secrets.read(reference).await?;
        let keys = SigningKeys::parse(&secret).map_err(|source| StepError::SigningSecret {
            reference: reference.to_string(),
            source,
        })?;
        call.headers = keys
            .headers(&idempotency_key, Utc::now(), &text)
            .map(|(name, value)| (name.to_owned(), Secret::new(&value)))
            .into();
    }
    call.body = Some(Body {
        content_type: CONTENT_TYPE,
        text,
    });
    call.idempotency_key = Some(&idempotency_key);
    call.traceparent = delivery.traceparent;
    let answer = delivery.services.egress.send(call).await;
    answer.map_err(StepError::call("post the report to the webhook"))?;
    Ok(Delivered::now(None))
}

fn event(report: &Report, traceparent: Option<&str>) -> Value {
    let mut event = json!({
        "specversion": "1.0",
        "id": report.run_id.as_uuid(),
        "type": EVENT_TYPE,
        "source": format!("/activities/{}", report.activity),
        "subject": report.activity_name,
        "time": format_time(report.fired_at),
        "datacontenttype": "application/json",
        "data": {
            "activity_core_run_id": report.run_id.as_uuid(),
            "activity_id": report.activity.as_uuid(),
            "activity_name": report.activity_name,
            "scheduled_for": report.scheduled_for.map(format_time),
            "trigger": report.trigger,
            "model": report.model,
            "summary": report.summary(),
            "report": report.text,
        },
    });
    if let Some(traceparent) = traceparent {
        event["traceparent"] = traceparent.into();
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn the_event_is_one_that_our_own_router_reads() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-9d2f3a1b2c4d5e6f-01";
        let event = event(&report(Some("Fine")), Some(trace));
        let read =
            contracts::event::parse(event.to_string().as_bytes(), chrono::DateTime::UNIX_EPOCH)
                .unwrap();
        assert_eq!(read.event_id, "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f");
        assert_eq!(read.event_type, "io.activity-core.report");
        assert_eq!(
            read.trace_id.as_deref(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        assert_eq!(read.payload["report"], "Fine");
        assert_eq!(
            read.payload["activity_core_run_id"],
            "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f"
        );
    }
}
