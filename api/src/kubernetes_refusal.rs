//! What a caller is told when Kubernetes refuses: its own words where the request is at fault, with
//! the fields named as this API names them; a hint where the installation is.

use axum::http::StatusCode;
use domain::InvalidDefinition;
use kube::core::Status;

use crate::error::Refusal;

/// How the fields of the custom resource's spec are called in this API's bodies.
const FIELDS: [(&str, &str); 9] = [
    ("trigger.cron.expression", "trigger_config.cron_expression"),
    ("trigger.cron.timezone", "trigger_config.timezone"),
    (
        "trigger.cron.misfirePolicy",
        "trigger_config.misfire_policy",
    ),
    ("trigger.event.eventType", "trigger_config.event_type"),
    ("trigger.event.filters", "trigger_config.filters"),
    ("filters", "trigger_config.filters"),
    ("displayName", "name"),
    ("description", "description"),
    ("schema", "schema"),
];

/// What precedes a webhook's own words.
const WEBHOOK_DENIED: &str = "denied the request: ";

/// The refusal of a definition that is not valid.
pub(crate) fn of_definition(invalid: &InvalidDefinition) -> Refusal {
    of_text(&invalid.to_string())
}

/// A refusal whose text begins with a field of the spec.
fn of_text(text: &str) -> Refusal {
    let named = FIELDS.iter().find_map(|(spec, field)| {
        let problem = text.strip_prefix(spec)?.strip_prefix(": ")?;
        Some(Refusal::invalid(field, problem))
    });
    named.unwrap_or_else(|| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, text))
}

/// The refusal for a failed call.
pub(crate) fn of(error: &kube::Error) -> Refusal {
    match error {
        kube::Error::Api(status) => of_status(status),
        _ => unreachable(),
    }
}

/// The refusal when Kubernetes does not answer.
pub(crate) fn unreachable() -> Refusal {
    Refusal::unavailable("Kubernetes does not answer; try again in a moment")
}

fn of_status(status: &Status) -> Refusal {
    if let Some((_, words)) = status.message.split_once(WEBHOOK_DENIED) {
        return of_text(words.strip_prefix("spec.").unwrap_or(words));
    }
    match status.code {
        400 => Refusal::new(StatusCode::BAD_REQUEST, rename(&status.message)),
        422 => of_invalid(status),
        409 => Refusal::new(
            StatusCode::CONFLICT,
            "somebody else changes the definition at the same time; GET it and try again",
        ),
        404 => Refusal::unavailable(
            "Kubernetes does not know the namespace or the activity-core.io custom resources; \
             apply the CRDs and create the namespace (API_NAMESPACE)",
        ),
        401 | 403 => Refusal::unavailable(
            "Kubernetes does not let this API do its work; check the role of the service account \
             that it runs as, and whether the namespace is being deleted",
        ),
        _ => unreachable(),
    }
}

/// What the schema or a CEL rule of the custom resource says.
fn of_invalid(status: &Status) -> Refusal {
    let causes = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .filter(|cause| !cause.field.is_empty());
    let mut field = None;
    let mut sentences = Vec::new();
    for cause in causes {
        field = field.or_else(|| rest_field(&cause.field));
        sentences.push(rename(&format!("{}: {}", cause.field, cause.message)));
    }
    if sentences.is_empty() {
        sentences.push(rename(&status.message));
    }
    let refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, sentences.join("; "));
    match field {
        Some(field) => refusal.about(field),
        None => refusal,
    }
}

fn rest_field(path: &str) -> Option<&'static str> {
    let path = path.strip_prefix("spec.")?;
    FIELDS
        .iter()
        .find_map(|(spec, field)| (*spec == path).then_some(*field))
}

fn rename(text: &str) -> String {
    FIELDS.iter().fold(text.to_owned(), |text, (spec, field)| {
        text.replace(&format!("spec.{spec}"), field)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(status: serde_json::Value) -> Refusal {
        of_status(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn a_field_of_the_spec_is_named_as_the_body_names_it() {
        let refused = of_text("trigger.cron.expression: \"61 * * * *\" has a wrong minute");
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(
            refused.field.as_deref(),
            Some("trigger_config.cron_expression")
        );
        assert_eq!(
            refused.detail,
            "trigger_config.cron_expression: \"61 * * * *\" has a wrong minute"
        );
    }

    #[test]
    fn the_api_servers_own_refusal_is_passed_on() {
        let refused = refusal(json!({
            "code": 422, "reason": "Invalid",
            "message": "ActivityDefinition.activity-core.io \"x\" is invalid",
            "details": {"causes": [{
                "reason": "FieldValueInvalid",
                "field": "spec.trigger.event.eventType",
                "message": "Invalid value: \"a b\": spec.trigger.event.eventType in body should match '^[A-Z]$'",
            }]},
        }));
        assert_eq!(refused.field.as_deref(), Some("trigger_config.event_type"));
        assert_eq!(
            refused.detail,
            "trigger_config.event_type: Invalid value: \"a b\": trigger_config.event_type in body \
             should match '^[A-Z]$'"
        );
    }

    #[test]
    fn a_webhooks_words_are_passed_on() {
        let refused = refusal(json!({
            "code": 403,
            "message": "admission webhook \"validate.activity-core.io\" denied the request: \
                        spec.trigger.cron.timezone: unknown time zone \"Mars\"",
        }));
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(refused.field.as_deref(), Some("trigger_config.timezone"));
    }

    #[test]
    fn what_the_installation_lacks_is_no_fault_of_the_caller() {
        for code in [401, 403, 404, 429, 500, 503] {
            let refused = refusal(json!({
                "code": code,
                "message": "User \"system:serviceaccount:secret\" cannot create",
            }));
            assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{code}");
            assert!(!refused.detail.contains("secret"), "{}", refused.detail);
        }
    }
}
