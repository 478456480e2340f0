//! What happens to one delivered event, from its arrival to its acknowledgement.
//!
//! The order is the promise: first every matching run is accepted by Temporal, then the dead
//! letter, if there is one, is stored, and only then the event is acknowledged, with the server's
//! confirmation. A router may die at any point of it; what was done is found done by the next one.
//!
//! An event is sent back, to be delivered again after a pause, when a start failed although
//! Temporal was there. While a dependency is away it is held in place instead (the reasons are in
//! [`crate::gate`] and [`crate::definitions`]), and its delivery kept alive by acknowledging
//! progress. A replica that can't go on for minutes lets its events go, so that another one,
//! which may be better connected, can have them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, AckKind};
use chrono::Utc;
use contracts::event::{Headers, Received};
use futures::{StreamExt as _, stream};
use routing::{About, Decision, EventIdentity, PlannedStart, Problem, Snapshot, decide};
use runtime::{Shutdown, describe};
use tokio::time::{Instant, MissedTickBehavior, timeout};

use crate::dead_letter::{DeadLetter, DeadLetters};
use crate::definitions::Definitions;
use crate::dispatch::{Dispatcher, StartOutcome, dead_letter_reason};
use crate::metrics::{DefinitionResult, EventResult, RouterMetrics};
use crate::order::{self, InHand, InOrder, Order};
use crate::origin::Origin;
use crate::tries::{Next, Tries};
use crate::window::{self, Headline};

/// How many starts of one event are under way at once.
const STARTS_AT_ONCE: usize = 16;

/// How long an event is held in place before another replica may have it.
const LONGEST_HOLD: Duration = Duration::from_mins(5);

/// How long an event that was let go rests, so that it does not come back at once.
const REST: Duration = Duration::from_secs(10);

/// How long events in hand may go on after the process was asked to stop. With the time that
/// letting them go takes, it stays below the drain's limit ([`crate::consume`]).
const FINISH_WITHIN: Duration = Duration::from_secs(15);

/// How long the server may take to confirm an acknowledgement.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// What is to be done with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// All is done: acknowledge it.
    Settled(EventResult),
    /// A start failed: deliver it again after this pause.
    Retry(Duration),
    /// It could not be worked on: deliver it again after this pause; nothing has failed.
    LetGo(Duration),
}

/// What is to be done about an event, and what that was decided on.
#[derive(Debug)]
struct Plan {
    snapshot: Arc<Snapshot>,
    decision: Decision,
}

/// Settles events.
#[derive(Debug)]
pub(crate) struct Settler {
    /// What events are decided on.
    pub(crate) definitions: Definitions,
    /// What starts runs.
    pub(crate) dispatcher: Dispatcher,
    /// What starts those that have to wait for others.
    pub(crate) order: Order,
    /// What acknowledges.
    pub(crate) nats: async_nats::Client,
    /// What stores dead letters.
    pub(crate) dead_letters: DeadLetters,
    /// What failed before.
    pub(crate) tries: Tries,
    /// Where it is counted.
    pub(crate) metrics: RouterMetrics,
    /// Whether the process is to stop.
    pub(crate) shutdown: Shutdown,
}

impl Settler {
    /// Whether everything was there that an event needs, when it was last called.
    pub(crate) fn can_work(&self) -> bool {
        self.dispatcher.is_open() && !self.definitions.is_failing()
    }

