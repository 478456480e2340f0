//! Prompts and the shape of their answers.
//!
//! A prompt is a Jinja template (the dialect of the `minijinja` crate). It sees `activity`
//! (`id`, `name`), `run` (`id`, `scheduled_for`, `date`), `trigger` (`kind`), `event` (for event
//! runs: `event_id`, `type`, `source`, `subject`, `payload`) and `context` (each declared source
//! by its name). An unknown name is an error, never an empty text.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

/// Steps of template evaluation that one prompt may take; a loop over the largest context that
/// is accepted stays far below.
const FUEL: u64 = 1_000_000;

/// The names that a template may refer to.
const VARIABLES: [&str; 5] = ["activity", "context", "event", "run", "trigger"];

const TEMPLATE_NAME: &str = "prompt";

/// A prompt or schema that is refused when it is declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrompt {
    /// No valid template.
    #[error("instruction.prompt: not a template: {0}")]
    Syntax(String),
    /// Refers to a name that does not exist.
    #[error(
        "instruction.prompt: unknown name \"{0}\"; a prompt sees activity, context, event, run \
         and trigger"
    )]
    UnknownName(String),
    /// Refers to a context source that is not declared.
    #[error(
        "instruction.prompt: context.{0} is used, but no context source is named \"{0}\"; \
         declare it under spec.context"
    )]
    UnknownContext(String),
    /// No JSON Schema.
    #[error("instruction.outputSchema: not a JSON Schema: {0}")]
    Schema(String),
}

/// An accepted prompt template. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PromptTemplate {
    source: String,
    environment: Arc<Environment<'static>>,
}

impl PartialEq for PromptTemplate {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl PromptTemplate {
    /// Compiles a template and checks every name in it against what a prompt can see and against
    /// the declared context sources.
    pub fn compile(source: &str, context_names: &BTreeSet<String>) -> Result<Self, InvalidPrompt> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment
            .add_template_owned(TEMPLATE_NAME, source.to_owned())
            .map_err(|error| InvalidPrompt::Syntax(error.to_string()))?;
        let template = environment
            .get_template(TEMPLATE_NAME)
            .map_err(|error| InvalidPrompt::Syntax(error.to_string()))?;
        for name in template.undeclared_variables(true) {
            check_name(&name, context_names, &environment)?;
        }
        Ok(Self {
            source: source.to_owned(),
            environment: Arc::new(environment),
        })
    }

    /// Renders the prompt. An error names what the template asked for and did not find.
    pub fn render(&self, values: &Value) -> Result<String, String> {
        self.environment
            .get_template(TEMPLATE_NAME)
            .and_then(|template| template.render(minijinja::value::Serde(values)))
            .map_err(|error| format!("{error:#}"))
    }

    /// The template as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

fn check_name(
    name: &str,
    context_names: &BTreeSet<String>,
    environment: &Environment<'_>,
) -> Result<(), InvalidPrompt> {
    let (root, rest) = name
        .split_once('.')
        .map_or((name, None), |(root, rest)| (root, Some(rest)));
    if environment.globals().any(|(global, _)| global == root) {
        return Ok(());
    }
    if !VARIABLES.contains(&root) {
        return Err(InvalidPrompt::UnknownName(root.to_owned()));
    }
    let source = rest.and_then(|rest| rest.split('.').next());
    match source {
        Some(source) if root == "context" && !context_names.contains(source) => {
            Err(InvalidPrompt::UnknownContext(source.to_owned()))
        }
        _ => Ok(()),
    }
}

/// The JSON Schema that an instruction's output must satisfy. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OutputSchema {
    schema: Value,
    validator: Arc<jsonschema::Validator>,
}

impl PartialEq for OutputSchema {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
    }
}

impl OutputSchema {
    /// Compiles a schema. References to other documents are refused: checking an answer must not
    /// need the network.
    pub fn compile(schema: Value) -> Result<Self, InvalidPrompt> {
        let validator = jsonschema::validator_for(&schema)
            .map_err(|error| InvalidPrompt::Schema(error.to_string()))?;
        Ok(Self {
            schema,
            validator: Arc::new(validator),
        })
    }

    /// Checks an answer; the error lists at most three violations with their places.
    pub fn check(&self, answer: &Value) -> Result<(), String> {
        let violations: Vec<String> = self
            .validator
            .iter_errors(answer)
            .take(3)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        if violations.is_empty() {
            Ok(())
        } else {
            Err(violations.join("; "))
        }
    }

    /// The schema as it was declared.
    pub const fn as_json(&self) -> &Value {
        &self.schema
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compile(source: &str) -> Result<PromptTemplate, InvalidPrompt> {
        PromptTemplate::compile(source, &["hub".to_owned()].into())
    }

    #[test]
    fn renders_what_a_prompt_can_see() {
        let prompt = compile("Triage for {{ run.date }}: {{ context.hub | tojson }}").unwrap();
        let values = json!({"run": {"date": "2026-11-24"}, "context": {"hub": ["a"]}});
        assert_eq!(
            prompt.render(&values).unwrap(),
            "Triage for 2026-11-24: [\"a\"]"
        );
    }

    #[test]
    fn an_unknown_name_is_refused_when_declared() {
        assert_eq!(
            compile("{{ rum.date }}"),
            Err(InvalidPrompt::UnknownName("rum".into()))
        );
        assert_eq!(
            compile("{{ context.hubb }}"),
            Err(InvalidPrompt::UnknownContext("hubb".into()))
        );
        assert!(matches!(
            compile("{{ run.date"),
            Err(InvalidPrompt::Syntax(_))
        ));
    }

    #[test]
    fn names_bound_by_the_template_itself_are_known() {
        assert!(
            compile("{% for item in context.hub %}{{ item }}{{ loop.index }}{% endfor %}").is_ok()
        );
        assert!(compile("{% for i in range(3) %}{{ i }}{% endfor %}").is_ok());
    }

    #[test]
    fn a_missing_value_is_an_error_and_not_an_empty_text() {
        let prompt = compile("{{ event.payload.name }}").unwrap();
        assert!(prompt.render(&json!({"event": {"payload": {}}})).is_err());
    }

    #[test]
    fn a_template_that_never_ends_is_stopped() {
        let prompt = compile(
            "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
        );
        assert!(prompt.unwrap().render(&json!({})).is_err());
    }

    #[test]
    fn an_answer_is_held_to_its_schema() {
        let schema = json!({"type": "object", "required": ["items"]});
        let schema = OutputSchema::compile(schema).unwrap();
        assert!(schema.check(&json!({"items": []})).is_ok());
        assert!(schema.check(&json!({})).unwrap_err().contains("items"));
        assert!(OutputSchema::compile(json!({"type": "objekt"})).is_err());
    }
}
