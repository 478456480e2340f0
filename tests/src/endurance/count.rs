//! Counting what came of it: in Temporal, in the ledger, and on the stream of dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::jetstream::consumer::{AckPolicy, pull};
use contracts::dead_letter::headers;
use contracts::names;
use domain::{ActivityId, RunId, RunOutcome, TriggerKey};
use futures::StreamExt as _;
use store::PageKey;
use temporal::Temporal;
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::IntoRequest as _;
use temporalio_common::protos::temporal::api::workflowservice::v1::ListWorkflowExecutionsRequest;
use testkit::wait::{self, Seen};

use super::Report;
use super::place::{Place, TEMPORAL_NAMESPACE};
use super::traffic::{SOURCE, Traffic, Waiting};

/// How long the worker may take for everything that was started.
const RUN_OUT: Duration = Duration::from_mins(20);

/// How long Temporal's listing may be behind.
const LISTED_WITHIN: Duration = Duration::from_mins(5);

/// How many rows or workflows are read at once.
const PAGE: u16 = 1000;

/// How many missing or surplus ones are named.
const NAMED: usize = 5;

/// What is counted against what.
pub(super) struct Counting<'run> {
    pub(super) place: &'run Place,
    pub(super) traffic: &'run Traffic,
    /// The sequence of each message.
    pub(super) published: &'run [u64],
}

/// When a workflow was accepted, in seconds and nanoseconds.
type StartTime = (i64, i32);

impl Counting<'_> {
    /// Counts everything into the report.
    pub(super) async fn count(&self, report: &mut Report) -> Result<()> {
        let temporal = self.place.temporal().await?;
        for (waiting, events) in self.traffic.expected() {
            let activity = self.place.activity(waiting)?;
            let name = waiting.name();
            report.row(format!("runs expected of {name}"), events.len());
            // The ledger first: by the time that it is complete, so is Temporal's listing.
            self.count_ledger(report, waiting, &events).await?;
            let workflows = self.workflows(&temporal, activity, events.len()).await?;
            let expected: BTreeSet<String> = events
                .iter()
                .map(|event_id| names::event_workflow_id(activity, run_of(activity, event_id)))
                .collect();
            let started: usize = workflows.values().map(Vec::len).sum();
            report.row(format!("workflows of {name} in Temporal"), started);
            let found: BTreeSet<String> = workflows.keys().cloned().collect();
            compare(report, &format!("workflows of {name}"), &expected, &found);
            for (id, starts) in workflows.iter().filter(|(_, starts)| starts.len() > 1) {
                report.violation(format!("{id} was started {} times", starts.len()));
            }
            if waiting == Waiting::InOrder {
                self.check_order(report, activity, &workflows);
            }
        }
        self.count_dead_letters(report).await
    }

    /// The workflows of an activity by id, each with its starts.
    async fn workflows(
        &self,
        temporal: &Temporal,
        activity: ActivityId,
        expected: usize,
    ) -> Result<BTreeMap<String, Vec<StartTime>>> {
        let what = format!("{expected} workflows of {activity}");
        let waited = wait::until(what, LISTED_WITHIN, || async {
            let found = list(temporal, activity).await?;
            anyhow::Ok(if found.len() < expected {
                Seen::not_yet(found.len())
            } else {
                Seen::Done(())
            })
        });
        // Too few are for the comparison to name.
        let _too_few = waited.await;
        list(temporal, activity).await
    }

    /// Waits until the worker is through, and compares the ledger.
    async fn count_ledger(
        &self,
        report: &mut Report,
        waiting: Waiting,
        events: &BTreeSet<&str>,
    ) -> Result<()> {
        let activity = self.place.activity(waiting)?;
        let expected: BTreeSet<String> = events
            .iter()
            .map(|event_id| run_of(activity, event_id).to_string())
            .collect();
        let what = format!("{} runs of {} to succeed", events.len(), waiting.name());
        let waited = wait::until(what, RUN_OUT, || async {
            let succeeded = self.succeeded(activity).await?.len();
            anyhow::Ok(if succeeded < expected.len() {
                Seen::not_yet(succeeded)
            } else {
                Seen::Done(())
            })
        });
        let _too_few = waited.await;
        let found = self.succeeded(activity).await?;
        report.row(
            format!("runs of {} in the ledger that succeeded", waiting.name()),
            found.len(),
        );
        compare(
            report,
            &format!("rows of {}", waiting.name()),
            &expected,
            &found.into_iter().collect(),
        );
        Ok(())
    }

    async fn succeeded(&self, activity: ActivityId) -> Result<Vec<String>> {
        let mut succeeded = Vec::new();
        let mut from: Option<PageKey> = None;
        loop {
            let page = self.place.store.runs(activity, from, PAGE).await?;
            from = page.last().map(|run| PageKey {
                sort_time: run.sort_time,
                run_id: run.run_id,
            });
            if from.is_none() {
                return Ok(succeeded);
            }
            let page = page.into_iter();
            let ended = page.filter(|run| run.outcome == RunOutcome::Succeeded);
            succeeded.extend(ended.map(|run| run.run_id.to_string()));
        }
    }

    /// Checks that the runs of each subject were accepted in the order of the stream.
    fn check_order(
        &self,
        report: &mut Report,
        activity: ActivityId,
        workflows: &BTreeMap<String, Vec<StartTime>>,
    ) {
        let mut subjects: BTreeMap<&str, BTreeMap<u64, &str>> = BTreeMap::new();
        let mut known = BTreeSet::new();
        let mut messages: Vec<_> = self.published.iter().zip(&self.traffic.messages).collect();
        messages.sort_by_key(|(sequence, _)| **sequence);
        for (sequence, message) in messages {
            // A repetition comes after the event has had its turn.
            if message.starts.contains(&Waiting::InOrder) && known.insert(&message.event_id) {
                let subject = subjects.entry(&message.subject).or_default();
                subject.insert(*sequence, &message.event_id);
            }
        }
        report.row("subjects whose order was kept", subjects.len());
        for (subject, events) in subjects {
            let times: Vec<Option<&StartTime>> = events
                .values()
                .map(|event_id| {
                    let id = names::event_workflow_id(activity, run_of(activity, event_id));
                    workflows.get(&id)?.first()
                })
                .collect();
            if !times.is_sorted() {
                report.violation(format!("the runs of {subject} were not started in order"));
            }
        }
    }

    /// Compares the dead letters: one for each poisonous message, with its reason.
    async fn count_dead_letters(&self, report: &mut Report) -> Result<()> {
        let expected: BTreeSet<String> = self
            .published
            .iter()
            .zip(&self.traffic.messages)
            .filter_map(|(sequence, message)| Some(format!("{sequence} {}", message.dead_letter?)))
            .collect();
        let client = async_nats::connect(&self.place.nats_url).await?;
        let stream = async_nats::jetstream::new(client)
            .get_stream(names::DEAD_LETTER_STREAM)
            .await?;
        let count = usize::try_from(stream.cached_info().state.messages)?;
        report.row("dead letters expected", expected.len());
        report.row("dead letters", count);
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            ..pull::Config::default()
        };
        let reader = stream.create_consumer(config).await?;
        let mut found = BTreeSet::new();
        while found.len() < count {
            let mut batch = reader.fetch().max_messages(PAGE.into()).messages().await?;
            let before = found.len();
            while let Some(message) = batch.next().await {
                let message = message.map_err(anyhow::Error::from_boxed)?;
                let map = message.headers.as_ref().context("no headers")?;
                let header = |name| map.get(name).map(ToString::to_string).unwrap_or_default();
                let (sequence, reason) =
                    (header(headers::ORIGINAL_SEQUENCE), header(headers::REASON));
                if !found.insert(format!("{sequence} {reason}")) {
                    report.violation(format!("two dead letters of {sequence} ({reason})"));
                }
            }
            if found.len() == before {
                break;
            }
        }
        compare(report, "dead letters", &expected, &found);
        Ok(())
    }
}

