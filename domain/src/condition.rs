//! Conditions on events, written in the Common Expression Language.
//!
//! An expression sees `payload` (the event's payload) and `event` (`event_id`, `type`, `source`,
//! `subject`, `trace_id`), and must answer true or false.

use std::sync::Arc;

use cel::{Context, Program, Value};
use serde_json::json;

use crate::Event;

/// The longest expression that is accepted, in bytes: a bound on what parsing may cost.
const MAXIMUM_LENGTH: usize = 4096;

/// The names that an expression may refer to.
const VARIABLES: [&str; 2] = ["event", "payload"];

/// An expression that is refused when it is declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCondition {
    /// Longer than the limit.
    #[error("condition: {length} bytes long; at most {MAXIMUM_LENGTH} are accepted")]
    TooLong {
        /// The length in bytes.
        length: usize,
    },
    /// No CEL.
    #[error("condition: not a CEL expression: {0}")]
    Syntax(String),
    /// Refers to a variable that does not exist.
    #[error("condition: unknown name \"{0}\"; an expression sees \"payload\" and \"event\"")]
    UnknownVariable(String),
    /// Calls a function that does not exist.
    #[error("condition: unknown function \"{0}\"")]
    UnknownFunction(String),
    /// Can never answer true or false.
    #[error("condition: answers {0} instead of true or false")]
    NotBoolean(String),
}

/// An accepted condition. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CelCondition {
    source: String,
    program: Arc<Program>,
}

impl PartialEq for CelCondition {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl CelCondition {
    /// Compiles an expression and refuses what could only fail later: unknown names, unknown
    /// functions, and constants that are no truth value.
    pub fn compile(source: &str) -> Result<Self, InvalidCondition> {
        if source.len() > MAXIMUM_LENGTH {
            return Err(InvalidCondition::TooLong {
                length: source.len(),
            });
        }
        let program = Program::compile(source)
            .map_err(|error| InvalidCondition::Syntax(error.to_string()))?;
        let references = program.references();
        if let Some(name) = references
            .variables()
            .into_iter()
            .find(|name| !VARIABLES.contains(name))
        {
            return Err(InvalidCondition::UnknownVariable(name.to_owned()));
        }
        let constant = references.variables().is_empty();
        let condition = Self {
            source: source.to_owned(),
            program: Arc::new(program),
        };
        if constant {
            condition.check_constant()?;
        }
        Ok(condition)
    }

    /// Whether the event satisfies the condition. An error is the reason why it can't be told,
    /// such as a key that the payload lacks; it is never to be taken for `false`.
    pub fn evaluate(&self, event: &Event) -> Result<bool, String> {
        let mut context = Context::default();
        let about = json!({
            "event_id": event.event_id,
            "type": event.event_type,
            "source": event.source,
            "subject": event.subject,
            "trace_id": event.trace_id,
        });
        context
            .add_variable("event", about)
            .map_err(|error| error.to_string())?;
        context
            .add_variable("payload", event.payload.clone())
            .map_err(|error| error.to_string())?;
        match self.program.execute(&context) {
            Ok(Value::Bool(truth)) => Ok(truth),
            Ok(other) => Err(format!("answers {other:?} instead of true or false")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    fn check_constant(&self) -> Result<(), InvalidCondition> {
        match self.program.execute(&Context::default()) {
            Ok(Value::Bool(_)) => Ok(()),
            Ok(other) => Err(InvalidCondition::NotBoolean(format!("{other:?}"))),
            Err(error) => Err(InvalidCondition::Syntax(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn event(payload: serde_json::Value) -> Event {
        Event {
            event_id: "1".into(),
            event_type: "user.created".into(),
            source: "user-service".into(),
            occurred_at: DateTime::UNIX_EPOCH,
            subject: Some("user/42".into()),
            trace_id: None,
            payload,
        }
    }

    fn evaluate(source: &str, payload: serde_json::Value) -> Result<bool, String> {
        CelCondition::compile(source)
            .unwrap()
            .evaluate(&event(payload))
    }

    #[test]
    fn sees_the_payload_and_the_event() {
        let payload = json!({"tier": "pro", "seats": 12});
        assert_eq!(
            evaluate(
                "payload.tier == 'pro' && payload.seats > 10",
                payload.clone()
            ),
            Ok(true)
        );
        assert_eq!(
            evaluate("event.subject.startsWith('user/')", payload),
            Ok(true)
        );
    }

    #[test]
    fn a_missing_key_is_an_error_and_not_false() {
        assert!(evaluate("payload.tier == 'pro'", json!({})).is_err());
        assert_eq!(evaluate("has(payload.tier)", json!({})), Ok(false));
    }

    #[test]
    fn refuses_what_could_only_fail_later() {
        assert!(matches!(
            CelCondition::compile("payload.tier =="),
            Err(InvalidCondition::Syntax(_))
        ));
        assert_eq!(
            CelCondition::compile("playload.tier == 'pro'").unwrap_err(),
            InvalidCondition::UnknownVariable("playload".into())
        );
        assert!(matches!(
            CelCondition::compile("'pro'"),
            Err(InvalidCondition::NotBoolean(_))
        ));
        assert!(matches!(
            CelCondition::compile(&"true || ".repeat(1000)),
            Err(InvalidCondition::TooLong { .. })
        ));
    }

    #[test]
    fn an_answer_that_is_no_truth_value_is_an_error() {
        assert!(evaluate("payload.tier", json!({"tier": "pro"})).is_err());
    }
}
