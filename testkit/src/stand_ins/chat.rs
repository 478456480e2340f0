//! An OpenAI-compatible `POST /v1/chat/completions` that answers the same to the same question.
//!
//! A word counts as a token, in the question as in the answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::schema_example::example;
use super::traffic::lock;
use super::{Served, Traffic};

/// The only key that is accepted.
pub const API_KEY: &str = "stand-in-key";

/// How many words of the question the answer repeats.
const REPEATED_WORDS: usize = 40;

#[derive(Debug, Deserialize)]
struct Question {
    model: String,
    messages: Vec<Message>,
    max_tokens: Option<usize>,
    /// The newer name of the same.
    max_completion_tokens: Option<usize>,
    response_format: Option<ResponseFormat>,
    #[serde(default)]
    stream: bool,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: String,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormat {
    Text,
    JsonObject,
    JsonSchema { json_schema: NamedSchema },
}

#[derive(Debug, Deserialize)]
struct NamedSchema {
    schema: Value,
}

type Scripted = Arc<Mutex<VecDeque<String>>>;

/// A running stand-in of a language model.
#[derive(Debug)]
pub struct Chat {
    served: Served,
    scripted: Scripted,
}

impl Chat {
    pub(super) async fn start() -> Result<Self> {
        let scripted = Scripted::default();
        let routes = Router::new()
            .route("/v1/chat/completions", post(complete))
            .with_state(scripted.clone());
        Ok(Self {
            served: Served::start("the language model", routes).await?,
            scripted,
        })
    }

    /// As `OPENAI_BASE_URL` wants it, with `/v1`.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.served.url)
    }

    /// What it was sent, and how it is told to misbehave.
    pub fn traffic(&self) -> &Traffic {
        &self.served.traffic
    }

    /// Answers the next question with exactly this, in the order in which answers were given.
    pub fn answer_next(&self, answer: impl Into<String>) {
        lock(&self.scripted).push_back(answer.into());
    }
}

async fn complete(State(scripted): State<Scripted>, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if key.and_then(|value| value.strip_prefix("Bearer ")) != Some(API_KEY) {
        return refuse(
            StatusCode::UNAUTHORIZED,
            "invalid_api_key",
            "Incorrect API key provided",
        );
    }
    let question: Question = match serde_json::from_slice(&body) {
        Ok(question) => question,
        Err(error) => return invalid(&error.to_string()),
    };
    if question.messages.is_empty() {
        return invalid("messages is empty");
    }
    if question.stream {
        return invalid("the stand-in does not stream");
    }
    let answer = lock(&scripted)
        .pop_front()
        .unwrap_or_else(|| answer(&question));
    Json(completion(&question, &answer)).into_response()
}

fn completion(question: &Question, answer: &str) -> Value {
    let limit = question
        .max_completion_tokens
        .or(question.max_tokens)
        .unwrap_or(usize::MAX);
    let words = answer.split_whitespace().count();
    let (content, finish_reason) = if words > limit {
        (first_words(answer, limit), "length")
    } else {
        (answer.to_owned(), "stop")
    };
    let asked: usize = question
        .messages
        .iter()
        .map(|message| message.content.split_whitespace().count())
        .sum();
    let answered = words.min(limit);
    json!({
        "id": format!("chatcmpl-{}", Uuid::new_v4().simple()),
        "object": "chat.completion",
        "created": Utc::now().timestamp(),
        "model": question.model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": content },
            "finish_reason": finish_reason,
        }],
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": answered,
            "total_tokens": asked + answered,
        },
    })
}

/// The same for the same question: it repeats its beginning, in the form that was asked for.
fn answer(question: &Question) -> String {
    let asked = question
        .messages
        .iter()
        .rev()
        .find(|message| message.role == "user");
    let asked = asked.map_or("", |message| message.content.as_str());
    let repeated = first_words(asked, REPEATED_WORDS);
    match &question.response_format {
        None | Some(ResponseFormat::Text) => {
            format!("# Report of {}\n\nYou asked: {repeated}\n", question.model)
        }
        Some(ResponseFormat::JsonObject) => json!({ "answer": repeated }).to_string(),
        Some(ResponseFormat::JsonSchema { json_schema }) => {
            example(&json_schema.schema, &repeated).to_string()
        }
    }
}

fn first_words(text: &str, count: usize) -> String {
    text.split_whitespace()
        .take(count)
        .collect::<Vec<_>>()
        .join(" ")
}

fn invalid(message: &str) -> Response {
    refuse(StatusCode::BAD_REQUEST, "invalid_request_error", message)
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let error = json!({ "message": message, "type": "invalid_request_error", "code": code });
    (status, Json(json!({ "error": error }))).into_response()
}
