//! Conditions: when their status last changed is kept here, for every kind.

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;

/// An instant as Kubernetes writes it.
fn time(instant: DateTime<Utc>) -> Time {
    // Both libraries count seconds from the same epoch, and ours is within the other's range.
    Time(Timestamp::from_second(instant.timestamp()).unwrap_or_default())
}

/// A condition of type `kind` with this status, reason and message. Its transition time is the one
/// before as long as the status is the same.
pub(crate) fn condition<'before>(
    mut before: impl Iterator<Item = &'before Condition>,
    kind: &str,
    (status, reason, message): (&str, &str, String),
    (object, now): (&ObjectMeta, DateTime<Utc>),
) -> Condition {
    let since = before
        .find(|condition| condition.type_ == kind && condition.status == status)
        .map(|condition| condition.last_transition_time.clone());
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: object.generation,
        last_transition_time: since.unwrap_or_else(|| time(now)),
    }
}
