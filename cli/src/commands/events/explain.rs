//! `actcore events test`: which definitions an event would start, and why the others would not.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::Utc;
use clap::Args;
use contracts::event::{Headers, MAXIMUM_BYTES, Received};
use routing::{Decision, EventIdentity, ObjectName, Snapshot, decide};
use runtime::postgres::PostgresArguments;
use serde::Serialize;
use serde_json::Value;
use store::MirrorRow;
use uuid::Uuid;

use super::source::Declared;
use crate::exit::Exit;
use crate::manifests;
use crate::output::{self, Format, OutputArguments};

/// The options of `actcore events test`.
#[derive(Debug, Args)]
#[command(
    about = "Says for each definition whether an event would start it, and if not, why",
    long_about = "\
Reads an event from a file and decides it as the event router would, without publishing, starting or
changing anything. The definitions are those that are in force, read from the mirror in Postgres
(ACTCORE_DB_URL), or with -f those in files, for which nothing is contacted at all.",
    after_help = "\
Examples:
  actcore events test event.json

  # Before the definition is applied
  actcore events test event.json -f activities/

  # A CloudEvent in binary mode has its attributes in headers
  actcore events test data.json --header 'ce-specversion: 1.0' --header 'ce-id: 1' \\
    --header 'ce-type: user.created' --header 'ce-source: /users'

Exit codes: 0 it starts at least one run, and nothing about it is a dead letter, 1 it starts nothing
or is a dead letter, 2 Postgres could not be reached, 3 usage."
)]
pub(super) struct TestArguments {
    /// The file with the event as it is published; - is standard input.
    #[arg(value_name = "FILE")]
    event: PathBuf,

    /// Decide on the definitions and event types in this file or folder.
    #[arg(short = 'f', long = "definitions", value_name = "FILE|FOLDER")]
    definitions: Option<PathBuf>,

    /// A header that the event is published with; may be given several times.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,

    /// Only the definitions of this namespace; with -f also that of manifests that name none.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    #[command(flatten)]
    output: OutputArguments,

    #[command(flatten)]
    postgres: PostgresArguments,
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write it as NAME: VALUE, such as ce-type: user.created".to_owned()),
    }
}

/// The answer, in the shape that `-o json` promises.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    /// `null` when it can't be read.
    event: Option<EventView>,
    definitions: Vec<Verdict>,
    /// Why the event would be a dead letter; empty when it would be none.
    dead_letter: Vec<ProblemView>,
    /// Schemas that it breaks and that are not enforced.
    warnings: Vec<ProblemView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventView {
    event_id: String,
    event_type: String,
    source: String,
    subject: Option<String>,
    trace_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProblemView {
    reason: &'static str,
    error: String,
}

/// What the event comes to for one definition.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    namespace: String,
    name: String,
    /// `start`, `skip` or `deadLetter`.
    result: &'static str,
    /// Why it is not started; for one that is, what is to be known of the start.
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_id: Option<String>,
}

impl Verdict {
    fn new(object: &ObjectName, result: &'static str, why: impl Into<String>) -> Self {
        Self {
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            result,
            why: why.into(),
            run_id: None,
            workflow_id: None,
        }
    }
}

