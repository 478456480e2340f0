//! `actcore verify`: did the run of a day happen?

mod checklist;
mod expectation;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use audit::{Auditor, StateHub, Surveyed, WorkingMemory};
use chrono::{NaiveDate, Utc};
use clap::Args;
use domain::Definition;
use domain::verification::{self, Check, Expectation, Seen};
use futures::future::join_all;
use runtime::postgres::PostgresArguments;
use runtime::temporal::TemporalArguments;
use store::{MirrorRow, Store};

use crate::arguments::StateHubArguments;
use crate::connections::{self, answer};
use crate::exit::{Exit, Problem};
use crate::find::{self, Wanted};
use crate::output;
use checklist::Checklist;
use report::{Answer, Report, Verified};

/// How the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum VerifyFormat {
    /// For people.
    Text,
    /// JSON, one document.
    Json,
}

/// The options of `actcore verify`.
#[derive(Debug, Args)]
#[command(
    about = "Answers \"did the run of this day happen?\" from evidence",
    long_about = "\
Answers \"did the run of this day happen?\" from evidence, by six conditions:

  1. Temporal's Schedule exists, is not paused and has the declared overlap policy
  2. the latest workflow completed, or is visibly retrying a failed activity
  3. the ledger (activity_runs) has a run of that day, and it succeeded
  4. State Hub has a progress entry with that run's activity_core_run_id
  5. the working memory has the report file with that run's id in its frontmatter
  6. the steps' timeouts fit under ACTIVITY_TIMEOUT_SECONDS

Without --live only the checklist is printed and nothing is contacted. With --live every system is
looked at, and every check prints ok, n/a (the definition asks for nothing of the kind), FAILED or
unknown (it could not be looked at). Unknown is never ok.

--all reads Temporal's Schedules from its listing, which follows a change by a second or so, and
describes only those that the listing does not show to be as declared. NAME describes its Schedule.

A system whose setting is missing makes its checks unknown. Only the definition itself must be
found, in Postgres (ACTCORE_DB_URL).",
    after_help = "\
Examples:
  # What would be checked? Contacts nothing
  actcore verify daily-triage

  # Did today's daily triage happen?
  ACTCORE_DB_URL=postgres://… TEMPORAL_HOST=localhost:7233 STATE_HUB_URL=http://127.0.0.1:8000 \\
    actcore verify daily-triage --live --working-memory-dir /srv/working-memory

  # Did everything that was due yesterday happen? For a script
  actcore verify --all --live --date \"$(date -d yesterday +%F)\" -o json

Exit codes:
  0  verified: every check is ok or n/a
  1  at least one check FAILED
  2  no check FAILED, but at least one is unknown, or the definition could not be looked up
  3  usage, or no such definition, or several of that name
Without --live: 0 when the checklist was printed."
)]
pub(crate) struct VerifyArguments {
    /// The definition: its name, its display name or its activity id.
    #[arg(conflicts_with_all = ["activity_id", "all"])]
    name: Option<String>,

    /// The definition's activity id.
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    activity_id: Option<domain::ActivityId>,

    /// Every definition of which a run was due on that day; the others are listed with the reason.
    #[arg(long)]
    all: bool,

    /// Only definitions of this Kubernetes namespace.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// The day, as YYYY-MM-DD in the definition's time zone [default: today]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    date: Option<NaiveDate>,

    /// Look at the systems instead of printing the checklist.
    #[arg(long)]
    live: bool,

    /// Where the working-memory sink writes to: a folder, or s3://bucket/prefix with AWS_*.
    #[arg(long, env = "WORKING_MEMORY_DIR", value_name = "FOLDER|URL")]
    working_memory_dir: Option<PathBuf>,

    /// How the answer is printed.
    #[arg(short, long, value_enum, default_value_t = VerifyFormat::Text, value_name = "FORMAT")]
    output: VerifyFormat,

    /// The limit for the steps of one run, in seconds, as the worker has it.
    #[arg(
        long,
        env = "ACTIVITY_TIMEOUT_SECONDS",
        default_value_t = 900,
        value_name = "SECONDS"
    )]
    activity_timeout_seconds: u64,

    #[command(flatten)]
    postgres: PostgresArguments,

    #[command(flatten)]
    temporal: TemporalArguments,

    #[command(flatten)]
    state_hub: StateHubArguments,
}

fn parse_date(text: &str) -> Result<NaiveDate, String> {
    text.parse()
        .map_err(|_| "write a day as YYYY-MM-DD, for example 2026-11-24".to_owned())
}

/// Carries out `actcore verify`.
pub(crate) async fn run(arguments: VerifyArguments) -> anyhow::Result<Exit> {
    if arguments.live {
        verify(&arguments).await
    } else {
        print_checklist(&arguments)
    }
}

fn print_checklist(arguments: &VerifyArguments) -> anyhow::Result<Exit> {
    let checklist = Checklist {
        name: arguments.name.clone(),
        activity: arguments.activity_id.or_else(|| {
            let name = arguments.name.as_deref()?;
            name.parse().ok()
        }),
        date: arguments.date.unwrap_or_else(|| Utc::now().date_naive()),
        time_limit: Duration::from_secs(arguments.activity_timeout_seconds),
    };
    match arguments.output {
        VerifyFormat::Text => output::line(checklist.to_string())?,
        VerifyFormat::Json => output::json(&checklist.to_json())?,
    }
    Ok(Exit::Done)
}

