//! Why a step of a run did not succeed, and whether it is of use to try again.

use domain::InvalidDefinition;
use temporalio_sdk::activities::ActivityError;
use temporalio_sdk::error::ApplicationFailure;

use crate::egress;
use crate::sinks::InvalidSecret;

/// The longest error text that goes into the ledger or into Temporal, in characters.
const LONGEST_TEXT: usize = 2000;

/// A failed step.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("the definition was deleted")]
    DefinitionDeleted,
    #[error("the definition is invalid")]
    InvalidDefinition(#[source] InvalidDefinition),
    #[error("the workflow's input is of no use")]
    InvalidStart(#[source] contracts::workflow::NoNominalTime),
    #[error("the definition has no {0} any more; it was changed during the run")]
    Changed(&'static str),
    #[error("the ledger has no row of the run; it must have been removed by hand")]
    NoRow,
    #[error("{variable} is not set, but {needed_for} needs it")]
    NotConfigured {
        variable: &'static str,
        needed_for: &'static str,
    },
    #[error("failed to {action}")]
    Call {
        action: &'static str,
        #[source]
        source: egress::Error,
    },
    #[error("{0} is no URL")]
    InvalidUrl(&'static str),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("context[{name}] can't be had")]
    Context {
        name: String,
        #[source]
        source: Box<StepError>,
    },
    #[error("instruction.prompt can't be rendered: {0}")]
    Prompt(String),
    #[error("the model's answer {0}")]
    UnusableAnswer(String),
    #[error("the model's answer is empty")]
    EmptyAnswer,
    #[error("tasks[{index}] of the answer {problem}")]
    InvalidTask { index: usize, problem: &'static str },
    #[error("the answer has {count} tasks; at most {maximum} are filed")]
    TooManyTasks { count: usize, maximum: usize },
    #[error("failed to {action} {file}")]
    File {
        action: &'static str,
        file: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{file} is there already, and is not the report of this run; move it away")]
    ForeignFile { file: String },
    #[error("workingMemory.prefix: \"{0}\" may only hold letters, digits, dots, dashes and _")]
    InvalidPrefix(String),
    #[error("the secret {reference} can't be read below SECRETS_DIR")]
    SecretFile {
        reference: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the secret {reference} can't sign")]
    SigningSecret {
        reference: String,
        #[source]
        source: InvalidSecret,
    },
    #[error("failed to {action} {object}")]
    Object {
        action: &'static str,
        object: String,
        #[source]
        source: object_store::Error,
    },
    #[error("not done within {seconds} s")]
    TimedOut { seconds: u64 },
    #[error("a task of this process ended early")]
    Interrupted(#[source] tokio::task::JoinError),
}

impl StepError {
    /// Names what was to be done by a call.
    pub(crate) const fn call(action: &'static str) -> impl Fn(egress::Error) -> Self {
        move |source| Self::Call { action, source }
    }

    /// Whether trying the same again is of no use.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::DefinitionDeleted
            | Self::InvalidDefinition(_)
            | Self::InvalidStart(_)
            | Self::Changed(_)
            | Self::NoRow
            | Self::NotConfigured { .. }
            | Self::InvalidUrl(_)
            | Self::Prompt(_)
            | Self::UnusableAnswer(_)
            | Self::InvalidTask { .. }
            | Self::TooManyTasks { .. }
            | Self::ForeignFile { .. }
            | Self::InvalidPrefix(_) => true,
            Self::Object { source, .. } => is_refusal(source),
            Self::Call { source, .. } => source.is_permanent(),
            Self::Store(error) => error.is_permanent(),
            Self::Context { source, .. } => source.is_permanent(),
            Self::EmptyAnswer
            | Self::File { .. }
            // A Secret that was just made or put right takes a moment to arrive.
            | Self::SecretFile { .. }
            | Self::SigningSecret { .. }
            | Self::TimedOut { .. }
            | Self::Interrupted(_) => false,
        }
    }

    /// The error's type, as Temporal shows it.
    const fn type_name(&self) -> &'static str {
        match self {
            Self::DefinitionDeleted => "DefinitionDeleted",
            Self::InvalidDefinition(_) | Self::Changed(_) | Self::InvalidPrefix(_) => {
                "InvalidDefinition"
            }
            Self::InvalidStart(_) => "InvalidInput",
            Self::NotConfigured { .. } => "NotConfigured",
            Self::Call { .. } | Self::InvalidUrl(_) => "Call",
            Self::NoRow | Self::Store(_) => "Postgres",
            Self::Context { .. } => "Context",
            Self::Prompt(_) => "Prompt",
            Self::UnusableAnswer(_) | Self::EmptyAnswer => "Answer",
            Self::InvalidTask { .. } | Self::TooManyTasks { .. } => "Tasks",
            Self::File { .. } | Self::ForeignFile { .. } | Self::Object { .. } => "File",
            Self::SecretFile { .. } | Self::SigningSecret { .. } => "Secret",
            Self::TimedOut { .. } => "TimedOut",
            Self::Interrupted(_) => "Interrupted",
        }
    }

    /// The error with its causes, fit for the ledger.
    pub(crate) fn text(&self) -> String {
        printable(&runtime::describe(self), LONGEST_TEXT)
    }

    /// The error as Temporal takes it.
    pub(crate) fn into_failure(self) -> ActivityError {
        ActivityError::application(
            ApplicationFailure::builder(self.text())
                .type_name(self.type_name().to_owned())
                .non_retryable(self.is_permanent())
                .build(),
        )
    }
}

/// Whether an object store understood a request and refuses it: no such bucket, no permission.
const fn is_refusal(error: &object_store::Error) -> bool {
    use object_store::Error;
    matches!(
        error,
        Error::NotFound { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
    )
}

/// A text that Postgres and Temporal take: of bounded length and without the character NUL.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    let mut characters = text.chars().map(|character| match character {
        '\0' => '\u{fffd}',
        other => other,
    });
    let mut shown: String = characters.by_ref().take(limit).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_holds_no_nul() {
        assert_eq!(printable("über", 4), "über");
        assert_eq!(printable("übertrieben", 4), "über…");
        assert_eq!(printable("a\0b", 10), "a\u{fffd}b");
    }

    #[test]
    fn an_error_shows_its_causes() {
        let error = StepError::Context {
            name: "hub".to_owned(),
            source: Box::new(StepError::NotConfigured {
                variable: "STATE_HUB_URL",
                needed_for: "State Hub context",
            }),
        };
        assert!(error.is_permanent());
        assert_eq!(
            error.text(),
            "context[hub] can't be had: STATE_HUB_URL is not set, but State Hub context needs it"
        );
    }
}