/// Carries out `actcore events test`.
pub(super) async fn run(arguments: TestArguments) -> anyhow::Result<Exit> {
    let limit = u64::try_from(MAXIMUM_BYTES)? + 1;
    let body = manifests::read_text(&arguments.event, limit)?;
    let namespace = arguments.namespace.as_deref();
    let mut declared = match &arguments.definitions {
        Some(path) => Declared::in_files(path, namespace)?,
        None => Declared::in_mirror(&arguments.postgres).await?,
    };
    declared.retain(namespace);
    let headers: Headers = arguments
        .headers
        .iter()
        .map(|(name, value)| (name, value.as_str()))
        .collect();
    let received = Received {
        body: body.as_bytes(),
        headers: &headers,
        at: Utc::now(),
    };
    let explanation = explain(declared, &received);
    match arguments.output.output {
        Format::Json => output::json(&explanation)?,
        Format::Yaml => output::yaml(&explanation)?,
        Format::Table => print(&explanation)?,
    }
    let starts = explanation
        .definitions
        .iter()
        .any(|verdict| verdict.result == "start");
    Ok(if starts && explanation.dead_letter.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn explain(declared: Declared, received: &Received<'_>) -> Explanation {
    let rows = declared.definitions.clone();
    let snapshot = Snapshot::build(declared.definitions, declared.event_types);
    let decision = decide(received, &snapshot);
    let problems = |problems: &[routing::Problem]| {
        let views = problems.iter().map(|problem| ProblemView {
            reason: problem.reason.as_str(),
            error: problem.to_string(),
        });
        views.collect()
    };
    Explanation {
        definitions: match &decision.event {
            None => Vec::new(),
            Some(event) => verdicts(&rows, &decision, event),
        },
        dead_letter: problems(&decision.problems),
        warnings: problems(&decision.warnings),
        event: decision.event.map(|event| EventView {
            event_id: event.event_id,
            event_type: event.event_type,
            source: event.source,
            subject: event.subject,
            trace_id: event.trace_id,
        }),
    }
}

/// One verdict for each definition, in the order of their names.
fn verdicts(rows: &[MirrorRow], decision: &Decision, event: &EventIdentity) -> Vec<Verdict> {
    let mut verdicts: BTreeMap<ObjectName, Verdict> = BTreeMap::new();
    for row in rows {
        let object = ObjectName {
            namespace: row.namespace.clone(),
            name: row.name.clone(),
        };
        let verdict = Verdict::new(&object, "skip", waits_for_another(row, event));
        verdicts.insert(object, verdict);
    }
    for not_started in &decision.unmatched {
        let object = &not_started.object;
        let verdict = Verdict::new(object, "skip", not_started.why.to_string());
        verdicts.insert(object.clone(), verdict);
    }
    for held_back in &decision.held_back {
        let object = &held_back.object;
        let why = match held_back.reason {
            contracts::dead_letter::Reason::SchemaViolation => "breaks the schema of",
            _ => "can't be held against the schema of",
        };
        let why = format!("the payload {why} the EventType {}", held_back.by);
        verdicts.insert(object.clone(), Verdict::new(object, "deadLetter", why));
    }
    for problem in &decision.problems {
        if let routing::About::Definition(object) = &problem.about {
            let verdict = Verdict::new(object, "deadLetter", &problem.error);
            verdicts.insert(object.clone(), verdict);
        }
    }
    for planned in &decision.starts {
        let object = &planned.object;
        let why = match &planned.in_order_of {
            Some(subject) => format!("after the earlier events of {subject}"),
            None => String::new(),
        };
        // Without an id there is no run yet that could be named.
        let is_known = !planned.start.activity.as_uuid().is_nil();
        let verdict = Verdict {
            run_id: is_known.then(|| planned.start.run_id.as_uuid()),
            workflow_id: is_known.then(|| planned.start.workflow_id.clone()),
            ..Verdict::new(object, "start", why)
        };
        verdicts.insert(object.clone(), verdict);
    }
    verdicts.into_values().collect()
}

fn waits_for_another(row: &MirrorRow, event: &EventIdentity) -> String {
    match (&row.event_type, &row.spec["trigger"]["cron"]) {
        (Some(other), _) => format!(
            "waits for events of type {other}, this one is of type {}",
            event.event_type
        ),
        (None, Value::Null) => "waits for no event: it runs on request only".to_owned(),
        (None, _) => "waits for no event: it runs by the clock".to_owned(),
    }
}

fn print(explanation: &Explanation) -> std::io::Result<()> {
    if let Some(event) = &explanation.event {
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        output::fields(&[
            ("Event", event.event_id.clone()),
            ("Type", event.event_type.clone()),
            ("Source", event.source.clone()),
            ("Subject", known(&event.subject)),
            ("Trace", known(&event.trace_id)),
        ])?;
    }
    for warning in &explanation.warnings {
        output::line(format!("Warning:         {}", warning.error))?;
    }
    for problem in &explanation.dead_letter {
        let ProblemView { reason, error } = problem;
        output::line(format!("Dead letter:     {reason}: {error}"))?;
    }
    if explanation.event.is_none() {
        return Ok(());
    }
    output::line("")?;
    if explanation.definitions.is_empty() {
        return output::line("No definitions.");
    }
    let rows = explanation.definitions.iter().map(|verdict| {
        let result = match verdict.result {
            "deadLetter" => "dead letter",
            other => other,
        };
        let why = match verdict.run_id {
            Some(run) if verdict.why.is_empty() => format!("run {run}"),
            Some(run) => format!("run {run}, {}", verdict.why),
            None => verdict.why.clone(),
        };
        vec![
            verdict.namespace.clone(),
            verdict.name.clone(),
            result.to_owned(),
            why,
        ]
    });
    output::table(&["NAMESPACE", "NAME", "RESULT", "WHY"], rows.collect())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;
    use store::EventTypeRow;

    use super::*;

    fn row(number: u128, name: &str, spec: &Value) -> MirrorRow {
        MirrorRow {
            activity_id: Uuid::from_u128(number),
            namespace: "team".to_owned(),
            name: name.to_owned(),
            uid: Uuid::nil(),
            generation: 1,
            display_name: name.to_owned(),
            enabled: spec["enabled"].as_bool().unwrap_or(true),
            event_type: spec["trigger"]["event"]["eventType"]
                .as_str()
                .map(str::to_owned),
            spec: spec.clone(),
        }
    }

    fn explained(event: &Value, schema: Option<Value>) -> Vec<String> {
        let on = |trigger: Value| json!({"trigger": {"event": trigger}});
        let mut disabled = on(json!({"eventType": "user.created"}));
        disabled["enabled"] = json!(false);
        let definitions = [
            ("all", on(json!({"eventType": "user.created"}))),
            (
                "by-clock",
                json!({"trigger": {"cron": {"expression": "@daily"}}}),
            ),
            (
                "condition",
                on(json!({"eventType": "user.created", "condition": "payload.seats > 10"})),
            ),
            ("disabled", disabled),
            (
                "filter",
                on(json!({"eventType": "user.created", "filters": {"tier": "pro"}})),
            ),
            (
                "in-order",
                on(json!({"eventType": "user.created", "ordering": "BySubject"})),
            ),
            ("manual", json!({})),
            (
                "missing",
                on(json!({"eventType": "user.created", "condition": "payload.none == 1"})),
            ),
            ("other", on(json!({"eventType": "user.deleted"}))),
        ];
        let declared = Declared {
            definitions: (1..)
                .zip(&definitions)
                .map(|(number, (name, spec))| row(number, name, spec))
                .collect(),
            event_types: schema
                .map(|schema| EventTypeRow {
                    name: "user.created".to_owned(),
                    namespace: "team".to_owned(),
                    uid: Uuid::nil(),
                    generation: 1,
                    description: None,
                    schema: Some(schema),
                    validation: "Enforce".to_owned(),
                })
                .into_iter()
                .collect(),
        };
        let body = event.to_string();
        let received = Received {
            body: body.as_bytes(),
            headers: &Headers::default(),
            at: DateTime::UNIX_EPOCH,
        };
        explain(declared, &received)
            .definitions
            .into_iter()
            .map(|verdict| format!("{} {} {}", verdict.name, verdict.result, verdict.why))
            .collect()
    }

    fn event() -> Value {
        json!({"event_id": "1", "type": "user.created", "source": "users", "subject": "user/42",
               "occurred_at": "2026-11-24T09:00:00Z", "payload": {"tier": "free", "seats": 3}})
    }

    #[test]
    fn every_definition_is_told_why_the_event_starts_it_or_not() {
        assert_eq!(
            explained(&event(), None),
            [
                "all start ",
                "by-clock skip waits for no event: it runs by the clock",
                "condition skip the condition answers false",
                "disabled skip the definition is disabled",
                "filter skip payload.tier is \"free\", the filter asks for \"pro\"",
                "in-order start after the earlier events of user/42",
                "manual skip waits for no event: it runs on request only",
                "missing deadLetter condition: No such key: none",
                "other skip waits for events of type user.deleted, this one is of type \
                 user.created",
            ]
        );
    }

    #[test]
    fn a_schema_that_is_broken_is_named_for_each_definition_that_it_holds_back() {
        let explained = explained(&event(), Some(json!({"required": ["region"]})));
        let held_back = "deadLetter the payload breaks the schema of the EventType \
                         team/user.created";
        assert_eq!(explained[0], format!("all {held_back}"));
        assert_eq!(explained[4], format!("filter {held_back}"));
        assert!(
            explained[8].starts_with("other skip waits for"),
            "{explained:?}"
        );
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let header = parse_header("ce-source: http://users:8080").unwrap();
        assert_eq!(
            header,
            ("ce-source".to_owned(), "http://users:8080".to_owned())
        );
        assert!(parse_header("ce-source").is_err());
        assert!(parse_header(": x").is_err());
    }
}