async fn verify(arguments: &VerifyArguments) -> anyhow::Result<Exit> {
    if arguments.name.is_none() && arguments.activity_id.is_none() && !arguments.all {
        return Err(Problem::usage(
            "verify --live needs a definition: NAME, --activity-id ID, or --all",
        )
        .into());
    }
    let store = connections::open_ledger(&arguments.postgres).await?;
    let rows = find_definitions(arguments, &store).await?;
    let auditor = auditor(arguments, store).await;
    let answers = if arguments.all {
        verify_all(arguments, &auditor, rows).await
    } else {
        let answers = rows
            .into_iter()
            .map(|row| verify_one(arguments, &auditor, row));
        join_all(answers).await
    };
    let report = Report { answers };
    match arguments.output {
        VerifyFormat::Text => output::line(report.to_text(output::use_colour()))?,
        VerifyFormat::Json => output::json(&report.to_json())?,
    }
    Ok(report.exit())
}

async fn find_definitions(
    arguments: &VerifyArguments,
    store: &Store,
) -> Result<Vec<MirrorRow>, Problem> {
    let by_id = arguments.activity_id.map(|activity| activity.to_string());
    if let Some(name) = arguments.name.as_deref().or(by_id.as_deref()) {
        let wanted = Wanted {
            name,
            namespace: arguments.namespace.as_deref(),
        };
        return find::in_mirror(store, wanted).await.map(|row| vec![row]);
    }
    let mut rows = answer("Postgres", store.definitions()).await?;
    if let Some(namespace) = &arguments.namespace {
        rows.retain(|row| row.namespace == *namespace);
    }
    if rows.is_empty() {
        return Err(Problem::usage(
            "there is no definition to verify; is this the right data base, and does the operator \
             run?",
        ));
    }
    rows.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    Ok(rows)
}

/// The auditor, with a reason in the place of each system that is not set or not there.
async fn auditor(arguments: &VerifyArguments, store: Store) -> Auditor {
    Auditor {
        store,
        temporal: connections::open_temporal(&arguments.temporal)
            .await
            .map_err(|problem| problem.to_string()),
        state_hub: state_hub(&arguments.state_hub),
        working_memory: arguments
            .working_memory_dir
            .clone()
            .map(WorkingMemory::new)
            .ok_or_else(|| "--working-memory-dir is not given".to_owned()),
    }
}

fn state_hub(arguments: &StateHubArguments) -> Seen<StateHub> {
    let url = arguments
        .state_hub_url
        .as_deref()
        .ok_or("STATE_HUB_URL is not set")?;
    StateHub::new(url).map_err(|error| runtime::describe(&error))
}

/// One definition, each of its conditions looked at by itself.
async fn verify_one(arguments: &VerifyArguments, auditor: &Auditor, row: MirrorRow) -> Answer {
    let asked = match Asked::of(arguments, &row) {
        Ok(asked) => asked,
        Err(reason) => return Answer::unreadable(row, reason),
    };
    let checks = auditor
        .verify(&asked.definition, asked.date, time_limit(arguments))
        .await;
    Answer::verified(row, asked.verified(checks))
}

/// Every definition of which a run was due, looked at together.
async fn verify_all(
    arguments: &VerifyArguments,
    auditor: &Auditor,
    rows: Vec<MirrorRow>,
) -> Vec<Answer> {
    let asked = rows.iter().map(|row| Asked::of(arguments, row));
    let asked: Vec<_> = asked.collect();
    let due = rows.iter().zip(&asked).filter_map(|(row, asked)| {
        let asked = asked.as_ref().ok()?;
        asked.expectation.is_due().then(|| Surveyed {
            definition: asked.definition.clone(),
            object_uid: row.uid,
            date: asked.date,
        })
    });
    let due: Vec<_> = due.collect();
    let checks = auditor.verify_all(&due, time_limit(arguments)).await;
    let mut checks = checks.into_iter();
    rows.into_iter()
        .zip(asked)
        .map(|(row, asked)| match asked {
            Err(reason) => Answer::unreadable(row, reason),
            Ok(asked) if asked.expectation.is_due() => {
                // One answer for each that was due, in their order.
                Answer::verified(row, asked.verified(checks.next().unwrap_or_default()))
            }
            Ok(asked) => Answer::not_due(row, asked.date, &asked.expectation),
        })
        .collect()
}

/// What is asked of one definition.
struct Asked {
    definition: Definition,
    date: NaiveDate,
    expectation: Expectation,
}

impl Asked {
    /// The error says why the mirror's row can't be read.
    fn of(arguments: &VerifyArguments, row: &MirrorRow) -> Result<Self, String> {
        let definition = audit::definition_of(row).map_err(|error| runtime::describe(&error))?;
        let now = Utc::now();
        let date = arguments
            .date
            .unwrap_or_else(|| verification::time_zone(&definition).date_at(now));
        let expectation = Expectation::of(&definition, date, now);
        Ok(Self {
            definition,
            date,
            expectation,
        })
    }

    fn verified(self, checks: Vec<Check>) -> Verified {
        Verified {
            time_zone: verification::time_zone(&self.definition).name(),
            date: self.date,
            expectation: self.expectation,
            checks,
        }
    }
}

const fn time_limit(arguments: &VerifyArguments) -> Duration {
    Duration::from_secs(arguments.activity_timeout_seconds)
}