    /// Settles one delivery. `ack_wait` is the consumer's.
    pub(crate) async fn settle(&self, message: &jetstream::Message, ack_wait: Duration) {
        let arrived = Instant::now();
        let origin = match Origin::of(message) {
            Ok(origin) => origin,
            Err(error) => {
                // The consumer delivers nothing else; without a reply subject there is nothing
                // to acknowledge either.
                tracing::error!(error = describe(error.as_ref()), "no message of a stream");
                return;
            }
        };
        let snapshot = self.definitions.at_once().await;
        let plan = snapshot.map(|snapshot| self.plan(message, &origin, snapshot));
        let verdict = match plan {
            // Most events. They need nobody's answer any more, so no clock is set.
            Some(plan) if plan.decision.leads_to_nothing() => self.pass(&plan.decision),
            plan => Box::pin(self.hold(message, &origin, plan, ack_wait)).await,
        };
        match verdict {
            Verdict::Settled(result) => {
                self.acknowledge(message, &origin).await;
                self.tries.settle(origin.place);
                self.metrics.count_event(result);
            }
            Verdict::Retry(pause) | Verdict::LetGo(pause) => {
                tracing::info!(
                    sequence = origin.place.sequence,
                    delivered = origin.delivered,
                    pause_seconds = pause.as_secs(),
                    has_failed = matches!(verdict, Verdict::Retry(_)),
                    "the event will be delivered again"
                );
                Box::pin(send(message, AckKind::Nak(Some(pause)))).await;
                self.metrics.count_event(EventResult::Retry);
            }
        }
        self.metrics
            .duration
            .observe(arrived.elapsed().as_secs_f64());
    }

    /// Decides what the event leads to.
    fn plan(&self, message: &jetstream::Message, origin: &Origin, snapshot: Arc<Snapshot>) -> Plan {
        let headers = message
            .headers
            .as_ref()
            .map_or_else(Headers::default, window::headers);
        let received = Received {
            body: &message.payload,
            headers: &headers,
            at: origin.published_at,
        };
        let decision = decide(&received, &snapshot);
        self.report_warnings(&decision);
        if snapshot.keeps_order() {
            let headline = Named(decision.event.as_ref()).headline();
            self.order.note(origin.place.sequence, headline);
        }
        Plan { snapshot, decision }
    }

    /// Carries the plan out while the delivery is kept alive, but not for ever.
    async fn hold(
        &self,
        message: &jetstream::Message,
        origin: &Origin,
        plan: Option<Plan>,
        ack_wait: Duration,
    ) -> Verdict {
        tokio::select! {
            verdict = self.carry_out(message, origin, plan) => verdict,
            verdict = self.let_go() => verdict,
            never = keep_alive(message, ack_wait) => match never {},
        }
    }

    /// Does everything that the event leads to. Without a plan, it waits until one can be made.
    async fn carry_out(
        &self,
        message: &jetstream::Message,
        origin: &Origin,
        plan: Option<Plan>,
    ) -> Verdict {
        let plan = match plan {
            Some(plan) => plan,
            None => self.plan(message, origin, self.definitions.current().await),
        };
        let decision = &plan.decision;
        if decision.leads_to_nothing() {
            return self.pass(decision);
        }
        let outcomes = self.start_all(&plan, origin).await;
        self.report_starts(decision, &outcomes, origin);
        if let Some(verdict) = self.not_yet(&outcomes, origin) {
            return verdict;
        }
        self.report_not_started(decision);
        let problems = all_problems(decision, &outcomes);
        if !problems.is_empty() {
            self.put_aside(message, origin, &problems).await;
            return Verdict::Settled(EventResult::DeadLetter);
        }
        if outcomes.contains(&StartOutcome::Started) {
            Verdict::Settled(EventResult::Started)
        } else {
            Verdict::Settled(EventResult::Duplicate)
        }
    }

    /// Takes note of an event that leads to nothing.
    fn pass(&self, decision: &Decision) -> Verdict {
        self.report_not_started(decision);
        report_unmatched(decision);
        Verdict::Settled(EventResult::Unmatched)
    }

    /// Starts every run of the plan, and says what became of each, in the plan's order.
    async fn start_all(&self, plan: &Plan, origin: &Origin) -> Vec<StartOutcome> {
        let event = Named(plan.decision.event.as_ref());
        let in_hand = InHand {
            sequence: origin.place.sequence,
            event_type: event.event_type(),
            snapshot: &plan.snapshot,
        };
        // Collected first: a closure inside the stream would make the future one that can't be
        // spawned.
        let starts = plan.decision.starts.iter();
        let starting: Vec<_> = starts.map(|planned| self.start(planned, in_hand)).collect();
        stream::iter(starting)
            .buffered(STARTS_AT_ONCE)
            .collect()
            .await
    }

