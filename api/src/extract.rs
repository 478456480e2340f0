//! What handlers take out of a request. Whatever does not fit is refused by a problem document that
//! names the field, parameter or header.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use domain::{ActivityId, RunId, object_name};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::IntoParams;

use crate::error::{Error, Refusal};
use crate::event_types::is_type_name;

/// The body, read as JSON.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        if !is_json(request.headers()) {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON; send the header Content-Type: application/json",
            )
            .about("Content-Type")
            .into());
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| unread(&rejection))?;
        Ok(Self(parse(&bytes)?))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence.to_ascii_lowercase().ends_with("+json")
}

fn unread(rejection: &BytesRejection) -> Refusal {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is larger than API_MAX_BODY_BYTES allows; send a smaller one",
        )
    } else {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "the body ended before all of it arrived",
        )
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    // Serde would read a body from a list of its fields as well, which the document does not say.
    if bytes.trim_ascii_start().starts_with(b"[") && serde_json::from_slice::<Value>(bytes).is_ok()
    {
        return Err(Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the body has the wrong form: it is a list, and must be an object",
        ));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        refuse(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| refuse(".", &error))?;
    Ok(value)
}

fn refuse(path: &str, error: &serde_json::Error) -> Refusal {
    if !error.is_data() {
        return Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("the body is not JSON: {error}"),
        );
    }
    let text = error.to_string();
    // The place in the text is of no use beside the field's name.
    let problem = text.split(" at line ").next().unwrap_or(&text);
    match field_of(path, problem) {
        Some(field) => Refusal::invalid(&field, problem),
        None => Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the body has the wrong form: {problem}"),
        ),
    }
}

/// The field that is wrong: the path, and the field that the problem itself names, where that one
/// is missing or unknown.
fn field_of(path: &str, problem: &str) -> Option<String> {
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| problem.strip_prefix(start)?.split('`').next());
    let path = if path == "." { None } else { Some(path) };
    match (path, named) {
        // The path may go as far as the unknown field already.
        (Some(path), Some(named)) if path.rsplit('.').next() == Some(named) => {
            Some(path.to_owned())
        }
        (Some(path), Some(named)) => Some(format!("{path}.{named}")),
        (Some(path), None) => Some(path.to_owned()),
        (None, named) => named.map(str::to_owned),
    }
}

/// The activity's id in the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ActivityIdPath(pub(crate) ActivityId);

impl<S: Send + Sync> FromRequestParts<S> for ActivityIdPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let text = path_segment(parts, state, "id").await?;
        match text.parse() {
            Ok(id) => Ok(Self(id)),
            Err(invalid) => Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                format!("id: {invalid}; GET /activity-definitions/ lists the ids"),
            )
            .about("id")
            .into()),
        }
    }
}

/// The activity's id and the run's id in the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ActivityRunPath {
    /// The activity.
    pub(crate) activity: ActivityId,
    /// The run.
    pub(crate) run: RunId,
}

impl<S: Send + Sync> FromRequestParts<S> for ActivityRunPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let segments = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((activity, run)) = segments.map_err(|rejection| {
            Refusal::new(StatusCode::BAD_REQUEST, rejection.body_text()).about("id")
        })?;
        Ok(Self {
            activity: parse_id("id", &activity)?,
            run: parse_id("run_id", &run)?,
        })
    }
}

fn parse_id<T>(name: &str, text: &str) -> Result<T, Refusal>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|invalid| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("{name}: {invalid}")).about(name)
    })
}

/// The run's id in the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunIdPath(pub(crate) RunId);

impl<S: Send + Sync> FromRequestParts<S> for RunIdPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let text = path_segment(parts, state, "run_id").await?;
        Ok(Self(parse_id("run_id", &text)?))
    }
}

/// The event type in the path, as the document describes it.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "read by utoipa only; see `EventTypeTarget`")]
pub(crate) struct EventTypePath {
    /// The type, for example user.created.
    #[param(
        min_length = 1,
        max_length = 253,
        pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
    )]
    name: String,
}

