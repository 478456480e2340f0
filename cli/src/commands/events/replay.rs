//! `actcore events replay`: reads events off the stream again, and starts what never started.
//!
//! What an event starts is decided by the definitions of now, and whether a run is to be started by
//! [`left_because`]; here the stream is read and the runs are started, in the order of the stream.

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::Stream;
use chrono::{DateTime, Utc};
use clap::Args;
use contracts::event::Received;
use contracts::names;
use contracts::workflow::format_time;
use domain::ActivityId;
use routing::{PlannedStart, Snapshot, decide};
use runtime::nats::NatsArguments;
use runtime::postgres::PostgresArguments;
use runtime::temporal::TemporalArguments;
use serde::Serialize;
use store::Store;
use temporal::{RunStart, Started, Temporal};
use uuid::Uuid;

use super::standing::{Evidence, left_because};
use crate::connections::{self, answer};
use crate::exit::{Exit, Problem};
use crate::find::{self, Wanted};
use crate::moment;
use crate::nats::{self, Reader, Stored};
use crate::output::{self, Format, OutputArguments};

/// The options of `actcore events replay`.
#[derive(Debug, Args)]
#[command(
    about = "Starts runs that events should have started and never did; shows first what it would do",
    long_about = "\
Reads the events that the stream took in from --from to --to (it keeps them for 30 days), decides
each by the definitions of now, and asks the ledger and Temporal about every run that it starts.
Nothing is started without --yes, and then only what neither of them knows: runs are started in the
order of the stream, and giving the command twice starts nothing twice.

It is for definitions that were not there, were disabled or were wrong when their events came. Events
that the event router is not done with are left to it. Events that were never on the stream can't be
replayed; dead letters are for `actcore dlq redrive`.

The definitions and the ledger are read in Postgres (ACTCORE_DB_URL), the events in NATS (NATS_URL),
and runs are started in Temporal (TEMPORAL_HOST).",
    after_help = "\
Examples:
  # A filter was wrong since yesterday noon and has been corrected: what was left out?
  actcore events replay --from 2026-11-24T12:00:00Z --definition onboarding

  # Start it
  actcore events replay --from 2026-11-24T12:00:00Z --definition onboarding --yes

Exit codes: 0 shown or started, 2 a system could not be reached (what was started is not started
again by the same command), 3 usage, no such definition, or there is more to start than --limit."
)]
pub(super) struct ReplayArguments {
    /// From when on: an instant, a day in UTC, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    from: DateTime<Utc>,

    /// Until when, in the same forms; the instant itself does not count any more [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    to: Option<DateTime<Utc>>,

    /// Only this definition: its name, its display name or its activity id.
    #[arg(long, value_name = "NAME")]
    definition: Option<String>,

    /// The namespace of --definition; without it, only the definitions of this namespace.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Show what would be done and start nothing; this is the default.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Start the runs.
    #[arg(long)]
    yes: bool,

    /// Refuse to start more runs than this.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,

    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    postgres: PostgresArguments,

    #[command(flatten)]
    nats: NatsArguments,

    #[command(flatten)]
    temporal: TemporalArguments,
}

/// The answer, in the shape that `-o json` promises.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replay {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    dry_run: bool,
    /// How many events were read.
    events: u64,
    /// How many of them start no run.
    unmatched: u64,
    /// How many would be dead letters, wholly or for some definition.
    dead_letters: u64,
    runs: Vec<Line>,
}

/// One run of one event, in the shape that `-o json` promises.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    /// The event's sequence in the stream.
    sequence: u64,
    /// When the stream took it in.
    at: DateTime<Utc>,
    event_id: String,
    event_type: String,
    source: String,
    namespace: String,
    name: String,
    run_id: Uuid,
    workflow_id: String,
    /// `start` or `leave`.
    action: &'static str,
    /// Why it is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// `now`, or `before` when somebody was faster; absent when nothing was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<&'static str>,
    #[serde(skip)]
    start: RunStart,
}