    async fn start(&self, planned: &PlannedStart, event: InHand<'_>) -> StartOutcome {
        let Some(subject) = &planned.in_order_of else {
            return self.dispatcher.start(planned).await;
        };
        let InOrder {
            outcome,
            earlier_started,
        } = Box::pin(self.order.start(planned, subject, event)).await;
        self.metrics
            .count_definition(&planned.object, DefinitionResult::Started, earlier_started);
        outcome
    }

    /// Whether the event has to come again, because a start failed or waits.
    fn not_yet(&self, outcomes: &[StartOutcome], origin: &Origin) -> Option<Verdict> {
        let has = |wanted: fn(&StartOutcome) -> bool| outcomes.iter().any(wanted);
        let next = has(|outcome| matches!(outcome, StartOutcome::Failed(_)))
            .then(|| self.tries.fail(origin.place));
        if has(|outcome| matches!(outcome, StartOutcome::Waits(_))) {
            return Some(Verdict::LetGo(order::REST));
        }
        match next {
            Some(Next::After(pause)) => Some(Verdict::Retry(pause)),
            Some(Next::Exhausted(_)) | None => None,
        }
    }

    /// Waits until the event has to be let go.
    async fn let_go(&self) -> Verdict {
        let stopping = async {
            self.shutdown.begun().await;
            tokio::time::sleep(FINISH_WITHIN).await;
        };
        tokio::select! {
            () = tokio::time::sleep(LONGEST_HOLD) => Verdict::LetGo(REST),
            () = stopping => Verdict::LetGo(Duration::ZERO),
        }
    }

    async fn put_aside(&self, message: &jetstream::Message, origin: &Origin, problems: &[Problem]) {
        let letter = DeadLetter {
            origin,
            message,
            problems,
            at: Utc::now(),
        };
        self.dead_letters.store(&letter).await;
        tracing::warn!(
            subject = origin.subject,
            sequence = origin.place.sequence,
            reason = letter.reason().as_str(),
            error = letter.error(),
            "the event is a dead letter"
        );
        self.metrics.count_dead_letter(letter.reason());
        for problem in problems {
            // An EventType's problem is counted with the definitions that it holds back.
            if let About::Definition(object) = &problem.about {
                let result = DefinitionResult::DeadLetter(problem.reason);
                self.metrics.count_definition(object, result, 1);
            }
        }
    }

