//! ETag and If-Match: whether an object is still what the caller last saw.

use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, StatusCode};
use kube::api::ObjectMeta;

use crate::error::Refusal;

/// The entity tag of an object. It is made of the object's UID and the generation of its spec,
/// not of the resource version: that one changes with every status that the operator writes, and
/// nothing of the status is in our answers.
pub(crate) fn of(metadata: &ObjectMeta) -> String {
    format!(
        "\"{}.{}\"",
        metadata.uid.as_deref().unwrap_or_default(),
        metadata.generation.unwrap_or_default()
    )
}

/// The condition that a caller puts on a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// None.
    Anything,
    /// The object must have one of these entity tags.
    OneOf(Vec<String>),
}

impl IfMatch {
    /// The condition of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut tags = Vec::new();
        for value in headers.get_all(IF_MATCH) {
            let list = String::from_utf8_lossy(value.as_bytes());
            tags.extend(list.split(',').map(|tag| tag.trim().to_owned()));
        }
        // `*` asks only that there is something, which is looked for anyway.
        if tags.is_empty() || tags.iter().any(|tag| tag == "*") {
            Self::Anything
        } else {
            Self::OneOf(tags)
        }
    }

    /// Whether the caller set a condition.
    pub(crate) const fn is_set(&self) -> bool {
        matches!(self, Self::OneOf(_))
    }

    /// Refuses when the object is not what the caller last saw.
    pub(crate) fn check(&self, metadata: &ObjectMeta) -> Result<(), Refusal> {
        let current = of(metadata);
        match self {
            Self::OneOf(tags) if !tags.contains(&current) => Err(Refusal::new(
                StatusCode::PRECONDITION_FAILED,
                format!(
                    "it has changed since you read it: its ETag is {current} now; GET \
                     it again and repeat the request with that If-Match"
                ),
            )
            .about("If-Match")),
            Self::OneOf(_) | Self::Anything => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn object(generation: i64) -> ObjectMeta {
        ObjectMeta {
            uid: Some("u".into()),
            generation: Some(generation),
            ..ObjectMeta::default()
        }
    }

    fn condition(values: &[&'static str]) -> IfMatch {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_MATCH, HeaderValue::from_static(value));
        }
        IfMatch::of(&headers)
    }

    #[test]
    fn a_changed_definition_is_not_overwritten() {
        assert!(condition(&["\"u.1\""]).check(&object(1)).is_ok());
        let refused = condition(&["\"u.1\""]).check(&object(2)).unwrap_err();
        assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED);
        assert!(refused.detail.contains("\"u.2\""), "{}", refused.detail);
    }

    #[test]
    fn lists_stars_and_weak_tags_are_understood() {
        assert!(condition(&[]).check(&object(1)).is_ok());
        assert!(condition(&["*"]).check(&object(1)).is_ok());
        assert!(condition(&["\"x\", \"u.1\""]).check(&object(1)).is_ok());
        assert!(condition(&["\"x\"", "\"u.1\""]).check(&object(1)).is_ok());
        // If-Match compares strongly (RFC 9110, section 13.1.1).
        assert!(condition(&["W/\"u.1\""]).check(&object(1)).is_err());
    }
}
