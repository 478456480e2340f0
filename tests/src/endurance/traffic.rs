//! What is published, and what has to come of it. Pure, and by rules of its own: a mistake in the
//! router's decisions must not be a mistake here too.

use std::collections::{BTreeMap, BTreeSet};

use contracts::dead_letter::Reason;
use fastrand::Rng;
use serde_json::{Value, json};

use super::Options;

/// Who publishes.
pub const SOURCE: &str = "endurance";

/// What happens.
pub const EVENT_TYPE: &str = "user.created";

/// How many subjects the events are about.
const SUBJECTS: u32 = 20;

/// A condition that this many seats satisfy.
const MANY_SEATS: u32 = 95;

/// The definitions that wait for the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiting {
    /// By a filter.
    Filter,
    /// By a condition.
    Condition,
    /// By a filter, and in the order of the subject.
    InOrder,
}

impl Waiting {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Filter, Self::Condition, Self::InOrder];

    /// The definition's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filter => "by-filter",
            Self::Condition => "by-condition",
            Self::InOrder => "in-order",
        }
    }

    /// The definition's trigger.
    pub fn trigger(self) -> Value {
        match self {
            Self::Filter => json!({"eventType": EVENT_TYPE, "filters": {"tier": "pro"}}),
            Self::Condition => {
                let condition = format!("payload.seats > {MANY_SEATS}");
                json!({"eventType": EVENT_TYPE, "condition": condition})
            }
            Self::InOrder => {
                let filters = json!({"kind": "order"});
                json!({"eventType": EVENT_TYPE, "filters": filters, "ordering": "BySubject"})
            }
        }
    }
}

/// The schema that every payload must satisfy.
pub fn schema() -> Value {
    json!({"properties": {"tier": {"type": "string"}}})
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The event's id; empty where it can't be read.
    pub event_id: String,
    /// What it is about.
    pub subject: String,
    /// What is published.
    pub body: String,
    /// The definitions that it starts.
    pub starts: BTreeSet<Waiting>,
    /// Why it is a dead letter.
    pub dead_letter: Option<Reason>,
    /// Whether it repeats an earlier one.
    pub is_repetition: bool,
}

/// Everything that is published, in the order in which it is begun.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// The messages.
    pub messages: Vec<Message>,
}

impl Traffic {
    /// Draws the messages.
    pub fn plan(options: &Options) -> Self {
        let mut rng = Rng::with_seed(options.seed);
        let mut messages: Vec<Message> = Vec::with_capacity(options.events);
        for number in 0..options.events {
            let lot = rng.u32(..100);
            let message = if lot < options.duplicates && !messages.is_empty() {
                Message {
                    is_repetition: true,
                    ..messages[rng.usize(..messages.len())].clone()
                }
            } else if lot < options.duplicates + options.poison {
                poison(number, &mut rng, options)
            } else {
                sound(number, &mut rng, options)
            };
            messages.push(message);
        }
        Self { messages }
    }

    /// How many messages repeat an earlier one.
    pub fn duplicates(&self) -> usize {
        let messages = self.messages.iter();
        messages.filter(|message| message.is_repetition).count()
    }

    /// How many messages are dead letters.
    pub fn poison(&self) -> usize {
        let messages = self.messages.iter();
        messages
            .filter(|message| message.dead_letter.is_some())
            .count()
    }

    /// The events that start a run of each definition; each of them once.
    pub fn expected(&self) -> BTreeMap<Waiting, BTreeSet<&str>> {
        let mut expected: BTreeMap<Waiting, BTreeSet<&str>> = BTreeMap::new();
        for message in &self.messages {
            for waiting in &message.starts {
                let events = expected.entry(*waiting).or_default();
                events.insert(&message.event_id);
            }
        }
        expected
    }
}

/// A third of what is to start, for each of three definitions.
fn is_drawn(rng: &mut Rng, options: &Options) -> bool {
    rng.u32(..300) < options.starting
}

struct Draft {
    payload: Value,
    starts: BTreeSet<Waiting>,
}

fn draft(rng: &mut Rng, options: &Options) -> Draft {
    let mut starts = BTreeSet::new();
    let mut draw = |waiting: Waiting, rng: &mut Rng| {
        let drawn = is_drawn(rng, options);
        if drawn {
            starts.insert(waiting);
        }
        drawn
    };
    let tier = if draw(Waiting::Filter, rng) {
        "pro"
    } else {
        "free"
    };
    let seats = if draw(Waiting::Condition, rng) {
        rng.u32(MANY_SEATS + 1..1000)
    } else {
        rng.u32(1..=MANY_SEATS)
    };
    let kind = if draw(Waiting::InOrder, rng) {
        "order"
    } else {
        "note"
    };
    Draft {
        payload: json!({"tier": tier, "seats": seats, "kind": kind}),
        starts,
    }
}

fn sound(number: usize, rng: &mut Rng, options: &Options) -> Message {
    let Draft { payload, starts } = draft(rng, options);
    message(number, rng, &payload, starts)
}

fn message(number: usize, rng: &mut Rng, payload: &Value, starts: BTreeSet<Waiting>) -> Message {
    let event_id = format!("event-{number}");
    let subject = format!("user/{}", rng.u32(..SUBJECTS));
    let envelope = json!({
        "event_id": event_id, "type": EVENT_TYPE, "source": SOURCE, "subject": subject,
        "occurred_at": "2026-11-24T09:00:00Z", "payload": payload,
    });
    Message {
        event_id,
        subject,
        body: envelope.to_string(),
        starts,
        dead_letter: None,
        is_repetition: false,
    }
}

/// An event that can't be read, one that breaks the schema, or one on which the condition fails; the
/// last still starts what it matches otherwise.
fn poison(number: usize, rng: &mut Rng, options: &Options) -> Message {
    let Draft {
        mut payload,
        mut starts,
    } = draft(rng, options);
    let reason = match rng.u32(..3) {
        0 => {
            let sound = message(number, rng, &payload, BTreeSet::new());
            let cut = sound.body.len() / 2;
            return Message {
                event_id: String::new(),
                body: sound.body[..cut].to_owned(),
                dead_letter: Some(Reason::InvalidEnvelope),
                ..sound
            };
        }
        1 => {
            payload["tier"] = json!(7);
            starts.clear();
            Reason::SchemaViolation
        }
        _ => {
            payload["seats"] = json!("many");
            starts.remove(&Waiting::Condition);
            Reason::ConditionError
        }
    };
    Message {
        dead_letter: Some(reason),
        ..message(number, rng, &payload, starts)
    }
}
