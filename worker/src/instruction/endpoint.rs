//! An OpenAI-compatible endpoint: `POST /chat/completions`.

use domain::{Instruction, OutputSchema, RunId};
use runtime::Secret;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use crate::egress::{Call, Egress, endpoint};
use crate::error::StepError;

/// Where models are asked.
#[derive(Debug, Clone)]
pub(crate) struct ModelEndpoint {
    /// The base URL, version included.
    pub(crate) base: Url,
    /// The key, if one is needed.
    pub(crate) key: Option<Secret>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Message {
    role: &'static str,
    pub(super) content: String,
}

impl Message {
    pub(super) const fn system(content: String) -> Self {
        Self {
            role: "system",
            content,
        }
    }

    pub(super) const fn user(content: String) -> Self {
        Self {
            role: "user",
            content,
        }
    }

    pub(super) const fn assistant(content: String) -> Self {
        Self {
            role: "assistant",
            content,
        }
    }
}

/// What is asked.
pub(super) struct Question<'question> {
    /// The instruction: model, token budget, time.
    pub(super) instruction: &'question Instruction,
    /// The conversation so far.
    pub(super) messages: &'question [Message],
    /// The run.
    pub(super) run_id: RunId,
    /// The W3C trace context.
    pub(super) traceparent: Option<&'question str>,
}

/// A usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Completion {
    /// What the model says.
    pub(super) text: String,
    /// The model that says it, if the endpoint tells.
    pub(super) model: Option<String>,
}

/// The tokens that an answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt_tokens: u64,
    pub(super) completion_tokens: u64,
}

impl ModelEndpoint {
    /// Asks once, and returns the answer as it came. An endpoint that refuses the response
    /// format is asked without it: the conversation tells the schema in words as well.
    pub(super) async fn ask(
        &self,
        egress: &Egress,
        question: &Question<'_>,
    ) -> Result<Value, StepError> {
        let Some(schema) = &question.instruction.output_schema else {
            return self.post(egress, question, question.body()).await;
        };
        let mut body = question.body();
        body["response_format"] = response_format(schema);
        match self.post(egress, question, body).await {
            Err(StepError::Call { source, .. }) if source.is_about_the_body() => {
                tracing::info!(
                    run_id = %question.run_id, error = runtime::describe(&source),
                    "asking again without a response format"
                );
                self.post(egress, question, question.body()).await
            }
            answered => answered,
        }
    }

    async fn post(
        &self,
        egress: &Egress,
        question: &Question<'_>,
        body: Value,
    ) -> Result<Value, StepError> {
        // The number of messages tells the question from its repair.
        let idempotency_key = format!("{}/{}", question.run_id, question.messages.len());
        let mut call = Call::post(
            endpoint(&self.base, "chat/completions"),
            question.instruction.timeout,
            &body,
        );
        call.idempotency_key = Some(&idempotency_key);
        call.traceparent = question.traceparent;
        call.bearer = self.key.as_ref();
        let answer = egress.send(call).await;
        answer
            .and_then(|answer| answer.json())
            .map_err(StepError::call("ask the model"))
    }
}

impl Question<'_> {
    fn body(&self) -> Value {
        json!({
            "model": self.instruction.model,
            "messages": self.messages,
            "max_tokens": self.instruction.maximum_tokens,
            "stream": false,
        })
    }
}

fn response_format(schema: &OutputSchema) -> Value {
    json!({
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema.as_json()},
    })
}

/// The tokens that an answer says it took; none where it does not say.
pub(super) fn usage(answer: &Value) -> Usage {
    let count = |name: &str| answer["usage"][name].as_u64().unwrap_or_default();
    Usage {
        prompt_tokens: count("prompt_tokens"),
        completion_tokens: count("completion_tokens"),
    }
}

/// Judges an answer: it must have come to its end within the token budget.
pub(super) fn read(answer: &Value, maximum_tokens: u32) -> Result<Completion, StepError> {
    let choice = &answer["choices"][0];
    let message = &choice["message"];
    if let Some(refusal) = message["refusal"].as_str().filter(|text| !text.is_empty()) {
        return Err(StepError::UnusableAnswer(format!(
            "is a refusal: {refusal}"
        )));
    }
    match choice["finish_reason"].as_str() {
        Some("stop") | None => {}
        Some("length") => {
            return Err(StepError::UnusableAnswer(format!(
                "was cut off at instruction.maxTokens ({maximum_tokens}); raise it or ask for less"
            )));
        }
        Some(other) => {
            return Err(StepError::UnusableAnswer(format!(
                "did not come to its end: finish_reason is {other}"
            )));
        }
    }
    let used = usage(answer).completion_tokens;
    if used > u64::from(maximum_tokens) {
        return Err(StepError::UnusableAnswer(format!(
            "took {used} tokens, more than instruction.maxTokens ({maximum_tokens})"
        )));
    }
    let text = message["content"].as_str().unwrap_or_default();
    if text.trim().is_empty() {
        return Err(StepError::EmptyAnswer);
    }
    Ok(Completion {
        text: text.to_owned(),
        model: answer["model"].as_str().map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(finish_reason: &str, content: &str, completion_tokens: u64) -> Value {
        json!({
            "model": "model-1",
            "choices": [{"finish_reason": finish_reason, "message": {"content": content}}],
            "usage": {"prompt_tokens": 12, "completion_tokens": completion_tokens},
        })
    }

    fn refusal(answer: &Value) -> String {
        let error = read(answer, 100).unwrap_err();
        assert!(error.is_permanent());
        error.to_string()
    }

    #[test]
    fn an_answer_that_came_to_its_end_is_taken() {
        let completion = read(&answer("stop", "fine", 5), 100).unwrap();
        assert_eq!(completion.text, "fine");
        assert_eq!(completion.model.as_deref(), Some("model-1"));
        assert_eq!(usage(&answer("stop", "fine", 5)).prompt_tokens, 12);
    }

    #[test]
    fn the_token_budget_is_enforced() {
        assert!(refusal(&answer("length", "fi", 100)).contains("maxTokens (100)"));
        assert!(refusal(&answer("stop", "fine", 101)).contains("took 101 tokens"));
    }

    #[test]
    fn what_is_no_answer_says_so() {
        assert!(refusal(&answer("content_filter", "", 0)).contains("content_filter"));
        let refused = json!({"choices": [{"message": {"refusal": "I can't."}}]});
        assert!(refusal(&refused).contains("I can't."));
    }

    #[test]
    fn an_empty_answer_may_be_asked_for_again() {
        assert!(
            !read(&answer("stop", " ", 0), 100)
                .unwrap_err()
                .is_permanent()
        );
        assert!(!read(&json!({}), 100).unwrap_err().is_permanent());
    }
}
