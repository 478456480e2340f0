//! An instruction: fetch the context, render the prompt, ask the model, check and keep the answer.
//!
//! The answer is kept in Postgres before anything is done with it, and never goes through
//! Temporal's histories. A try that finds an answer of an earlier one asks nobody.

mod answer;
mod context;
mod endpoint;
mod prompt;

use std::time::{Duration, Instant};

use contracts::step::{InstructionReceipt, RunStart};
use domain::{Definition, Instruction, RunId};
use runtime::Backoff;
use sha2::{Digest as _, Sha256};
use store::InstructionUsage;

pub(crate) use context::ContextCalls;
pub(crate) use endpoint::ModelEndpoint;

use crate::error::StepError;
use crate::services::Services;
use endpoint::{Completion, Message};

/// The longest pause between two tries to keep an answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One run's instruction.
pub(crate) struct InstructionRun<'run> {
    /// What the process shares.
    pub(crate) services: &'run Services,
    /// The definition.
    pub(crate) definition: &'run Definition,
    /// The run.
    pub(crate) start: &'run RunStart,
    /// The run's id.
    pub(crate) run_id: RunId,
    /// The W3C trace context of outbound calls.
    pub(crate) traceparent: Option<String>,
}

/// What the answers of one try took, repair included.
#[derive(Debug, Default)]
struct Spent {
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl InstructionRun<'_> {
    /// Sees to it that the run's report is stored.
    pub(crate) async fn complete(&self) -> Result<InstructionReceipt, StepError> {
        if let Some(report) = self.services.store.report(self.run_id).await? {
            return Ok(receipt(&report, true));
        }
        let instruction = self
            .definition
            .instruction
            .as_ref()
            .ok_or(StepError::Changed("instruction"))?;
        let prompt = self.render(instruction).await?;
        let began = Instant::now();
        let mut spent = Spent::default();
        let (completion, report) = self.ask(instruction, &prompt, &mut spent).await?;
        let usage = InstructionUsage {
            model: completion
                .model
                .unwrap_or_else(|| instruction.model.clone()),
            prompt_sha256: hex::encode(Sha256::digest(prompt.as_bytes())),
            prompt_tokens: clamp(spent.prompt_tokens),
            completion_tokens: clamp(spent.completion_tokens),
            milliseconds: milliseconds(began.elapsed()),
        };
        self.keep(&usage, &report).await?;
        Ok(receipt(&report, false))
    }

    /// Stores the answer. It is paid for, so Postgres is given all the time that the step has
    /// before the answer is thrown away and asked for again.
    async fn keep(&self, usage: &InstructionUsage, report: &str) -> Result<(), StepError> {
        let mut backoff = Backoff::up_to(LONGEST_PAUSE);
        let store = &self.services.store;
        loop {
            match store.record_instruction(self.run_id, usage, report).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_permanent() => return Err(error.into()),
                Err(error) => {
                    let error = runtime::describe(&error);
                    tracing::warn!(run_id = %self.run_id, error, "unable to keep an answer yet");
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    async fn render(&self, instruction: &Instruction) -> Result<String, StepError> {
        let calls = ContextCalls {
            services: self.services,
            activity: self.definition.id,
            traceparent: self.traceparent.as_deref(),
            timeout: instruction.timeout,
        };
        let context = calls.fetch(&self.definition.context).await?;
        let values = prompt::values(self.definition, self.start, self.run_id, &context)?;
        instruction
            .prompt
            .render(&values)
            .map_err(StepError::Prompt)
    }

    /// Asks, and once more when the answer does not satisfy the schema.
    async fn ask(
        &self,
        instruction: &Instruction,
        prompt: &str,
        spent: &mut Spent,
    ) -> Result<(Completion, String), StepError> {
        let mut messages = prompt::messages(prompt, instruction.output_schema.as_ref());
        let first = self.complete_once(instruction, &messages, spent).await?;
        let problem = match answer::check(instruction.output_schema.as_ref(), &first.text) {
            Ok(report) => return Ok((first, report)),
            Err(problem) => problem,
        };
        tracing::info!(run_id = %self.run_id, problem, "the answer is to be repaired");
        messages.push(Message::assistant(first.text));
        messages.push(Message::user(prompt::repair(&problem)));
        let second = self.complete_once(instruction, &messages, spent).await?;
        match answer::check(instruction.output_schema.as_ref(), &second.text) {
            Ok(report) => Ok((second, report)),
            Err(problem) => Err(StepError::UnusableAnswer(format!(
                "does not satisfy instruction.outputSchema, and neither does its repair: {problem}"
            ))),
        }
    }

    async fn complete_once(
        &self,
        instruction: &Instruction,
        messages: &[Message],
        spent: &mut Spent,
    ) -> Result<Completion, StepError> {
        let model_endpoint = self.services.settings.model.as_ref();
        let model_endpoint = model_endpoint.ok_or(StepError::NotConfigured {
            variable: "OPENAI_BASE_URL",
            needed_for: "an instruction",
        })?;
        let question = endpoint::Question {
            instruction,
            messages,
            run_id: self.run_id,
            traceparent: self.traceparent.as_deref(),
        };
        let answer = model_endpoint.ask(&self.services.egress, &question).await?;
        let usage = endpoint::usage(&answer);
        // Counted before the answer is judged: a useless one costs as much.
        spent.prompt_tokens += usage.prompt_tokens;
        spent.completion_tokens += usage.completion_tokens;
        self.services
            .metrics
            .count_tokens(usage.prompt_tokens, usage.completion_tokens);
        endpoint::read(&answer, instruction.maximum_tokens)
    }
}

fn receipt(report: &str, from_earlier_try: bool) -> InstructionReceipt {
    InstructionReceipt {
        report_bytes: report.len() as u64,
        from_earlier_try,
    }
}

fn clamp(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
