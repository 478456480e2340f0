//! What an event leads to, decided from the event and the definitions and event types of one
//! moment.
//!
//! The event router carries the decisions out; `actcore events` shows them and makes up for what
//! never started. Both decide here, so what is shown is what happens. Nothing here does I/O: rows
//! of the mirror come in ([`Snapshot`]), and a plan goes out ([`Decision`]).

mod decide;
mod snapshot;

pub use decide::{
    About, Decision, EventIdentity, HeldBack, NotStarted, PlannedStart, Problem, decide,
};
pub use snapshot::{Conformity, ObjectName, PayloadSchema, Snapshot, Subscriber, Unreadable};
