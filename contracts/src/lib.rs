//! What other processes see: names, the event envelope, REST bodies and workflow payloads.
//!
//! Only these types, the custom resources and SQL rows are serialized. There is no logic here
//! beyond the conversion into [`domain`]'s types; a shape in this crate is a promise to somebody.

pub mod dead_letter;
pub mod event;
pub mod issue_core;
pub mod names;
pub mod rest;
pub mod state_hub;
pub mod step;
pub mod trace_context;
pub mod workflow;
