//! `actcore dlq redrive` and `discard`: what takes dead letters off their stream.
//!
//! A dead letter is deleted only when NATS has the event again. If the command is broken off
//! between the two, the event comes once more, which starts nothing twice.

use std::io::{BufRead as _, IsTerminal as _};

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Stream;
use contracts::names;
use contracts::workflow::format_time;
use serde::Serialize;

use super::letter::{Letter, Original};
use super::{SelectionArguments, find, read};
use crate::connections::answer;
use crate::exit::{Exit, Problem};
use crate::nats::{self, SYSTEM, Stored};
use crate::output::{self, Format};

/// What is done with dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Redrive,
    Discard,
}

impl Action {
    const fn verb(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Discard => "discard",
        }
    }
}

/// What became of one dead letter, in the shape that `-o json` promises.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    sequence: u64,
    reason: String,
    event_type: Option<String>,
    event_id: Option<String>,
    original_subject: String,
    /// `redriven`, `discarded`, `failed`, or with `--dry-run` `wouldRedrive`, `wouldDiscard`.
    result: &'static str,
    /// The event's new sequence, when it was redriven.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Carries out `actcore dlq redrive`.
pub(super) async fn redrive(selection: SelectionArguments) -> anyhow::Result<Exit> {
    resolve(&selection, Action::Redrive).await
}

/// Carries out `actcore dlq discard`.
pub(super) async fn discard(selection: SelectionArguments) -> anyhow::Result<Exit> {
    resolve(&selection, Action::Discard).await
}

async fn resolve(selection: &SelectionArguments, action: Action) -> anyhow::Result<Exit> {
    let jetstream = nats::open(&selection.nats).await?;
    let stream = nats::stream(&jetstream, names::DEAD_LETTER_STREAM).await?;
    let mut letters = if selection.all {
        read(&stream, &selection.filter).await?
    } else {
        let mut named = Vec::new();
        for sequence in &selection.sequences {
            named.push(find(&stream, *sequence).await?);
        }
        named
    };
    // In the order in which they came, as far as that is known.
    letters.sort_by_key(|letter| (letter.original.sequence, letter.sequence));
    letters.dedup_by_key(|letter| letter.sequence);
    let needs_consent = selection.all || action == Action::Discard;
    if !selection.dry_run && needs_consent && !selection.yes && !letters.is_empty() {
        agree(action, letters.len()).await?;
    }
    let resolver = Resolver { jetstream, stream };
    let mut lines = Vec::new();
    let mut exit = Ok(Exit::Done);
    for letter in &letters {
        let line = if selection.dry_run {
            Ok(line(letter, action_planned(action)))
        } else {
            resolver.carry_out(letter, action).await
        };
        match line {
            Ok(line) => {
                if line.error.is_some() {
                    exit = Ok(Exit::Failed);
                }
                lines.push(line);
            }
            // NATS is away: what was done is shown all the same.
            Err(problem) => {
                exit = Err(problem.into());
                break;
            }
        }
    }
    print(&lines, selection.output.output)?;
    exit
}

const fn action_planned(action: Action) -> &'static str {
    match action {
        Action::Redrive => "wouldRedrive",
        Action::Discard => "wouldDiscard",
    }
}

fn line(letter: &Letter, result: &'static str) -> Line {
    let event = letter.event.as_ref();
    Line {
        sequence: letter.sequence,
        reason: letter.reason.clone(),
        event_type: event.map(|event| event.event_type.clone()),
        event_id: event.map(|event| event.event_id.clone()),
        original_subject: letter.original.subject.clone(),
        result,
        new_sequence: None,
        error: None,
    }
}

fn print(lines: &[Line], format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::json(&lines),
        Format::Yaml => output::yaml(&lines),
        Format::Table if lines.is_empty() => {
            output::note("no dead letters");
            Ok(())
        }
        Format::Table => {
            let rows = lines.iter().map(|line| {
                let what = match (&line.error, line.new_sequence) {
                    (Some(error), _) => format!("failed: {error}"),
                    (None, Some(sequence)) => format!("redriven as {sequence}"),
                    (None, None) => match line.result {
                        "wouldRedrive" => "would be redriven".to_owned(),
                        "wouldDiscard" => "would be discarded".to_owned(),
                        other => other.to_owned(),
                    },
                };
                vec![
                    line.sequence.to_string(),
                    line.reason.clone(),
                    line.event_type.clone().unwrap_or_else(|| "-".to_owned()),
                    line.event_id.clone().unwrap_or_else(|| "-".to_owned()),
                    what,
                ]
            });
            let headers = ["SEQUENCE", "REASON", "TYPE", "EVENT ID", "RESULT"];
            Ok(output::table(&headers, rows.collect())?)
        }
    }
}