    /// Acknowledges and waits for the server's word that it knows. Without it the event comes
    /// again, which does no harm.
    async fn acknowledge(&self, message: &jetstream::Message, origin: &Origin) {
        let Some(reply) = message.reply.clone() else {
            return;
        };
        // Not the library's double_ack: it takes the server's "nobody listens" for a yes.
        // The time limit is below: it is for the way out, too.
        let request = async_nats::Request::new()
            .payload("+ACK".into())
            .timeout(None);
        // In one piece: a future that moves into another is in the task's memory twice.
        let error = match timeout(ACK_TIMEOUT, self.nats.send_request(reply, request)).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => describe(&error),
            Err(_) => format!("no answer within {} s", ACK_TIMEOUT.as_secs()),
        };
        self.metrics.unconfirmed_acks.inc();
        tracing::warn!(
            sequence = origin.place.sequence,
            error,
            "NATS did not confirm an acknowledgement; the event comes again"
        );
    }

    fn report_warnings(&self, decision: &Decision) {
        for warning in &decision.warnings {
            self.metrics.schema_warnings.inc();
            let event = Named(decision.event.as_ref());
            tracing::warn!(
                event_id = event.id(),
                event_type = event.event_type(),
                source = event.source(),
                reason = warning.reason.as_str(),
                error = %warning,
                "the payload breaks a schema that is not enforced"
            );
        }
    }

    fn report_starts(&self, decision: &Decision, outcomes: &[StartOutcome], origin: &Origin) {
        let event = Named(decision.event.as_ref());
        for (planned, outcome) in decision.starts.iter().zip(outcomes) {
            let (counted, result, error) = match outcome {
                StartOutcome::Started => (Some(DefinitionResult::Started), "started", None),
                StartOutcome::Duplicate => {
                    (Some(DefinitionResult::Duplicate), "started before", None)
                }
                // Counted with the dead letter that it leads to.
                StartOutcome::Refused(error) => (None, "refused", Some(error)),
                StartOutcome::Failed(error) => {
                    (Some(DefinitionResult::Failed), "failed", Some(error))
                }
                StartOutcome::Waits(error) => (Some(DefinitionResult::Waits), "waits", Some(error)),
            };
            if let Some(counted) = counted {
                self.metrics.count_definition(&planned.object, counted, 1);
            }
            tracing::info!(
                event_id = event.id(),
                event_type = event.event_type(),
                source = event.source(),
                trace_id = event.trace_id(),
                definition = %planned.object,
                run_id = %planned.start.run_id,
                workflow_id = planned.start.workflow_id,
                sequence = origin.place.sequence,
                delivered = origin.delivered,
                result,
                error,
                "start of a run"
            );
        }
    }

    /// Counts the definitions that the event does not start, once nothing is tried again.
    fn report_not_started(&self, decision: &Decision) {
        for not_started in &decision.unmatched {
            if let Some(result) = DefinitionResult::of(&not_started.why) {
                self.metrics
                    .count_definition(&not_started.object, result, 1);
            }
        }
        for held_back in &decision.held_back {
            let result = DefinitionResult::DeadLetter(held_back.reason);
            self.metrics.count_definition(&held_back.object, result, 1);
        }
    }
}
/// An event's names for the log; empty where the event can't be read.
struct Named<'event>(Option<&'event EventIdentity>);

impl<'event> Named<'event> {
    fn id(&self) -> &'event str {
        self.0.map_or("", |event| &event.event_id)
    }

    fn event_type(&self) -> &'event str {
        self.0.map_or("", |event| &event.event_type)
    }

    fn source(&self) -> &'event str {
        self.0.map_or("", |event| &event.source)
    }

    fn trace_id(&self) -> Option<&'event str> {
        self.0?.trace_id.as_deref()
    }

    fn headline(&self) -> Option<Headline> {
        let event = self.0?;
        Some(Headline {
            event_type: event.event_type.clone(),
            subject: event.subject.clone()?,
        })
    }
}

/// Everything that is wrong with the event: what its decision says, and the starts that are given
/// up.
fn all_problems(decision: &Decision, outcomes: &[StartOutcome]) -> Vec<Problem> {
    let starts = decision.starts.iter().zip(outcomes);
    let given_up = starts.filter_map(|(planned, outcome)| {
        let (reason, error) = dead_letter_reason(outcome)?;
        Some(Problem {
            reason,
            about: About::Definition(planned.object.clone()),
            error: error.to_owned(),
        })
    });
    decision.problems.iter().cloned().chain(given_up).collect()
}

fn report_unmatched(decision: &Decision) {
    let event = Named(decision.event.as_ref());
    tracing::info!(
        event_id = event.id(),
        event_type = event.event_type(),
        source = event.source(),
        trace_id = event.trace_id(),
        reasons = decision.to_string().trim_end(),
        "matched no definitions"
    );
}

/// Acknowledges progress, so that the server does not take the event for lost while it is held.
async fn keep_alive(message: &jetstream::Message, ack_wait: Duration) -> Infallible {
    // Two of three may get lost.
    let mut ticks = tokio::time::interval((ack_wait / 3).max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        send(message, AckKind::Progress).await;
    }
}

/// Sends an acknowledgement that nobody confirms. If it gets lost, the event comes again after
/// the consumer's acknowledgement wait.
async fn send(message: &jetstream::Message, kind: AckKind) {
    let error = match timeout(ACK_TIMEOUT, message.ack_with(kind)).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => describe(error.as_ref()),
        Err(_) => format!("no room within {} s", ACK_TIMEOUT.as_secs()),
    };
    tracing::warn!(?kind, error, "unable to send an acknowledgement");
}
