//! Sinks: where a run's report and tasks go. Each looks first whether the run is there already.
//!
//! Entering intents and results in the ledger is left to the `delivery` module.

pub(crate) mod issue_core;
mod signature;
pub(crate) mod state_hub;
mod webhook;
mod working_memory;

use std::time::Duration;

use domain::{DeliveryResult, ReportSink, ReportSinkKind};
pub(crate) use signature::InvalidSecret;
use store::DeliveryEnd;

use crate::error::StepError;
use crate::report::Report;
use crate::services::Services;

/// The kinds of sinks, as the ledger and metrics name them.
pub(crate) const KINDS: [&str; 4] = ["stateHub", "workingMemory", "webhook", issue_core::KIND];

/// What became of a delivery that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Delivered, Exists or DryRun.
    pub(crate) result: DeliveryResult,
    /// The sink's own name for what was delivered.
    pub(crate) reference: Option<String>,
    /// What people should know about it.
    pub(crate) note: Option<String>,
}

impl Delivered {
    /// It arrived by this delivery.
    pub(crate) const fn now(reference: Option<String>) -> Self {
        Self::with(DeliveryResult::Delivered, reference)
    }

    /// It had arrived already.
    pub(crate) const fn before(reference: Option<String>) -> Self {
        Self::with(DeliveryResult::Exists, reference)
    }

    /// Only the contract was checked.
    pub(crate) const fn dry_run() -> Self {
        Self::with(DeliveryResult::DryRun, None)
    }

    const fn with(result: DeliveryResult, reference: Option<String>) -> Self {
        Self {
            result,
            reference,
            note: None,
        }
    }

    /// The delivery as the ledger takes it.
    pub(crate) fn end(&self) -> DeliveryEnd {
        DeliveryEnd {
            result: self.result,
            external_reference: self.reference.clone(),
            error: self.note.clone(),
        }
    }
}

/// One delivery of a report.
pub(crate) struct ReportDelivery<'run> {
    /// What the process shares.
    pub(crate) services: &'run Services,
    /// The report.
    pub(crate) report: &'run Report,
    /// The sink.
    pub(crate) sink: &'run ReportSink,
    /// The W3C trace context of outbound calls.
    pub(crate) traceparent: Option<&'run str>,
}

impl ReportDelivery<'_> {
    /// Looks, and delivers what is not there.
    pub(crate) async fn deliver(&self) -> Result<Delivered, StepError> {
        match &self.sink.kind {
            ReportSinkKind::StateHub { event_type } => state_hub::deliver(self, event_type).await,
            ReportSinkKind::WorkingMemory { prefix } => working_memory::deliver(self, prefix).await,
            ReportSinkKind::Webhook {
                url,
                signing_secret,
            } => webhook::deliver(self, url, signing_secret.as_ref()).await,
        }
    }

    /// The key that makes a repeated delivery harmless.
    fn idempotency_key(&self) -> String {
        format!("{}/{}", self.report.run_id, self.sink.name)
    }

    const fn timeout(&self) -> Duration {
        self.sink.timeout
    }
}
