//! Whether an answer is what was asked for.

use domain::OutputSchema;
use serde_json::Value;

/// The report in an answer: the answer itself, or, where there is a schema, its JSON. The error
/// says what is wrong in words that the model can act on.
pub(super) fn check(schema: Option<&OutputSchema>, answer: &str) -> Result<String, String> {
    let Some(schema) = schema else {
        return Ok(storable(answer.trim()));
    };
    let json = without_fence(answer);
    let value: Value =
        serde_json::from_str(json).map_err(|error| format!("it is not JSON: {error}"))?;
    schema.check(&value)?;
    Ok(storable(json))
}

/// The text inside a Markdown code fence, if the answer is nothing but one: models like to wrap
/// JSON even when asked not to.
fn without_fence(answer: &str) -> &str {
    let answer = answer.trim();
    let fenced = answer
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"))
        .and_then(|rest| rest.split_once('\n'));
    match fenced {
        Some((_language, inside)) => inside.trim(),
        None => answer,
    }
}

/// Postgres has no place for the character NUL in a text.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> OutputSchema {
        OutputSchema::compile(json!({"type": "object", "required": ["items"]})).unwrap()
    }

    #[test]
    fn without_a_schema_any_text_will_do() {
        assert_eq!(check(None, " fine\0\n").unwrap(), "fine\u{fffd}");
    }

    #[test]
    fn a_schema_is_held_against_the_json_inside_a_fence() {
        let fenced = "```json\n{\"items\": []}\n```\n";
        assert_eq!(check(Some(&schema()), fenced).unwrap(), "{\"items\": []}");
        assert!(check(Some(&schema()), "{\"items\": []}").is_ok());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let missing = check(Some(&schema()), "{}").unwrap_err();
        assert!(missing.contains("items"), "{missing}");
        let text = check(Some(&schema()), "Sorry, no.").unwrap_err();
        assert!(text.contains("not JSON"), "{text}");
    }
}
