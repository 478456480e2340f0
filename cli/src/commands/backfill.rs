//! `actcore backfill`: runs for expected times that have none, straight from the ledger.
//!
//! What is made up for is decided by [`plan`]; here the ledger is read and the runs are started.

mod answer;
mod plan;

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clap::Args;
use contracts::workflow::format_time;
use domain::verification::time_zone;
use domain::{ActivityId, CronSchedule, Definition, RunId, RunOutcome, TimeZone, Trigger};
use runtime::temporal::TemporalArguments;
use temporal::{Started, Temporal};

use super::trigger;
use crate::catalogue::{CatalogueArguments, Entry};
use crate::connections;
use crate::exit::{Exit, Problem};
use crate::history::History;
use crate::output::{self, Format, OutputArguments};
use answer::{Backfill, Line};
use plan::{Extent, Question};

/// The most expected times that are looked at: as many as are computed at once.
const MOST_TIMES: usize = 100_000;

/// The options of `actcore backfill`.
#[derive(Debug, Args)]
#[command(
    about = "Runs expected times that have no run, once each; shows first what it would do",
    long_about = "\
Makes up for expected times that have no run that succeeded. The times are computed from the
definition, the ledger says what became of each, and the table says what will be done about it.
Nothing is started without --yes.

A run that makes up for a time is backfill/<time>, and has the same id whenever it is asked for:
the same command twice is one run for each time, and a command that was broken off is finished by
giving it again. A time whose own run succeeded or goes on, that has been made up for, or that is
still within its grace is left alone.

Without --only-missing every other time is run: what was missed, what failed, and what was skipped
on purpose, by an overlap, a maintenance window or because the definition was disabled. With it,
only what the ledger calls Missed.

The ledger is read in Postgres (ACTCORE_DB_URL), else through the REST API (API_URL). Runs are
started in Temporal (TEMPORAL_HOST).",
    after_help = "\
Examples:
  # What was missed in the last days of November, and what would be done about it?
  actcore backfill daily-report --from 2026-11-24 --to 2026-11-30 --only-missing

  # Do it, one run after the other
  actcore backfill daily-report --from 2026-11-24 --to 2026-11-30 --only-missing --yes --wait

  # A night in which the model answered nonsense: run what failed once more
  actcore backfill hourly-digest --from 2026-11-24T22:00:00Z --to 2026-11-25T06:00:00Z --yes

Exit codes: 0 shown or started (with --wait: every run succeeded), 1 a run did not succeed,
2 a system could not be reached (with --wait: a run was not over within --timeout; what was started
is not started again by the same command), 3 usage, no such definition, it has no cron trigger, or
there is more to do than --limit."
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag that a person sets"
)]
pub(crate) struct BackfillArguments {
    /// The definition: its name, its display name or its activity id.
    #[arg(
        conflicts_with = "activity_id",
        required_unless_present = "activity_id"
    )]
    name: Option<String>,

    /// The definition's activity id.
    #[arg(long, value_name = "ID")]
    activity_id: Option<ActivityId>,

    /// The first expected time: an instant in RFC 3339, or a day in the definition's time zone.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    from: Moment,

    /// The end, in the same forms. An instant itself does not count any more, a day counts as a
    /// whole [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    to: Option<Moment>,

    /// Only what the ledger calls Missed.
    #[arg(long)]
    only_missing: bool,

    /// Show what would be done and start nothing; this is the default.
    #[arg(long, conflicts_with_all = ["yes", "wait"])]
    dry_run: bool,

    /// Start the runs.
    #[arg(long)]
    yes: bool,

    /// Start each run when the one before is over, and see how each ends.
    #[arg(long, requires = "yes")]
    wait: bool,

    /// How long to wait for each run, in seconds.
    #[arg(long, default_value_t = 900, value_name = "SECONDS", requires = "wait")]
    timeout: u64,

    /// Refuse to start more runs than this.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,

    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    temporal: TemporalArguments,

    #[command(flatten)]
    catalogue: CatalogueArguments,
}

/// A point in time as a person writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Instant(DateTime<Utc>),
    Day(NaiveDate),
}

fn parse_moment(text: &str) -> Result<Moment, String> {
    if let Ok(day) = text.parse() {
        return Ok(Moment::Day(day));
    }
    text.parse().map(Moment::Instant).map_err(|_| {
        "write an instant in RFC 3339, such as 2026-11-24T09:00:00Z, or a day, such as 2026-11-24"
            .to_owned()
    })
}

impl Moment {
    fn as_start(self, zone: TimeZone) -> DateTime<Utc> {
        match self {
            Self::Instant(instant) => instant,
            Self::Day(day) => zone.day(day).start,
        }
    }

    fn as_end(self, zone: TimeZone) -> DateTime<Utc> {
        match self {
            Self::Instant(instant) => instant,
            Self::Day(day) => zone.day(day).end,
        }
    }
}

