//! Conditions on events, written in the Common Expression Language.
//!
//! An expression sees `payload` (the event's payload) and `event` (`event_id`, `type`, `source`,
//! `subject`, `trace_id`), and must answer true or false.
//!
//! Whoever writes one shares the router with others, so it is bounded in every direction: its
//! length, how deep it is nested (the stack), and how many steps it may take on an event.

mod shape;

use std::sync::Arc;

use cel::parser::PrattParser;
use cel::{Context, IdedExpr, Value};
use serde_json::json;

use self::shape::Shape;
use crate::Event;

/// The longest expression that is accepted, in bytes: a bound on what parsing may cost.
const MAXIMUM_LENGTH: usize = 4096;

/// How deep an expression may be nested; parsing and evaluating take stack for each level.
const MAXIMUM_DEPTH: u16 = 64;

/// How many steps an evaluation may take: some seconds at the very worst, and never seen.
const MAXIMUM_STEPS: usize = 100_000_000;

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
    /// Nested deeper than the limit.
    #[error(
        "condition: nested {depth} levels deep; at most {MAXIMUM_DEPTH} are accepted, so take it \
         apart with && or filters"
    )]
    TooDeep {
        /// The levels.
        depth: usize,
    },
    /// Refers to a variable that does not exist.
    #[error("condition: unknown name \"{0}\"; an expression sees \"payload\" and \"event\"")]
    UnknownVariable(String),
    /// Loops over what it lists itself for too long.
    #[error("condition: {0}")]
    TooCostly(String),
    /// Can never answer true or false.
    #[error("condition: answers {0} instead of true or false")]
    NotBoolean(String),
}

/// An accepted condition. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CelCondition {
    source: String,
    expression: Arc<IdedExpr>,
    shape: Arc<Shape>,
}

impl PartialEq for CelCondition {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl CelCondition {
    /// Compiles an expression and refuses what could only fail later: unknown names, and constants
    /// that are no truth value.
    pub fn compile(source: &str) -> Result<Self, InvalidCondition> {
        if source.len() > MAXIMUM_LENGTH {
            return Err(InvalidCondition::TooLong {
                length: source.len(),
            });
        }
        let expression = PrattParser::new()
            .max_recursion_depth(MAXIMUM_DEPTH)
            .parse(source)
            .map_err(|error| InvalidCondition::Syntax(error.to_string()))?;
        let shape = Shape::of(&expression);
        if shape.depth > MAXIMUM_DEPTH.into() {
            return Err(InvalidCondition::TooDeep { depth: shape.depth });
        }
        let unknown = |name: &&String| !VARIABLES.contains(&name.as_str());
        if let Some(name) = shape.names.iter().find(unknown) {
            return Err(InvalidCondition::UnknownVariable(name.clone()));
        }
        let constant = shape.names.is_empty();
        let condition = Self {
            source: source.to_owned(),
            expression: Arc::new(expression),
            shape: Arc::new(shape),
        };
        if constant {
            condition.check_constant()?;
        }
        Ok(condition)
    }

    /// Whether the event satisfies the condition. An error is the reason why it can't be told,
    /// such as a key that the payload lacks; it is never to be taken for `false`.
    pub fn evaluate(&self, event: &Event) -> Result<bool, String> {
        self.check_steps(&event.payload)?;
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
        match Value::resolve(&self.expression, &context) {
            Ok(Value::Bool(truth)) => Ok(truth),
            Ok(other) => Err(format!("answers {other:?} instead of true or false")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    fn check_steps(&self, payload: &serde_json::Value) -> Result<(), String> {
        let steps = self.shape.steps(payload);
        if steps > MAXIMUM_STEPS {
            return Err(format!(
                "{} loops inside of each other may take {steps} steps; at most {MAXIMUM_STEPS} are \
                 taken",
                self.shape.loops
            ));
        }
        Ok(())
    }

    fn check_constant(&self) -> Result<(), InvalidCondition> {
        self.check_steps(&serde_json::Value::Null)
            .map_err(InvalidCondition::TooCostly)?;
        match Value::resolve(&self.expression, &Context::default()) {
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
    fn a_loop_sees_its_own_variable() {
        let payload = json!({"items": [{"tags": ["a", "vip"]}, {"tags": []}]});
        let nested = "payload.items.exists(item, item.tags.exists(tag, tag == 'vip'))";
        assert_eq!(evaluate(nested, payload.clone()), Ok(true));
        let all = "payload.items.all(item, size(item.tags) > 0)";
        assert_eq!(evaluate(all, payload), Ok(false));
        assert_eq!(
            CelCondition::compile("payload.items.exists(item, item == 1) && item").unwrap_err(),
            InvalidCondition::UnknownVariable("item".into())
        );
    }

    #[test]
    fn no_expression_takes_the_stack_or_the_time_of_others() {
        let nested = |open: &str, close: &str| {
            let (open, close) = (open.repeat(500), close.repeat(500));
            CelCondition::compile(&format!("{open}payload.a{close} == 1"))
        };
        for refused in [nested("[", "]"), nested("", ".a"), nested("-(", ")")] {
            assert!(refused.is_err(), "{refused:?}");
        }
        // Parentheses leave nothing behind.
        assert!(nested("(", ")").is_ok());
        for unfinished in ["(".repeat(4000), "true ? ".repeat(500), "-".repeat(4000)] {
            assert!(CelCondition::compile(&unfinished).is_err());
        }
        // As deep as people write.
        let deep = format!("{}payload.a == 1{}", "(".repeat(10), ")".repeat(10));
        assert_eq!(evaluate(&deep, json!({"a": 1})), Ok(true));

        let cubic = "payload.a.all(x, payload.a.all(y, payload.a.all(z, x + y + z > 0)))";
        let many: Vec<u32> = (1..=100_000).collect();
        let refused = evaluate(cubic, json!({"a": many})).unwrap_err();
        assert!(refused.contains("steps"), "{refused}");
        assert_eq!(evaluate(cubic, json!({"a": [1, 2, 3]})), Ok(true));
        let list = format!("[{}1]", "1,".repeat(500));
        let constant = format!("{list}.all(x, {list}.all(y, {list}.all(z, x + y + z > 0)))");
        let refused = CelCondition::compile(&constant).unwrap_err();
        assert!(
            matches!(refused, InvalidCondition::TooCostly(_)),
            "{refused}"
        );
        let linear = "payload.a.all(x, x > 0)";
        assert_eq!(evaluate(linear, json!({"a": many})), Ok(true));
    }

    #[test]
    fn an_answer_that_is_no_truth_value_is_an_error() {
        assert!(evaluate("payload.tier", json!({"tier": "pro"})).is_err());
    }
}
