//! `actcore create`: definitions from a file, or small ones from options.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use contracts::rest::{MisfirePolicy, NewActivityDefinition, TriggerConfig};
use kube::api::{DynamicObject, PostParams};
use serde_json::{Map, Value, json};

use super::definitions::no_write_access;
use crate::catalogue::{Catalogue, CatalogueArguments};
use crate::cluster::{self, Cluster};
use crate::exit::{Exit, Problem};
use crate::manifests::{self, Kind, Manifest};
use crate::output;

/// The options of `actcore create`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  # From a manifest
  actcore create -f daily-triage.yaml

  # Every weekday at nine, Berlin time
  actcore create cron daily-report --expression '0 9 * * 1-5' --timezone Europe/Berlin

  # For each new user of a tier
  actcore create event user-onboarding --event-type user.created --filter tier=pro

  # A manifest to go on from
  actcore create cron daily-report --expression '@daily' --dry-run > daily-report.yaml

Exit codes: 0 created, 1 refused (it exists, or a field is wrong), 2 a system could not be reached,
3 usage."
)]
pub(crate) struct CreateArguments {
    /// A file with manifests; - is standard input. Needs access to Kubernetes.
    #[arg(short, long, value_name = "FILE")]
    filename: Option<PathBuf>,

    #[command(flatten)]
    catalogue: CatalogueArguments,

    #[command(subcommand)]
    command: Option<CreateCommand>,
}

#[derive(Debug, Subcommand)]
enum CreateCommand {
    /// A definition that runs by the clock.
    #[command(after_help = "\
Examples:
  # Every weekday at nine, Berlin time
  actcore create cron daily-report --expression '0 9 * * 1-5' --timezone Europe/Berlin

  # Every ten minutes; times that passed during an outage are made up for
  actcore create cron sweep --expression '*/10 * * * *' --misfire-policy catch-up

Exit codes: 0 created, 1 refused, 2 a system could not be reached, 3 usage.")]
    Cron(CronArguments),
    /// A definition that runs on events.
    #[command(after_help = "\
Examples:
  # For each new user of a paying tier
  actcore create event user-onboarding --event-type user.created --filter tier=pro

  # 42 is a number here, and a text where the payload has a text: --filter 'seats=\"42\"'
  actcore create event big-team --event-type team.created --filter seats=42

Exit codes: 0 created, 1 refused, 2 a system could not be reached, 3 usage.")]
    Event(EventArguments),
    /// A definition that runs on request only.
    #[command(after_help = "\
Examples:
  # Then: actcore trigger warm-caches
  actcore create manual warm-caches -n activity-core

Exit codes: 0 created, 1 refused, 2 a system could not be reached, 3 usage.")]
    Manual(ManualArguments),
}

/// What every small definition has.
#[derive(Debug, Args)]
struct NewArguments {
    /// The name.
    name: String,

    /// Create it disabled: nothing starts until `actcore enable`.
    #[arg(long)]
    disabled: bool,

    /// Print the manifest and create nothing.
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    catalogue: CatalogueArguments,
}

#[derive(Debug, Args)]
struct CronArguments {
    #[command(flatten)]
    new: NewArguments,

    /// Minute, hour, day of month, month, day of week; also @hourly, @daily, @weekly.
    #[arg(long, value_name = "CRON")]
    expression: String,

    /// The IANA time zone whose wall clock counts.
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    timezone: String,

    /// What becomes of times that passed while nothing could fire.
    #[arg(long, value_enum, default_value_t = Misfire::Skip, value_name = "POLICY")]
    misfire_policy: Misfire,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Misfire {
    /// They are left out.
    Skip,
    /// They are made up for.
    CatchUp,
}

#[derive(Debug, Args)]
struct EventArguments {
    #[command(flatten)]
    new: NewArguments,

    /// The event type to wait for.
    #[arg(long, value_name = "TYPE")]
    event_type: String,

