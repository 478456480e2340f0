//! The pure core: identities, schedules, routing, prompts and verification.
//!
//! Nothing here does I/O, reads a clock, makes a random number or knows a wire format. Time, ids
//! and observations come in as arguments; decisions go out as plain data that can be printed and
//! compared. The crates at the edges ([`crds`], `contracts`, `store`) convert into these types
//! once, and what has been converted cannot be wrong.
//!
//! # Glossary
//!
//! - **Activity**: something that must run every day, or on every event, and be known to have run.
//! - **Definition**: what a user declared about an activity, after validation ([`Definition`]).
//! - **Trigger**: the reason for one run: a nominal schedule time, an event, or a request
//!   ([`TriggerKey`]).
//! - **Run**: one execution for one trigger. Its id is a function of activity and trigger, so the
//!   same trigger can never be two runs ([`RunId`]).
//! - **Nominal time**: the time that the cron expression names, before jitter and lateness.
//! - **Sink**: where a run's report or tasks go. Each delivery is recorded and idempotent.
//!
//! [`crds`]: https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/custom-resources/

pub mod audit;
mod condition;
mod definition;
mod event;
mod feedback;
mod filter;
mod id;
mod maintenance;
pub mod object_name;
mod outcome;
mod prompt;
mod routing;
mod schedule;
mod trigger;
pub mod verification;

pub use condition::{CelCondition, InvalidCondition};
pub use definition::{
    CatchUp, ContextKind, ContextSource, CronTrigger, Definition, EventOrdering, EventTrigger,
    ExternalPausePolicy, HeaderSource, HttpHeader, Instruction, InvalidDefinition, OverlapPolicy,
    ReportSink, ReportSinkKind, SecretReference, StateHubQuery, TaskSink, Tier, TimeBudget,
    Trigger,
};
pub use event::Event;
pub use feedback::FeedbackKind;
pub use filter::{Filters, InvalidFilter, Mismatch};
pub use id::{ActivityId, InvalidId, RunId};
pub use maintenance::Window;
pub use outcome::{DeliveryResult, RunOutcome};
pub use prompt::{InvalidPrompt, OutputSchema, PromptTemplate};
pub use routing::{Match, Unmatched, route};
pub use schedule::{CronExpression, CronSchedule, InvalidSchedule, TimeZone};
pub use trigger::{TriggerKey, TriggerKind};