/// Carries out `actcore backfill`.
pub(crate) async fn run(arguments: BackfillArguments) -> anyhow::Result<Exit> {
    let catalogue = &arguments.catalogue;
    let history = History::open(&catalogue.postgres, &catalogue.api).await?;
    let entry = find(&arguments).await?;
    let definition = entry.definition()?;
    let mut backfill = plan_all(&arguments, &history, &entry, &definition).await?;
    let to_start = backfill.times.iter().filter(|line| line.is_to_start());
    let to_start = to_start.count();
    let as_text = arguments.output.output == Format::Table;
    if as_text {
        answer::print_plan(&backfill, time_zone(&definition))?;
    }
    if to_start > usize::try_from(arguments.limit).unwrap_or(usize::MAX) {
        return Err(Problem::usage(format!(
            "{to_start} runs are to be started, which is more than --limit {}; narrow --from and \
             --to, or raise --limit",
            arguments.limit
        ))
        .into());
    }
    let exit = if arguments.yes && to_start > 0 {
        let temporal = connections::open_temporal(&arguments.temporal).await?;
        let runner = Runner {
            temporal,
            history: &history,
            wait: arguments
                .wait
                .then(|| Duration::from_secs(arguments.timeout)),
            as_text,
        };
        runner.start_all(&mut backfill.times).await
    } else {
        Ok(Exit::Done)
    };
    match arguments.output.output {
        Format::Json => output::json(&backfill)?,
        Format::Yaml => output::yaml(&backfill)?,
        Format::Table => output::runs_to_start(to_start, arguments.yes)?,
    }
    // What was started before an error is in the answer all the same.
    exit
}

async fn find(arguments: &BackfillArguments) -> Result<Entry, Problem> {
    let id = arguments.activity_id.map(|id| id.to_string());
    let name = arguments.name.as_deref().or(id.as_deref());
    let catalogue = arguments.catalogue.open_in_force().await?;
    let wanted = arguments.catalogue.wanted(name.unwrap_or_default());
    catalogue.find(wanted).await
}

async fn plan_all(
    arguments: &BackfillArguments,
    history: &History,
    entry: &Entry,
    definition: &Definition,
) -> Result<Backfill, Problem> {
    let Trigger::Cron(cron) = &definition.trigger else {
        return Err(Problem::usage(format!(
            "{} has no cron trigger, so no time of it was ever expected",
            entry.called()
        )));
    };
    let now = Utc::now();
    let zone = time_zone(definition);
    let from = arguments.from.as_start(zone);
    let to = arguments.to.map_or(now, |to| to.as_end(zone)).min(now);
    let times = expected(&cron.schedule, from, to)?;
    let rows = match (times.first(), times.last()) {
        (Some(first), Some(last)) => {
            let end = *last + TimeDelta::seconds(1);
            history.nominal_times(definition.id, *first, end).await?
        }
        _ => Vec::new(),
    };
    let question = Question {
        now,
        grace: TimeDelta::from_std(definition.grace).unwrap_or(TimeDelta::MAX),
        extent: if arguments.only_missing {
            Extent::Missing
        } else {
            Extent::Unproven
        },
    };
    let planned = plan::plan(&times, rows, question).into_iter();
    Ok(Backfill {
        namespace: entry.namespace.clone(),
        name: entry.name.clone(),
        activity_id: definition.id.as_uuid(),
        from,
        to,
        dry_run: !arguments.yes,
        times: planned
            .map(|planned| Line::new(planned, definition.id, &entry.display_name))
            .collect(),
    })
}

fn expected(
    schedule: &CronSchedule,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<DateTime<Utc>>, Problem> {
    if from >= to {
        return Err(Problem::usage(format!(
            "--from ({}) must be before --to ({}), and in the past",
            format_time(from),
            format_time(to)
        )));
    }
    let times = schedule.occurrences(from, to);
    if times.len() >= MOST_TIMES {
        return Err(Problem::usage(format!(
            "more than {MOST_TIMES} runs were expected; narrow --from and --to"
        )));
    }
    Ok(times)
}

/// Starts runs, one after the other.
struct Runner<'run> {
    temporal: Temporal,
    history: &'run History,
    /// How long each run is waited for, if at all.
    wait: Option<Duration>,
    as_text: bool,
}

impl Runner<'_> {
    async fn start_all(&self, lines: &mut [Line]) -> anyhow::Result<Exit> {
        let mut exit = Exit::Done;
        for line in lines.iter_mut().filter(|line| line.is_to_start()) {
            let started =
                connections::answer("Temporal", self.temporal.start_run(&line.start)).await?;
            line.started = Some(match started {
                Started::Now => "now",
                Started::Before => "before",
            });
            self.tell(|| {
                let how = match started {
                    Started::Now => "started",
                    Started::Before => "had been started before:",
                };
                format!("{} {how} run {}", format_time(line.time), line.run_id)
            })?;
            let Some(limit) = self.wait else { continue };
            let ended = trigger::wait(self.history, RunId::new(line.run_id), limit).await?;
            if ended.outcome != RunOutcome::Succeeded.as_str() {
                exit = Exit::Failed;
            }
            self.tell(|| format!("{} {}", format_time(line.time), ended.in_words()))?;
            line.run = Some(ended);
        }
        Ok(exit)
    }

    fn tell(&self, text: impl FnOnce() -> String) -> std::io::Result<()> {
        if self.as_text {
            output::line(text())
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_counts_as_a_whole_and_an_instant_to_the_second() {
        let berlin = TimeZone::parse("Europe/Berlin").unwrap();
        let day = parse_moment("2026-11-24").unwrap();
        let shown = |instant: DateTime<Utc>| format_time(instant);
        assert_eq!(shown(day.as_start(berlin)), "2026-11-23T23:00:00Z");
        assert_eq!(shown(day.as_end(berlin)), "2026-11-24T23:00:00Z");
        let instant = parse_moment("2026-11-24T09:00:00+01:00").unwrap();
        assert_eq!(shown(instant.as_start(berlin)), "2026-11-24T08:00:00Z");
        assert_eq!(instant.as_start(berlin), instant.as_end(berlin));
        for wrong in ["", "yesterday", "2026-11-24 09:00", "2026-13-01"] {
            assert!(parse_moment(wrong).is_err(), "{wrong}");
        }
    }
}