    /// A key of the payload and the value it must have, as KEY=VALUE; a VALUE that is JSON (42,
    /// true, \"42\") is taken as JSON, anything else as text. May be given several times.
    #[arg(long = "filter", value_name = "KEY=VALUE", value_parser = parse_filter)]
    filters: Vec<(String, Value)>,
}

#[derive(Debug, Args)]
struct ManualArguments {
    #[command(flatten)]
    new: NewArguments,
}

fn parse_filter(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or("write KEY=VALUE, for example tier=pro")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
    Ok((key.to_owned(), value))
}

/// Carries out `actcore create`.
pub(crate) async fn run(arguments: CreateArguments) -> anyhow::Result<Exit> {
    match (arguments.command, arguments.filename) {
        (Some(CreateCommand::Cron(cron)), _) => {
            let trigger = TriggerConfig::Cron {
                cron_expression: cron.expression,
                timezone: cron.timezone,
                misfire_policy: match cron.misfire_policy {
                    Misfire::Skip => MisfirePolicy::Skip,
                    Misfire::CatchUp => MisfirePolicy::CatchUp,
                },
            };
            create_one(cron.new, trigger).await
        }
        (Some(CreateCommand::Event(event)), _) => {
            let trigger = TriggerConfig::Event {
                event_type: event.event_type,
                filters: event.filters.into_iter().collect::<Map<String, Value>>(),
            };
            create_one(event.new, trigger).await
        }
        (Some(CreateCommand::Manual(manual)), _) => {
            create_one(manual.new, TriggerConfig::Manual).await
        }
        (None, Some(file)) => {
            let manifests = manifests::read_file(&file)?;
            if manifests.is_empty() {
                let name = file.display();
                return Err(Problem::usage(format!("{name} holds no manifest")).into());
            }
            let cluster = Cluster::configure(&arguments.catalogue.cluster).await?;
            for manifest in &manifests {
                create_in_cluster(&cluster, manifest).await?;
            }
            Ok(Exit::Done)
        }
        (None, None) => Err(Problem::usage(
            "say what to create: -f FILE, or cron, event or manual and a NAME; see `actcore create \
             --help`",
        )
        .into()),
    }
}

async fn create_one(new: NewArguments, trigger_config: TriggerConfig) -> anyhow::Result<Exit> {
    let body = NewActivityDefinition {
        name: new.name,
        enabled: !new.disabled,
        trigger_config,
    };
    let manifest = manifest_of(&body);
    if new.dry_run {
        output::yaml(&manifest.object)?;
        return Ok(Exit::Done);
    }
    match new.catalogue.open_declared().await? {
        Catalogue::Cluster(cluster) => create_in_cluster(&cluster, &manifest).await?,
        Catalogue::Api(api) => {
            let created = api.create(&body).await?;
            output::line(format!(
                "{}/{} created ({})",
                created.namespace, created.name, created.id
            ))?;
        }
        Catalogue::Mirror(_) => return Err(no_write_access().into()),
    }
    Ok(Exit::Done)
}

/// The spec for a body of the REST API.
pub(super) fn spec_of(body: &NewActivityDefinition) -> Value {
    let trigger = match &body.trigger_config {
        TriggerConfig::Cron {
            cron_expression,
            timezone,
            misfire_policy,
        } => Some(json!({"cron": {
            "expression": cron_expression,
            "timezone": timezone,
            "misfirePolicy": match misfire_policy {
                MisfirePolicy::Skip => "Skip",
                MisfirePolicy::CatchUp => "CatchUp",
            },
        }})),
        TriggerConfig::Event {
            event_type,
            filters,
        } => Some(json!({"event": {"eventType": event_type, "filters": filters}})),
        TriggerConfig::Manual => None,
    };
    let mut spec = json!({"enabled": body.enabled});
    if let Some(trigger) = trigger {
        spec["trigger"] = trigger;
    }
    spec
}

fn manifest_of(body: &NewActivityDefinition) -> Manifest {
    let kind = Kind::ActivityDefinition;
    let object = DynamicObject::new(&body.name, &kind.resource());
    Manifest {
        source: "the command line".to_owned(),
        kind,
        object: object.data(json!({"spec": spec_of(body)})),
    }
}

async fn create_in_cluster(cluster: &Cluster, manifest: &Manifest) -> anyhow::Result<()> {
    let namespace = manifest
        .object
        .metadata
        .namespace
        .as_deref()
        .unwrap_or(&cluster.namespace);
    let api = cluster.dynamic(namespace, &manifest.kind.resource());
    let parameters = PostParams {
        field_manager: Some(cluster::FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    cluster::ask(api.create(&parameters, &manifest.object)).await?;
    output::line(format!("{manifest} created"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filters_value_is_json_where_it_can_be() {
        let value = |text: &str| parse_filter(text).unwrap().1;
        assert_eq!(value("tier=pro"), json!("pro"));
        assert_eq!(value("seats=42"), json!(42));
        assert_eq!(value("seats=\"42\""), json!("42"));
        assert_eq!(value("note=a=b"), json!("a=b"));
        assert!(parse_filter("tier").is_err());
    }
}
