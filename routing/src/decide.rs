//! What one event leads to: which runs it starts, why other definitions stay as they are, and
//! what about it has to become a dead letter.
//!
//! Pure: the event and a snapshot come in, a plan goes out, and carrying it out leaves nothing to
//! decide.
//!
//! An event can start some definitions and be a dead letter for others. The former are started
//! all the same: the dead letter names the latter, and sending it on its way again does no harm,
//! because what has run is not run again.
//!
//! EventTypes are namespaced, and so is their word: an event that breaks a schema which is
//! enforced becomes a dead letter and starts no definition of that schema's namespace. A team's
//! schema can not hold up the definitions of another team.

use std::fmt;

use contracts::dead_letter::Reason;
use contracts::event::Received;
use crds::ValidationMode;
use domain::{Definition, Event, EventOrdering, Match, Trigger, Unmatched};
use temporal::RunStart;

use crate::snapshot::{Conformity, ObjectName, Snapshot, Subscriber};

/// What an event is called in logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventIdentity {
    /// The publisher's id.
    pub event_id: String,
    /// What happened.
    pub event_type: String,
    /// Who published it.
    pub source: String,
    /// What it happened to.
    pub subject: Option<String>,
    /// The trace it belongs to.
    pub trace_id: Option<String>,
}

/// A run that is to be started.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStart {
    /// The definition's object.
    pub object: ObjectName,
    /// The run.
    pub start: RunStart,
    /// The event's subject, if the definition asks for the order of its events: no run of a later
    /// event with this subject is to be started before this one.
    pub in_order_of: Option<String>,
}

/// A definition that the event does not start.
#[derive(Debug, Clone, PartialEq)]
pub struct NotStarted {
    /// The definition's object.
    pub object: ObjectName,
    /// Why not.
    pub why: Unmatched,
}

/// A definition that is not even asked, because its namespace enforces a schema that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// The definition's object.
    pub object: ObjectName,
    /// The EventType's object.
    pub by: ObjectName,
    /// What is wrong with the event, or with the schema.
    pub reason: Reason,
}

/// What a problem is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// The event itself.
    Event,
    /// A definition.
    Definition(ObjectName),
    /// An EventType.
    EventType(ObjectName),
}

impl About {
    /// The object, if it is about one.
    pub const fn object(&self) -> Option<&ObjectName> {
        match self {
            Self::Event => None,
            Self::Definition(object) | Self::EventType(object) => Some(object),
        }
    }
}

/// Something about the event that must not be dropped silently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem it is.
    pub reason: Reason,
    /// What it is about.
    pub about: About,
    /// What exactly is wrong.
    pub error: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.about.object() {
            Some(object) => write!(formatter, "{object}: {}", self.error),
            None => formatter.write_str(&self.error),
        }
    }
}

/// Everything that one event leads to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// The event; `None` when it can't be read.
    pub event: Option<EventIdentity>,
    /// The runs to start.
    pub starts: Vec<PlannedStart>,
    /// The definitions that wait for the type and are not started.
    pub unmatched: Vec<NotStarted>,
    /// The definitions that are not even asked; a problem says why.
    pub held_back: Vec<HeldBack>,
    /// Why the event is a dead letter; it is none when this is empty.
    pub problems: Vec<Problem>,
    /// Schemas that it breaks and that are not enforced.
    pub warnings: Vec<Problem>,
}

impl Decision {
    /// Whether the event only has to be acknowledged.
    pub const fn leads_to_nothing(&self) -> bool {
        self.starts.is_empty() && self.problems.is_empty()
    }
}

impl fmt::Display for Decision {
    /// One line for each consequence.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for planned in &self.starts {
            let workflow = &planned.start.workflow_id;
            write!(formatter, "start {} as {workflow}", planned.object)?;
            match &planned.in_order_of {
                Some(subject) => writeln!(formatter, " in the order of {subject}")?,
                None => writeln!(formatter)?,
            }
        }
        for not_started in &self.unmatched {
            writeln!(
                formatter,
                "skip {}: {}",
                not_started.object, not_started.why
            )?;
        }
        for warning in &self.warnings {
            writeln!(formatter, "warn {}: {warning}", warning.reason)?;
        }
        for problem in &self.problems {
            writeln!(formatter, "dead letter {}: {problem}", problem.reason)?;
        }
        Ok(())
    }
}

