//! `actcore feedback`: what people say about a run's report.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use contracts::rest;
use contracts::workflow::format_time;
use domain::{ActivityId, FeedbackKind, RunId};
use runtime::postgres::PostgresArguments;
use serde::Serialize;
use store::Entered;
use uuid::Uuid;

use crate::api::ApiArguments;
use crate::connections::answer;
use crate::exit::{Exit, Problem};
use crate::history::History;
use crate::output::{self, Format, OutputArguments};

/// The longest comment, in characters, as the ledger has it.
const LONGEST_COMMENT: usize = 4000;

/// The options of `actcore feedback`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    about = "Says what is wrong with a run's report; nobody is paged for it",
    long_about = "\
Says what is wrong with the report of a run that is otherwise in order. It becomes a progress note
in State Hub, for the next tuning of the prompt, and never a page. The same feedback given twice is
one.

It is entered in the ledger in Postgres (ACTCORE_DB_URL), else through the REST API (API_URL), which
also knows who says so.",
    after_help = "\
Examples:
  # The report recommends what nobody needs to do
  actcore feedback 0f5c63b1-6a5e-5b6c-9d2f-3a1b2c4d5e6f --kind noisy

  # In your own words
  actcore feedback 0f5c63b1-6a5e-5b6c-9d2f-3a1b2c4d5e6f --kind other \\
    --comment 'Three of the five recommendations were parked on purpose.'

  # What was said about it?
  actcore feedback list 0f5c63b1-6a5e-5b6c-9d2f-3a1b2c4d5e6f

Exit codes: 0 done, 1 refused, 2 a system could not be reached, 3 usage or no such run."
)]
pub(crate) struct FeedbackArguments {
    /// The run (activity_core_run_id).
    #[arg(value_name = "RUN_ID", required = true)]
    run: Option<RunId>,

    /// What is wrong with the report.
    #[arg(long, value_enum, required = true)]
    kind: Option<Kind>,

    /// The same in your words, up to 4000 characters; needed with --kind other.
    #[arg(long, value_name = "TEXT", value_parser = parse_comment)]
    comment: Option<String>,

    #[command(flatten)]
    place: PlaceArguments,

    #[command(subcommand)]
    command: Option<FeedbackCommand>,
}

#[derive(Debug, Subcommand)]
enum FeedbackCommand {
    /// Lists what was said about a run, the oldest first.
    List(ListArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  actcore feedback list 0f5c63b1-6a5e-5b6c-9d2f-3a1b2c4d5e6f

Exit codes: 0 done, 2 a system could not be reached, 3 usage or no such run.")]
struct ListArguments {
    /// The run (activity_core_run_id).
    #[arg(value_name = "RUN_ID")]
    run: RunId,

    #[command(flatten)]
    place: PlaceArguments,
}

/// Where feedback is kept, and how it is shown.
#[derive(Debug, Args)]
struct PlaceArguments {
    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    postgres: PostgresArguments,

    #[command(flatten)]
    api: ApiArguments,
}

/// What can be wrong with a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// It recommends what nobody needs to do.
    Noisy,
    /// It says too much.
    TooLong,
    /// It leaves out what should have been told.
    UnderSensitive,
    /// Something else; the comment says what.
    Other,
}

impl From<Kind> for FeedbackKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Noisy => Self::Noisy,
            Kind::TooLong => Self::TooLong,
            Kind::UnderSensitive => Self::UnderSensitive,
            Kind::Other => Self::Other,
        }
    }
}

fn parse_comment(text: &str) -> Result<String, String> {
    let length = text.trim().chars().count();
    if (1..=LONGEST_COMMENT).contains(&length) {
        Ok(text.trim().to_owned())
    } else {
        Err(format!("write 1 to {LONGEST_COMMENT} characters"))
    }
}

/// One feedback, in the shape that `-o json` promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct FeedbackView {
    id: Uuid,
    run_id: Uuid,
    kind: String,
    comment: Option<String>,
    author: Option<String>,
    created_at: DateTime<Utc>,
    /// When State Hub had the note.
    note_sent_at: Option<DateTime<Utc>>,
    /// Why the last try to send it failed.
    note_error: Option<String>,
}

impl From<store::Feedback> for FeedbackView {
    fn from(feedback: store::Feedback) -> Self {
        Self {
            id: feedback.id,
            run_id: feedback.run.as_uuid(),
            kind: feedback.kind.as_str().to_owned(),
            comment: feedback.comment,
            author: feedback.author,
            created_at: feedback.created_at,
            note_sent_at: feedback.note_sent_at,
            note_error: feedback.note_error,
        }
    }
}

impl From<rest::Feedback> for FeedbackView {
    fn from(feedback: rest::Feedback) -> Self {
        Self {
            id: feedback.id,
            run_id: feedback.run_id,
            kind: FeedbackKind::from(feedback.kind).as_str().to_owned(),
            comment: feedback.comment,
            author: feedback.author,
            created_at: feedback.created_at,
            note_sent_at: feedback.note_sent_at,
            note_error: feedback.note_error,
        }
    }
}

/// What somebody says.
struct Said {
    run: RunId,
    kind: FeedbackKind,
    comment: Option<String>,
}

