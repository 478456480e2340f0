//! `actcore next`: when runs are expected, computed by ourselves and not asked of the scheduler.

use chrono::{DateTime, Utc};
use clap::Args;
use contracts::workflow::format_time;
use domain::{CronSchedule, Trigger};
use serde::Serialize;

use crate::catalogue::CatalogueArguments;
use crate::exit::{Exit, Problem};
use crate::output::{self, Format, OutputArguments};

/// The options of `actcore next`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  # The next ten times, in UTC and on the definition's own wall clock
  actcore next daily-report --count 10

  # What does the change to summer time do to it?
  actcore next daily-report --after 2027-03-26T00:00:00Z

The times are computed from the definition. To see what Temporal thinks:
temporal schedule describe --schedule-id activity-schedule-<activity id>

Exit codes: 0 done, 1 the definition is invalid, 2 a system could not be reached, 3 usage, no such
definition, or it has no cron trigger.")]
pub(crate) struct NextArguments {
    /// The definition: its name, its display name or its activity id.
    name: String,

    /// How many times.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,

    /// The first instant, in RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    after: Option<DateTime<Utc>>,

    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    catalogue: CatalogueArguments,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NextRuns {
    namespace: String,
    name: String,
    enabled: bool,
    expression: String,
    time_zone: &'static str,
    times: Vec<String>,
}

/// Carries out `actcore next`.
pub(crate) async fn run(arguments: NextArguments) -> anyhow::Result<Exit> {
    let catalogue = arguments.catalogue.open_in_force().await?;
    let wanted = arguments.catalogue.wanted(&arguments.name);
    let entry = catalogue.find(wanted).await?;
    let definition = entry.definition()?;
    let Trigger::Cron(cron) = &definition.trigger else {
        return Err(Problem::usage(format!(
            "{} has no cron trigger, so nobody knows when it runs next",
            entry.called()
        ))
        .into());
    };
    let schedule = &cron.schedule;
    let after = arguments.after.unwrap_or_else(Utc::now);
    let times = times_after(schedule, after, arguments.count);
    if !definition.enabled {
        output::note("the definition is disabled; nothing is started at these times");
    }
    let next = NextRuns {
        namespace: entry.namespace.clone(),
        name: entry.name.clone(),
        enabled: definition.enabled,
        expression: schedule.expression.source().to_owned(),
        time_zone: schedule.time_zone.name(),
        times: times.iter().map(|time| format_time(*time)).collect(),
    };
    match arguments.output.output {
        Format::Json => output::json(&next)?,
        Format::Yaml => output::yaml(&next)?,
        Format::Table if times.is_empty() => {
            output::line("none: the schedule has ended")?;
        }
        Format::Table => {
            let local = format!("LOCAL ({})", schedule.time_zone.name());
            let rows = times.iter().map(|time| {
                vec![
                    format_time(*time),
                    schedule.time_zone.shown(*time),
                    output::distance(*time, Utc::now()),
                ]
            });
            output::table(&["UTC", &local, "IN"], rows.collect())?;
        }
    }
    Ok(Exit::Done)
}

/// The next times after an instant; fewer when the schedule ends.
fn times_after(schedule: &CronSchedule, after: DateTime<Utc>, count: u16) -> Vec<DateTime<Utc>> {
    std::iter::successors(schedule.next_after(after), |time| {
        schedule.next_after(*time)
    })
    .take(usize::from(count))
    .collect()
}
