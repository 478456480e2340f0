//! `actcore dlq`: the events that could not be routed, and what becomes of them.

mod letter;
mod resolve;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::stream::Stream;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use contracts::dead_letter::Reason;
use contracts::names;
use contracts::workflow::format_time;
use runtime::nats::NatsArguments;

use crate::exit::{Exit, Problem};
use crate::moment;
use crate::nats::{self, Reader};
use crate::output::{self, Format, OutputArguments};
use letter::{Filter, Letter, LetterView};

/// The options of `actcore dlq`.
#[derive(Debug, Args)]
#[command(
    about = "Lists dead letters, and sends them on their way again",
    long_about = "\
Events that could not be routed are put aside on the stream ACTIVITY_DLQ, each with its reason. They
stay there until somebody sends them on their way again or discards them. NATS_URL says where NATS
is."
)]
pub(crate) struct DlqArguments {
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Debug, Subcommand)]
enum DlqCommand {
    /// Lists dead letters, the oldest first.
    List(ListArguments),

    /// Shows one dead letter with its headers and the event as it came.
    Show(ShowArguments),

    Redrive(RedriveArguments),

    /// Deletes dead letters for good.
    Discard(DiscardArguments),
}

/// Which dead letters are meant.
#[derive(Debug, Clone, Args)]
struct FilterArguments {
    /// Only those with this reason; may be given several times.
    #[arg(long = "reason", value_name = "REASON", value_parser = parse_reason)]
    reasons: Vec<Reason>,

    /// Only events of this type; may be given several times. An event that can't be read has none.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,

    /// Only those put aside since then: an instant, a day, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    since: Option<DateTime<Utc>>,
}

fn parse_reason(text: &str) -> Result<Reason, String> {
    text.parse().map_err(|_| {
        let names: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        format!("write one of {}", names.join(", "))
    })
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  actcore dlq list

  # How many of each reason today?
  actcore dlq list --since 24h -o json | jq -r '.[].reason' | sort | uniq -c

Exit codes: 0 done, 2 a system could not be reached, 3 usage.")]
struct ListArguments {
    #[command(flatten)]
    filter: FilterArguments,

    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    nats: NatsArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  actcore dlq show 17

Exit codes: 0 done, 2 a system could not be reached, 3 usage or no such dead letter.")]
struct ShowArguments {
    /// The dead letter's sequence, as `list` shows it.
    sequence: u64,

    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    nats: NatsArguments,
}

/// Which dead letters something is done with.
#[derive(Debug, Args)]
struct SelectionArguments {
    /// The sequences of the dead letters, as `list` shows them.
    #[arg(value_name = "SEQUENCE", required_unless_present = "all", conflicts_with_all = ["all", "reasons", "types", "since"])]
    sequences: Vec<u64>,

    /// All of them, or all that --reason, --type and --since leave.
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    filter: FilterArguments,

    /// Show what would be done and do nothing.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Do not ask.
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    nats: NatsArguments,
}

#[derive(Debug, Args)]
#[command(
    about = "Publishes dead letters anew, and then deletes them",
    long_about = "\
Publishes each event on the subject that it came on, with the headers that it came with, and deletes
the dead letter once NATS has the event. It is routed like a new one: by the definitions of now, and
after what is on the stream already.

What the event has started before is not started again, because a run's identity is that of the
event. So it does no harm if the command is broken off or given twice.",
    after_help = "\
Examples:
  # After the condition of a definition was corrected
  actcore dlq redrive --all --reason ConditionError --type user.created --dry-run
  actcore dlq redrive --all --reason ConditionError --type user.created --yes

  actcore dlq redrive 17 18

Exit codes: 0 done, 1 some could not be redriven, 2 a system could not be reached, 3 usage, no such
dead letter, or it was not agreed to."
)]
struct RedriveArguments {
    #[command(flatten)]
    selection: SelectionArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  actcore dlq discard 17

  # What nobody can read is of no use, after somebody has looked at it
  actcore dlq discard --all --reason InvalidEnvelope --since 7d --yes

Exit codes: 0 done, 2 a system could not be reached, 3 usage, no such dead letter, or it was not
agreed to.")]
struct DiscardArguments {
    #[command(flatten)]
    selection: SelectionArguments,
}

/// Carries out `actcore dlq`.
pub(crate) async fn run(arguments: DlqArguments) -> anyhow::Result<Exit> {
    match arguments.command {
        DlqCommand::List(arguments) => list(arguments).await,
        DlqCommand::Show(arguments) => show(arguments).await,
        DlqCommand::Redrive(arguments) => resolve::redrive(arguments.selection).await,
        DlqCommand::Discard(arguments) => resolve::discard(arguments.selection).await,
    }
}

async fn list(arguments: ListArguments) -> anyhow::Result<Exit> {
    let jetstream = nats::open(&arguments.nats).await?;
    let stream = nats::stream(&jetstream, names::DEAD_LETTER_STREAM).await?;
    let letters = read(&stream, &arguments.filter).await?;
    let views: Vec<LetterView> = letters.iter().map(Letter::view).collect();
    match arguments.output.output {
        Format::Json => output::json(&views)?,
        Format::Yaml => output::yaml(&views)?,
        Format::Table if views.is_empty() => output::note("no dead letters"),
        Format::Table => output::table(
            &["SEQUENCE", "SINCE", "REASON", "TYPE", "EVENT ID", "ERROR"],
            letters.iter().map(row).collect(),
        )?,
    }
    Ok(Exit::Done)
}

fn row(letter: &Letter) -> Vec<String> {
    let (event_type, event_id) = match &letter.event {
        Some(event) => (event.event_type.clone(), event.event_id.clone()),
        None => ("-".to_owned(), "-".to_owned()),
    };
    vec![
        letter.sequence.to_string(),
        format_time(letter.at),
        letter.reason.clone(),
        event_type,
        event_id,
        output::shortened(&letter.error, 80),
    ]
}

async fn show(arguments: ShowArguments) -> anyhow::Result<Exit> {
    let jetstream = nats::open(&arguments.nats).await?;
    let stream = nats::stream(&jetstream, names::DEAD_LETTER_STREAM).await?;
    let letter = find(&stream, arguments.sequence).await?;
    let whole = letter.whole();
    match arguments.output.output {
        Format::Json => output::json(&whole)?,
        Format::Yaml => output::yaml(&whole)?,
        Format::Table => output::line(whole.to_string().trim_end())?,
    }
    Ok(Exit::Done)
}

/// One dead letter.
async fn find(stream: &Stream, sequence: u64) -> Result<Letter, Problem> {
    let found = nats::message(stream, sequence).await?;
    found.map(Letter::of).ok_or_else(|| {
        Problem::usage(format!(
            "there is no dead letter {sequence}; `actcore dlq list` shows those that there are"
        ))
    })
}

/// The dead letters that a filter leaves, the oldest first.
async fn read(stream: &Stream, filter: &FilterArguments) -> Result<Vec<Letter>, Problem> {
    let from = match filter.since {
        None => DeliverPolicy::All,
        Some(start_time) => DeliverPolicy::ByStartTime { start_time },
    };
    let filter = Filter {
        reasons: &filter.reasons,
        types: &filter.types,
        since: filter.since,
    };
    let reader = Reader::begin(stream, from).await?;
    let mut letters = Vec::new();
    loop {
        let page = reader.page().await?;
        if page.is_empty() {
            return Ok(letters);
        }
        let page = page.into_iter().map(Letter::of);
        letters.extend(page.filter(|letter| filter.keeps(letter)));
    }
}