impl Said {
    /// The idempotency key: the same said twice has the same.
    fn key(&self) -> Uuid {
        let comment = self.comment.as_deref().unwrap_or_default();
        let name = format!("{}/{comment}", self.kind);
        Uuid::new_v5(&self.run.as_uuid(), name.as_bytes())
    }

    /// The identity that the REST API gives to feedback with this key, so that it is one by
    /// whichever way it comes.
    fn id(&self) -> Uuid {
        let name = format!("feedback/{}", self.key());
        Uuid::new_v5(&self.run.as_uuid(), name.as_bytes())
    }
}

/// Carries out `actcore feedback`.
pub(crate) async fn run(arguments: FeedbackArguments) -> anyhow::Result<Exit> {
    let (Some(run), Some(kind)) = (arguments.run, arguments.kind) else {
        return match arguments.command {
            Some(FeedbackCommand::List(arguments)) => list(&arguments).await,
            None => Err(Problem::usage("say which run: RUN_ID").into()),
        };
    };
    if kind == Kind::Other && arguments.comment.is_none() {
        return Err(Problem::usage("--kind other needs a --comment that says what").into());
    }
    let place = &arguments.place;
    let history = History::open(&place.postgres, &place.api).await?;
    let said = Said {
        run,
        kind: kind.into(),
        comment: arguments.comment,
    };
    let feedback = say(&history, said).await?;
    match place.output.output {
        Format::Json => output::json(&feedback)?,
        Format::Yaml => output::yaml(&feedback)?,
        Format::Table => output::line(format!(
            "entered: the report of run {run} is {}",
            FeedbackKind::from(kind).in_words()
        ))?,
    }
    Ok(Exit::Done)
}

async fn say(history: &History, said: Said) -> Result<FeedbackView, Problem> {
    let activity = activity_of(history, said.run).await?;
    let (key, id) = (said.key(), said.id());
    match history {
        History::Ledger(store) => {
            let new = store::NewFeedback {
                id,
                run: said.run,
                kind: said.kind,
                comment: said.comment,
                author: None,
            };
            let entered = answer("Postgres", store.enter_feedback(&new)).await?;
            let (Entered::New(feedback) | Entered::Before(feedback)) = entered;
            Ok(feedback.into())
        }
        History::Api(api) => {
            let new = rest::NewFeedback {
                kind: said.kind.into(),
                comment: said.comment,
            };
            let feedback = api.give_feedback((activity, said.run), &new, key).await?;
            Ok(feedback.into())
        }
    }
}

/// The activity of a run that the ledger has.
async fn activity_of(history: &History, run: RunId) -> Result<ActivityId, Problem> {
    let evidence = history.run(run).await?;
    let evidence = evidence.ok_or_else(|| {
        Problem::usage(format!(
            "the ledger has no run {run}; `actcore runs NAME` lists them"
        ))
    })?;
    Ok(ActivityId::new(evidence.run.activity_id))
}

async fn list(arguments: &ListArguments) -> anyhow::Result<Exit> {
    let place = &arguments.place;
    let history = History::open(&place.postgres, &place.api).await?;
    let activity = activity_of(&history, arguments.run).await?;
    let views: Vec<FeedbackView> = match &history {
        History::Ledger(store) => {
            let feedback = answer("Postgres", store.feedback(arguments.run)).await?;
            feedback.into_iter().map(FeedbackView::from).collect()
        }
        History::Api(api) => {
            let listed = api.feedback(activity, arguments.run).await?;
            listed.items.into_iter().map(FeedbackView::from).collect()
        }
    };
    match place.output.output {
        Format::Json => output::json(&views)?,
        Format::Yaml => output::yaml(&views)?,
        Format::Table => {
            let rows = views.iter().map(row);
            output::table(
                &["GIVEN AT", "KIND", "BY", "IN STATE HUB", "COMMENT"],
                rows.collect(),
            )?;
        }
    }
    Ok(Exit::Done)
}

fn row(feedback: &FeedbackView) -> Vec<String> {
    let in_state_hub = match (&feedback.note_sent_at, &feedback.note_error) {
        (Some(sent), _) => format_time(*sent),
        (None, Some(error)) => format!("not yet: {}", output::shortened(error, 60)),
        (None, None) => "not yet".to_owned(),
    };
    vec![
        format_time(feedback.created_at),
        feedback.kind.clone(),
        feedback.author.clone().unwrap_or_else(|| "-".to_owned()),
        in_state_hub,
        output::shortened(feedback.comment.as_deref().unwrap_or("-"), 80),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_said_twice_is_one_and_anything_else_is_another() {
        let said = |kind, comment: Option<&str>| {
            let comment = comment.map(str::to_owned);
            let run = RunId::new(Uuid::nil());
            Said { run, kind, comment }.id()
        };
        let noisy = said(FeedbackKind::Noisy, None);
        assert_eq!(noisy, said(FeedbackKind::Noisy, None));
        assert_ne!(noisy, said(FeedbackKind::TooLong, None));
        assert_ne!(noisy, said(FeedbackKind::Noisy, Some("very")));
    }
}
