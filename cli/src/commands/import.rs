//! `actcore import`: the definitions of the predecessor, as custom resources.
//!
//! What a row means is judged by [`predecessor`]; here rows are read and manifests written.

mod predecessor;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use runtime::postgres::PostgresArguments;
use serde_json::{Map, Value};
use store::Store;

use super::sync::apply::Apply;
use crate::cluster::{Cluster, ClusterArguments};
use crate::connections::{self, answer};
use crate::exit::{Exit, Problem};
use crate::manifests::{self, Manifest};
use crate::output::{self, Format};

/// The most bytes that an export may have.
const MAXIMUM_BYTES: u64 = 256 * 1024 * 1024;

/// The options of `actcore import`.
#[derive(Debug, Args)]
#[command(
    about = "Takes over the definitions of the predecessor, as manifests or into the cluster",
    long_about = "\
Reads the table activity_definitions of the predecessor (the same system in Python) from its data
base or from an export, and writes an ActivityDefinition for each row. The ids stay, so that
history, dashboards and links go on; a name that no object can have becomes one that it can, and is
kept as the display name.

Columns that are missing are taken at their default, columns that nobody knows are named in the
report. A row whose content is wrong is refused with the reason, and the others are taken over.
The report goes to standard error, the manifests to standard output.",
    after_help = "\
Examples:
  # Look at it first
  actcore import --from-url postgresql+asyncpg://actcore:secret@db:5432/actcore > definitions.yaml

  # From an export, into the cluster
  psql -Atc 'select row_to_json(d) from activity_definitions d' > definitions.json
  actcore import -f definitions.json -n activity-core --apply

  # From a CSV file with a header line
  actcore import -f definitions.csv -n activity-core > definitions.yaml

Exit codes: 0 every row was taken over, 1 a row was refused (the others were taken over), 2 a system
could not be reached, 3 usage, or the export can't be read."
)]
pub(crate) struct ImportArguments {
    /// An export of the table: JSON (a list, or one object a line) or CSV with a header line; - is
    /// standard input, as JSON.
    #[arg(short, long, value_name = "FILE", required_unless_present = "from_url")]
    filename: Option<PathBuf>,

    /// The predecessor's data base, as its own ACTCORE_DB_URL has it. It is only read.
    #[arg(
        long,
        env = "PREDECESSOR_DB_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    from_url: Option<String>,

    /// Apply the manifests instead of printing them.
    #[arg(long)]
    apply: bool,

    /// With --apply: ask the API server what would change, and change nothing.
    #[arg(long, requires = "apply")]
    dry_run: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Carries out `actcore import`.
pub(crate) async fn run(arguments: ImportArguments) -> anyhow::Result<Exit> {
    let rows = match (&arguments.filename, &arguments.from_url) {
        (Some(file), _) => read_export(file)?,
        (None, Some(url)) => read_data_base(url).await?,
        (None, None) => return Err(Problem::usage("give --from-url or -f").into()),
    };
    let namespace = arguments.cluster.namespace.as_deref();
    let (manifests, report) = take_over_all(&rows, namespace);
    for line in &report.lines {
        output::note(line);
    }
    output::note(format!(
        "{} of {} definitions taken over",
        manifests.len(),
        rows.len()
    ));
    let applied = if arguments.apply {
        let cluster = Cluster::configure(&arguments.cluster).await?;
        let apply = Apply {
            dry_run: arguments.dry_run,
            format: Format::Table,
        };
        apply.all(&cluster, &manifests).await?
    } else {
        for manifest in &manifests {
            output::line("---")?;
            output::yaml(&manifest.object)?;
        }
        Exit::Done
    };
    Ok(if report.refused > 0 {
        Exit::Failed
    } else {
        applied
    })
}

/// What a person should know about each row.
#[derive(Debug, Default)]
struct Report {
    lines: Vec<String>,
    refused: usize,
}

fn take_over_all(rows: &[Map<String, Value>], namespace: Option<&str>) -> (Vec<Manifest>, Report) {
    let mut manifests = Vec::new();
    let mut report = Report::default();
    let mut ids = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (index, row) in rows.iter().enumerate() {
        let called = row.get("name").and_then(Value::as_str).unwrap_or("?");
        let called = format!("row {} ({called})", index + 1);
        let taken = predecessor::take_over(row, namespace).and_then(|definition| {
            if !ids.insert(definition.id) {
                return Err(format!("the id {} is there twice", definition.id));
            }
            if !names.insert(definition.name.clone()) {
                return Err("the name is there twice; rename one of the two".to_owned());
            }
            let manifest = manifests::of_value(&called, definition.manifest)?;
            Ok((manifest, definition.left_behind))
        });
        match taken {
            Ok((manifest, left_behind)) => {
                let notes = left_behind.iter();
                report
                    .lines
                    .extend(notes.map(|left| format!("note: {called}: {left}")));
                manifests.push(manifest);
            }
            Err(problem) => {
                report.lines.push(format!("refused: {called}: {problem}"));
                report.refused += 1;
            }
        }
    }
    (manifests, report)
}

async fn read_data_base(url: &str) -> Result<Vec<Map<String, Value>>, Problem> {
    let arguments = PostgresArguments {
        database_url: Some(url.to_owned()),
        database_max_connections: 1,
    };
    let store: Store = connections::open_postgres(&arguments).await?;
    let rows = answer(
        "the predecessor's Postgres",
        store.predecessor_definitions(),
    )
    .await?;
    rows.into_iter().map(object).collect()
}

fn read_export(path: &Path) -> Result<Vec<Map<String, Value>>, Problem> {
    let source = path.display().to_string();
    let text = manifests::read_text(path, MAXIMUM_BYTES)?;
    let is_csv = path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("csv"));
    let rows = if is_csv {
        rows_of_csv(&text)
    } else {
        rows_of_json(&text)
    };
    rows.map_err(|problem| Problem::usage(format!("{source}: {problem}")))
}