/// Where the event type is.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct NamespaceQuery {
    /// The Kubernetes namespace of the event type; API_NAMESPACE when left out.
    #[serde(default)]
    #[param(
        required = false,
        value_type = String,
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
    )]
    namespace: Option<String>,
}

/// The event type that a request is about.
#[derive(Debug)]
pub(crate) struct EventTypeTarget {
    /// The namespace that the caller asks for.
    pub(crate) namespace: Option<String>,
    /// The type.
    pub(crate) name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for EventTypeTarget {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let name = path_segment(parts, state, "name").await?;
        // Whatever is no name must not get into a request path.
        if !is_type_name(&name) {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                format!("name: \"{name}\" can't be the name of an event type"),
            )
            .about("name")
            .into());
        }
        let Parameters(query): Parameters<NamespaceQuery> =
            Parameters::from_request_parts(parts, state).await?;
        if let Some(namespace) = &query.namespace {
            namespace_name(namespace)?;
        }
        Ok(Self {
            namespace: query.namespace,
            name,
        })
    }
}

/// The name of a namespace, unless it can't be one, which must not get into a request path.
pub(crate) fn namespace_name(name: &str) -> Result<&str, Refusal> {
    if object_name::is_label(name) {
        return Ok(name);
    }
    Err(Refusal::new(
        StatusCode::BAD_REQUEST,
        format!("namespace: \"{name}\" can't be the name of a Kubernetes namespace"),
    )
    .about("namespace"))
}

async fn path_segment<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<String, Error> {
    match Path::<String>::from_request_parts(parts, state).await {
        Ok(Path(text)) => Ok(text),
        Err(rejection) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("{name}: {}", rejection.body_text()),
        )
        .about(name)
        .into()),
    }
}

/// The query's parameters.
#[derive(Debug)]
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => {
                Err(Refusal::new(StatusCode::BAD_REQUEST, rejection.body_text()).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::rest::NewActivityDefinition;

    use super::*;

    fn refusal(body: &str) -> Refusal {
        parse::<NewActivityDefinition>(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_wrong_form_is_refused_and_names_the_field() {
        for (body, field) in [
            (r#"{"trigger_config": {"trigger_type": "manual"}}"#, "name"),
            (r#"{"name": 1}"#, "name"),
            (r#"{"name": "x", "colour": "red"}"#, "colour"),
            (
                r#"{"name": "x", "trigger_config": {"trigger_type": "cron", "timezone": 5}}"#,
                "trigger_config.timezone",
            ),
            (
                r#"{"name": "x", "trigger_config": {"trigger_type": "cron"}}"#,
                "trigger_config.cron_expression",
            ),
            (
                r#"{"name": "x", "trigger_config": {"trigger_type": "daily"}}"#,
                "trigger_config.trigger_type",
            ),
            (
                r#"{"name": "x", "trigger_config": {"trigger_type": "manual", "cron": "x"}}"#,
                "trigger_config.cron",
            ),
        ] {
            let refused = refusal(body);
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
            assert_eq!(refused.field.as_deref(), Some(field), "{}", refused.detail);
            assert!(refused.detail.starts_with(field), "{}", refused.detail);
        }
    }

    #[test]
    fn what_is_no_json_is_a_bad_request() {
        for body in ["", "{", "name=x", r#"{"name": "x",}"#] {
            assert_eq!(refusal(body).status, StatusCode::BAD_REQUEST, "{body}");
        }
        for body in [
            "[]",
            "1",
            "null",
            r#"["x", true, {"trigger_type": "manual"}]"#,
        ] {
            let refused = refusal(body);
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        }
        let trailing = r#"{"name": "x", "trigger_config": {"trigger_type": "manual"}} {}"#;
        assert_eq!(refusal(trailing).status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn only_json_is_read() {
        let is_json = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            is_json(&headers)
        };
        assert!(is_json("application/json"));
        assert!(is_json("Application/JSON; charset=utf-8"));
        assert!(is_json("application/merge-patch+json"));
        assert!(!is_json("application/x-www-form-urlencoded"));
        assert!(!is_json("text/plain"));
    }
}