/// Carries out `actcore events replay`.
pub(super) async fn run(arguments: ReplayArguments) -> anyhow::Result<Exit> {
    let to = arguments.to.unwrap_or_else(Utc::now);
    if arguments.from >= to {
        return Err(Problem::usage(format!(
            "--from ({}) must be before --to ({})",
            format_time(arguments.from),
            format_time(to)
        ))
        .into());
    }
    let store = connections::open_ledger(&arguments.postgres).await?;
    let scope = Scope::of(&store, &arguments).await?;
    let temporal = connections::open_temporal(&arguments.temporal).await?;
    // Otherwise a namespace that does not exist would look like one that knows no run.
    answer("Temporal", temporal.missing_search_attributes()).await?;
    let jetstream = nats::open(&arguments.nats).await?;
    let stream = nats::stream(&jetstream, names::EVENT_STREAM).await?;
    let planner = Planner {
        snapshot: snapshot(&store).await?,
        floor: floor(&stream).await?,
        store,
        temporal,
        scope,
    };
    let mut replay = planner.plan(&stream, (arguments.from, to)).await?;
    replay.dry_run = !arguments.yes;
    let to_start = replay.runs.iter().filter(|line| line.is_to_start()).count();
    let as_text = arguments.output.output == Format::Table;
    if as_text {
        print_plan(&replay)?;
    }
    if to_start > usize::try_from(arguments.limit).unwrap_or(usize::MAX) {
        return Err(Problem::usage(format!(
            "{to_start} runs are to be started, which is more than --limit {}; narrow --from and \
             --to, or raise --limit",
            arguments.limit
        ))
        .into());
    }
    let exit = if arguments.yes {
        planner.start_all(&mut replay.runs, as_text).await
    } else {
        Ok(Exit::Done)
    };
    match arguments.output.output {
        Format::Json => output::json(&replay)?,
        Format::Yaml => output::yaml(&replay)?,
        Format::Table => output::runs_to_start(to_start, arguments.yes)?,
    }
    // What was started before an error is in the answer all the same.
    exit
}

/// Which definitions are meant.
struct Scope {
    activity: Option<ActivityId>,
    namespace: Option<String>,
}

impl Scope {
    async fn of(store: &Store, arguments: &ReplayArguments) -> Result<Self, Problem> {
        let namespace = arguments.namespace.clone();
        let activity = match &arguments.definition {
            None => None,
            Some(name) => {
                let namespace = namespace.as_deref();
                let row = find::in_mirror(store, Wanted { name, namespace }).await?;
                if row.event_type.is_none() {
                    return Err(Problem::usage(format!(
                        "{}/{} waits for no event",
                        row.namespace, row.name
                    )));
                }
                Some(ActivityId::new(row.activity_id))
            }
        };
        Ok(Self {
            activity,
            namespace,
        })
    }

    fn contains(&self, planned: &PlannedStart) -> bool {
        let (activity, namespace) = (&self.activity, &self.namespace);
        activity.is_none_or(|activity| planned.start.activity == activity)
            && namespace
                .as_ref()
                .is_none_or(|namespace| planned.object.namespace == *namespace)
    }
}

async fn snapshot(store: &Store) -> Result<Snapshot, Problem> {
    let definitions = answer("Postgres", store.event_definitions()).await?;
    let event_types = answer("Postgres", store.event_types()).await?;
    Ok(Snapshot::build(definitions, event_types))
}

/// The sequence up to which the event router is done with every event. Without its consumer it
/// begins anew, and is done with none.
async fn floor(stream: &Stream) -> Result<u64, Problem> {
    let asking = stream.consumer_info(names::EVENT_CONSUMER);
    match tokio::time::timeout(connections::PATIENCE, asking).await {
        Ok(Ok(info)) => Ok(info.ack_floor.stream_sequence),
        Ok(Err(error)) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(0),
        Ok(Err(error)) => Err(Problem::unknown(format!(
            "the consumer {}: {}",
            names::EVENT_CONSUMER,
            runtime::describe(&error)
        ))),
        Err(_) => Err(Problem::unknown(
            "NATS did not show the event router's consumer",
        )),
    }
}

/// Decides what is to be started, and starts it.
struct Planner {
    snapshot: Snapshot,
    floor: u64,
    store: Store,
    temporal: Temporal,
    scope: Scope,
}