/// Decides what an event leads to. The same event, however often it is delivered, leads to the same
/// on the same snapshot.
pub fn decide(received: &Received<'_>, snapshot: &Snapshot) -> Decision {
    let event = match contracts::event::read(received) {
        Ok(event) => event,
        Err(error) => {
            return Decision {
                problems: vec![Problem {
                    reason: Reason::InvalidEnvelope,
                    about: About::Event,
                    error: error.to_string(),
                }],
                ..Decision::default()
            };
        }
    };
    let mut decision = Decision {
        event: Some(EventIdentity {
            event_id: event.event_id.clone(),
            event_type: event.event_type.clone(),
            source: event.source.clone(),
            subject: event.subject.clone(),
            trace_id: event.trace_id.clone(),
        }),
        ..Decision::default()
    };
    let held_back = check_schemas(&event, snapshot, &mut decision);
    for subscriber in snapshot.subscribers(&event.event_type) {
        let held_by = held_back
            .iter()
            .find(|(schema, _)| schema.namespace == subscriber.object.namespace);
        match held_by {
            Some((schema, reason)) => decision.held_back.push(HeldBack {
                object: subscriber.object.clone(),
                by: (*schema).clone(),
                reason: *reason,
            }),
            None => route(&event, subscriber, &mut decision),
        }
    }
    decision
}

/// Holds the payload against every schema of its type, and returns those in whose namespaces no
/// definition is to be started.
fn check_schemas<'snapshot>(
    event: &Event,
    snapshot: &'snapshot Snapshot,
    decision: &mut Decision,
) -> Vec<(&'snapshot ObjectName, Reason)> {
    let mut held_back = Vec::new();
    for schema in snapshot.schemas(&event.event_type) {
        let (reason, error) = match schema.check(&event.payload) {
            Conformity::Conforms => continue,
            Conformity::Violates(error) => (Reason::SchemaViolation, error),
            Conformity::UnreadableSchema(error) => (Reason::UnreadableDefinition, error),
        };
        let problem = Problem {
            reason,
            about: About::EventType(schema.object.clone()),
            error,
        };
        match schema.validation {
            ValidationMode::Warn => decision.warnings.push(problem),
            ValidationMode::Enforce => {
                decision.problems.push(problem);
                held_back.push((&schema.object, reason));
            }
        }
    }
    held_back
}

fn route(event: &Event, subscriber: &Subscriber, decision: &mut Decision) {
    let object = subscriber.object.clone();
    let problem = |reason, error: String| Problem {
        reason,
        about: About::Definition(subscriber.object.clone()),
        error,
    };
    let definition = match &subscriber.definition {
        Ok(definition) => definition,
        Err(error) if subscriber.enabled => {
            let problem = problem(Reason::UnreadableDefinition, error.clone());
            return decision.problems.push(problem);
        }
        Err(_) => {
            let why = Unmatched::Disabled;
            return decision.unmatched.push(NotStarted { object, why });
        }
    };
    match domain::route(definition, event) {
        Match::Start => decision.starts.push(PlannedStart {
            object,
            start: RunStart::by_event(definition.id, &definition.name, event),
            in_order_of: in_order_of(definition, event),
        }),
        Match::Unmatched(why) => decision.unmatched.push(NotStarted { object, why }),
        Match::Error(error) => decision
            .problems
            .push(problem(Reason::ConditionError, error)),
    }
}

/// The subject whose events' runs start one after the other; `None` where no order is asked for or
/// the event has no subject.
fn in_order_of(definition: &Definition, event: &Event) -> Option<String> {
    let Trigger::Event(trigger) = &definition.trigger else {
        return None;
    };
    match trigger.ordering {
        EventOrdering::None => None,
        EventOrdering::BySubject => event.subject.clone(),
    }
}

#[cfg(test)]
mod tests;