/// Asks at the terminal; without one, `--yes` is asked for.
async fn agree(action: Action, count: usize) -> anyhow::Result<()> {
    let letters = if count == 1 {
        "1 dead letter".to_owned()
    } else {
        format!("{count} dead letters")
    };
    let verb = action.verb();
    if !std::io::stdin().is_terminal() {
        return Err(Problem::usage(format!(
            "this would {verb} {letters}; add --yes to do it, or --dry-run to see them"
        ))
        .into());
    }
    eprint!("{verb} {letters}? [y/N] ");
    let answered = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let answered = answered.await??;
    if matches!(answered.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Problem::usage("nothing was done").into())
    }
}

/// Takes dead letters off their stream.
struct Resolver {
    jetstream: jetstream::Context,
    /// The dead letters.
    stream: Stream,
}

impl Resolver {
    async fn carry_out(&self, letter: &Letter, action: Action) -> Result<Line, Problem> {
        let mut done = match action {
            Action::Discard => line(letter, "discarded"),
            Action::Redrive => {
                let event = match self.event(letter).await? {
                    Ok(event) => event,
                    Err(error) => {
                        let error = Some(error);
                        return Ok(Line {
                            error,
                            ..line(letter, "failed")
                        });
                    }
                };
                let sequence = self.publish(letter, event).await?;
                let new_sequence = Some(sequence);
                Line {
                    new_sequence,
                    ..line(letter, "redriven")
                }
            }
        };
        let deleting = self.stream.delete_message(letter.sequence);
        if let Err(problem) = answer(SYSTEM, deleting).await {
            // Somebody else may have taken it off meanwhile.
            if nats::message(&self.stream, letter.sequence)
                .await?
                .is_some()
            {
                done.error = Some(format!("the dead letter stays: {problem}"));
            }
        }
        Ok(done)
    }

    /// The event's headers and body; the inner error says why there is nothing to publish.
    async fn event(&self, letter: &Letter) -> Result<Result<Event, String>, Problem> {
        let Original {
            subject, sequence, ..
        } = &letter.original;
        if subject.is_empty() {
            return Ok(Err("it does not say which subject it came on".to_owned()));
        }
        if !letter.body_omitted {
            return Ok(Ok(Event {
                headers: letter.headers.clone(),
                body: letter.body.clone(),
            }));
        }
        let Some(sequence) = sequence else {
            return Ok(Err("it does not say where its event is".to_owned()));
        };
        let events = nats::stream(&self.jetstream, names::EVENT_STREAM).await?;
        let found = nats::message(&events, *sequence).await?;
        // A stream that was made anew has another event at this place.
        let is_original =
            |stored: &Stored| stored.subject == *subject && stored.at <= letter.stored_at;
        Ok(match found.filter(is_original) {
            Some(stored) => Ok(Event {
                headers: stored
                    .headers
                    .into_iter()
                    .filter(|(name, _)| !name.to_ascii_lowercase().starts_with("nats-"))
                    .collect(),
                body: stored.body,
            }),
            None => Err(format!(
                "its event was too large to be kept with it, and is no longer at {sequence} of {}",
                names::EVENT_STREAM
            )),
        })
    }

    /// Publishes the event and waits until NATS has it. Returns its new sequence.
    async fn publish(&self, letter: &Letter, event: Event) -> Result<u64, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in event.headers {
            headers.append(name, value);
        }
        // With the publisher's own id the event would be taken for the one that has come before,
        // and be swallowed. With this one a second try is taken for the first.
        let id = format!(
            "redrive/{}/{}/{}",
            names::DEAD_LETTER_STREAM,
            letter.sequence,
            format_time(letter.at)
        );
        let message = PublishMessage::build()
            .payload(event.body.into())
            .headers(headers)
            .message_id(id)
            .expected_stream(names::EVENT_STREAM);
        let subject = letter.original.subject.clone();
        let receipt = answer(SYSTEM, self.jetstream.send_publish(subject, message)).await?;
        let receipt = answer(SYSTEM, std::future::IntoFuture::into_future(receipt)).await?;
        Ok(receipt.sequence)
    }
}

/// What is published anew.
struct Event {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}