/// A list of objects, or objects one after the other.
fn rows_of_json(text: &str) -> Result<Vec<Map<String, Value>>, String> {
    let mut rows = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        match value.map_err(|error| error.to_string())? {
            Value::Array(items) => {
                for item in items {
                    rows.push(object(item).map_err(|problem| problem.to_string())?);
                }
            }
            other => rows.push(object(other).map_err(|problem| problem.to_string())?),
        }
    }
    Ok(rows)
}

fn object(value: Value) -> Result<Map<String, Value>, Problem> {
    match value {
        Value::Object(row) => Ok(row),
        other => Err(Problem::usage(format!(
            "{} is no row; an object with the table's columns is expected",
            output::shortened(&other.to_string(), 60)
        ))),
    }
}

fn rows_of_csv(text: &str) -> Result<Vec<Map<String, Value>>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let columns = reader.headers().map_err(|error| error.to_string())?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let row = columns.iter().zip(&record).map(|(column, value)| {
            // CSV knows no difference between an empty text and none.
            let value = if value.is_empty() {
                Value::Null
            } else {
                Value::String(value.to_owned())
            };
            (column.to_owned(), value)
        });
        rows.push(row.collect());
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "\
id,name,enabled,trigger_config
0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f,daily,t,\"{\"\"trigger_type\"\": \"\"cron\"\", \"\"cron_expression\"\": \"\"0 9 * * *\"\"}\"
0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e60,daily,t,\"{\"\"trigger_type\"\": \"\"manual\"\"}\"
0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e61,broken,,\"{\"\"trigger_type\"\": \"\"cron\"\", \"\"cron_expression\"\": \"\"61 9 * * *\"\"}\"
";

    #[test]
    fn good_rows_are_taken_over_and_bad_ones_told() {
        let rows = rows_of_csv(CSV).unwrap();
        let (manifests, report) = take_over_all(&rows, Some("activity-core"));
        let names: Vec<String> = manifests.iter().map(Manifest::to_string).collect();
        assert_eq!(names, ["activitydefinition.activity-core.io/daily"]);
        assert_eq!(report.refused, 2);
        assert!(report.lines[0].contains("row 2 (daily): the name is there twice"));
        assert!(report.lines[1].contains("row 3 (broken): enabled is null"));
    }

    #[test]
    fn what_the_cluster_would_refuse_is_refused_with_its_field() {
        let rows = rows_of_csv(&CSV.replace("broken,,", "broken,f,")).unwrap();
        let (_, report) = take_over_all(&rows, None);
        let last = &report.lines[1];
        assert!(last.contains("spec.trigger.cron.expression"), "{last}");
    }

    #[test]
    fn an_export_is_a_list_or_one_object_a_line() {
        assert_eq!(rows_of_json("[{\"a\": 1}, {\"a\": 2}]").unwrap().len(), 2);
        assert_eq!(rows_of_json("{\"a\": 1}\n{\"a\": 2}\n").unwrap().len(), 2);
        assert!(rows_of_json("[1]").is_err());
    }
}