impl Planner {
    async fn plan(
        &self,
        stream: &Stream,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<Replay, Problem> {
        let mut replay = Replay {
            from,
            to,
            dry_run: true,
            events: 0,
            unmatched: 0,
            dead_letters: 0,
            runs: Vec::new(),
        };
        let policy = DeliverPolicy::ByStartTime { start_time: from };
        let reader = Reader::begin(stream, policy).await?;
        loop {
            let page = reader.page().await?;
            let is_last = page.last().is_none_or(|event| event.at >= to);
            for event in page
                .iter()
                .filter(|event| event.at >= from && event.at < to)
            {
                self.plan_event(event, &mut replay).await?;
            }
            if is_last {
                return Ok(replay);
            }
        }
    }

    async fn plan_event(&self, event: &Stored, replay: &mut Replay) -> Result<(), Problem> {
        let received = Received {
            body: &event.body,
            headers: &event.event_headers(),
            at: event.at,
        };
        let decision = decide(&received, &self.snapshot);
        replay.events += 1;
        if !decision.problems.is_empty() {
            replay.dead_letters += 1;
        }
        let Some(identity) = decision.event else {
            return Ok(());
        };
        let mut starts = decision.starts;
        starts.retain(|planned| self.scope.contains(planned));
        if starts.is_empty() {
            replay.unmatched += 1;
        }
        for planned in starts {
            let reason = self.left_because(&planned.start, event.sequence).await?;
            replay.runs.push(Line {
                sequence: event.sequence,
                at: event.at,
                event_id: identity.event_id.clone(),
                event_type: identity.event_type.clone(),
                source: identity.source.clone(),
                namespace: planned.object.namespace,
                name: planned.object.name,
                run_id: planned.start.run_id.as_uuid(),
                workflow_id: planned.start.workflow_id.clone(),
                action: if reason.is_none() { "start" } else { "leave" },
                reason,
                started: None,
                start: planned.start,
            });
        }
        Ok(())
    }

    async fn left_because(
        &self,
        start: &RunStart,
        sequence: u64,
    ) -> Result<Option<String>, Problem> {
        let row = answer("Postgres", self.store.run(start.run_id)).await?;
        let ledger = row.map(|row| row.outcome);
        let in_temporal = if ledger.is_some() {
            false
        } else {
            let asking = self.temporal.knows_workflow(&start.workflow_id);
            answer("Temporal", asking).await?
        };
        Ok(left_because(Evidence {
            ledger,
            in_temporal,
            is_settled: sequence <= self.floor,
        }))
    }

    async fn start_all(&self, lines: &mut [Line], as_text: bool) -> anyhow::Result<Exit> {
        for line in lines.iter_mut().filter(|line| line.is_to_start()) {
            let started = answer("Temporal", self.temporal.start_run(&line.start)).await?;
            let (known, how) = match started {
                Started::Now => ("now", "started"),
                Started::Before => ("before", "had been started before:"),
            };
            line.started = Some(known);
            if as_text {
                output::line(format!("{} {how} run {}", line.sequence, line.run_id))?;
            }
        }
        Ok(Exit::Done)
    }
}

impl Line {
    fn is_to_start(&self) -> bool {
        self.reason.is_none()
    }
}

fn print_plan(replay: &Replay) -> std::io::Result<()> {
    if !replay.runs.is_empty() {
        let rows = replay.runs.iter().map(|line| {
            vec![
                line.sequence.to_string(),
                format_time(line.at),
                line.event_type.clone(),
                line.event_id.clone(),
                format!("{}/{}", line.namespace, line.name),
                match &line.reason {
                    None => format!("run {}", line.run_id),
                    Some(reason) => format!("leave: {reason}"),
                },
            ]
        });
        let headers = [
            "SEQUENCE",
            "TIME",
            "TYPE",
            "EVENT ID",
            "DEFINITION",
            "ACTION",
        ];
        output::table(&headers, rows.collect())?;
    }
    output::line(format!(
        "{} events from {} to {}: {} start nothing here, {} would be dead letters",
        replay.events,
        format_time(replay.from),
        format_time(replay.to),
        replay.unmatched,
        replay.dead_letters
    ))
}
