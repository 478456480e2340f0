//! `actcore describe`: one definition, for people.

use chrono::Utc;
use clap::Args;
use contracts::workflow::format_time;
use domain::{Definition, ReportSinkKind, TaskSink, Trigger};

use crate::catalogue::{Catalogue, CatalogueArguments, Entry};
use crate::exit::Exit;
use crate::output;

/// How many coming runs are shown.
const SHOWN_RUNS: usize = 3;

/// The options of `actcore describe`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  actcore describe daily-triage -n activity-core

Exit codes: 0 done, 2 a system could not be reached, 3 usage or no such definition.")]
pub(crate) struct DescribeArguments {
    /// The definition: its name, its display name or its activity id.
    name: String,

    #[command(flatten)]
    catalogue: CatalogueArguments,
}

/// Carries out `actcore describe`.
pub(crate) async fn run(arguments: DescribeArguments) -> anyhow::Result<Exit> {
    let catalogue = arguments.catalogue.open_declared().await?;
    let wanted = arguments.catalogue.wanted(&arguments.name);
    let entry = catalogue.find(wanted).await?;
    print_identity(&entry)?;
    match (entry.definition(), &catalogue) {
        (Err(problem), _) => output::fields(&[("Invalid", problem.to_string())])?,
        (Ok(definition), Catalogue::Api(_)) => {
            print_trigger(&definition)?;
            output::note("the REST API shows no more; `kubectl describe actdef` does");
        }
        (Ok(definition), Catalogue::Cluster(_) | Catalogue::Mirror(_)) => {
            print_trigger(&definition)?;
            print_steps(&definition)?;
        }
    }
    print_status(&entry)?;
    Ok(Exit::Done)
}

fn print_identity(entry: &Entry) -> std::io::Result<()> {
    output::fields(&[
        ("Name", entry.name.clone()),
        ("Namespace", entry.namespace.clone()),
        ("Display name", entry.display_name.clone()),
        (
            "Activity id",
            entry
                .activity
                .map_or_else(|| "none yet".to_owned(), |activity| activity.to_string()),
        ),
        ("Enabled", entry.spec.enabled.to_string()),
    ])
}

fn print_trigger(definition: &Definition) -> std::io::Result<()> {
    output::fields(&[
        ("Trigger", trigger_in_words(&definition.trigger)),
        ("Next runs", coming_runs(definition)),
    ])
}

fn print_steps(definition: &Definition) -> std::io::Result<()> {
    output::fields(&[
        ("Tier", definition.tier.as_str().to_owned()),
        (
            "Grace",
            format!(
                "{} s after its time a run counts as missing",
                definition.grace.as_secs()
            ),
        ),
        (
            "Instruction",
            definition.instruction.as_ref().map_or_else(
                || "none".to_owned(),
                |instruction| {
                    format!(
                        "{}, at most {} tokens, {} s",
                        instruction.model,
                        instruction.maximum_tokens,
                        instruction.timeout.as_secs()
                    )
                },
            ),
        ),
    ])?;
    for report in &definition.reports {
        let place = match &report.kind {
            ReportSinkKind::StateHub { event_type } => format!("State Hub as {event_type}"),
            ReportSinkKind::WorkingMemory { prefix } => {
                format!("working memory as {prefix}-DATE-RUN.md")
            }
            ReportSinkKind::Webhook {
                url,
                signing_secret,
            } => {
                let signed = if signing_secret.is_some() {
                    ", signed"
                } else {
                    ""
                };
                format!("webhook {url}{signed}")
            }
        };
        let text = format!("{}: {place}, {} s", report.name, report.timeout.as_secs());
        output::fields(&[("Report", text)])?;
    }
    let budget = definition.time_budget();
    output::fields(&[
        (
            "Tasks",
            match definition.tasks {
                TaskSink::Null => "filed nowhere".to_owned(),
                TaskSink::IssueCore { dry_run: false } => "filed at issue-core".to_owned(),
                TaskSink::IssueCore { dry_run: true } => {
                    "checked with issue-core, not filed".to_owned()
                }
            },
        ),
        (
            "Time budget",
            match budget.steps.len() {
                0 => "no step with a timeout".to_owned(),
                _ => format!("{budget} = {} s", budget.total().as_secs()),
            },
        ),
    ])
}

fn trigger_in_words(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Manual => "on request".to_owned(),
        Trigger::Event(event) => {
            let condition = event
                .condition
                .as_ref()
                .map_or("", |_| ", with a condition");
            format!("on events {}{condition}", event.event_type)
        }
        Trigger::Cron(cron) => format!(
            "\"{}\" in {}, on overlap {}",
            cron.schedule.expression,
            cron.schedule.time_zone.name(),
            cron.overlap.as_str()
        ),
    }
}

fn coming_runs(definition: &Definition) -> String {
    let Trigger::Cron(cron) = &definition.trigger else {
        return "not known in advance".to_owned();
    };
    let schedule = &cron.schedule;
    let times: Vec<String> = std::iter::successors(schedule.next_after(Utc::now()), |time| {
        schedule.next_after(*time)
    })
    .take(SHOWN_RUNS)
    .map(format_time)
    .collect();
    match times.len() {
        0 => "none, the schedule has ended".to_owned(),
        _ if !definition.enabled => format!("none while disabled (else {})", times.join(", ")),
        _ => times.join(", "),
    }
}

fn print_status(entry: &Entry) -> std::io::Result<()> {
    let Some(status) = &entry.status else {
        return Ok(());
    };
    if let Some(last) = &status.last_run {
        let text = format!("{} ({})", last.result, last.run_id);
        output::fields(&[("Last run", text)])?;
    }
    output::fields(&[
        ("Missed runs", shown_count(status.missed_runs)),
        ("Skipped runs", shown_count(status.skipped_runs)),
    ])?;
    output::line("")?;
    let rows = status.conditions.iter().map(|condition| {
        vec![
            condition.type_.clone(),
            condition.status.clone(),
            condition.reason.clone(),
            output::on_one_line(&condition.message),
        ]
    });
    output::table(
        &["CONDITION", "STATUS", "REASON", "MESSAGE"],
        rows.collect(),
    )
}

fn shown_count(count: Option<i64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}