fn run_of(activity: ActivityId, event_id: &str) -> RunId {
    let trigger = TriggerKey::Event {
        source: SOURCE.to_owned(),
        event_id: event_id.to_owned(),
    };
    RunId::of(activity, &trigger)
}

/// Names what is missing and what is too much.
fn compare(report: &mut Report, what: &str, expected: &BTreeSet<String>, found: &BTreeSet<String>) {
    for (which, difference) in [
        ("missing", expected.difference(found)),
        ("unexpected", found.difference(expected)),
    ] {
        let all: Vec<&String> = difference.collect();
        if !all.is_empty() {
            let named = &all[..all.len().min(NAMED)];
            report.violation(format!("{} {what} are {which}: {named:?}", all.len()));
        }
    }
}

async fn list(
    temporal: &Temporal,
    activity: ActivityId,
) -> Result<BTreeMap<String, Vec<StartTime>>> {
    let mut client = temporal.client().clone();
    let mut workflows: BTreeMap<String, Vec<StartTime>> = BTreeMap::new();
    let mut next_page_token = Vec::new();
    loop {
        let message = ListWorkflowExecutionsRequest {
            namespace: TEMPORAL_NAMESPACE.to_owned(),
            page_size: PAGE.into(),
            query: format!("{} = \"{activity}\"", names::SEARCH_ATTRIBUTE_ACTIVITY_ID),
            next_page_token,
        };
        let listed = WorkflowService::list_workflow_executions(&mut client, message.into_request());
        let page = listed.await?.into_inner();
        for workflow in page.executions {
            let id = workflow.execution.unwrap_or_default().workflow_id;
            let started = workflow.start_time.unwrap_or_default();
            let starts = workflows.entry(id).or_default();
            starts.push((started.seconds, started.nanos));
        }
        next_page_token = page.next_page_token;
        if next_page_token.is_empty() {
            return Ok(workflows);
        }
    }
}
