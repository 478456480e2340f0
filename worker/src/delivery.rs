//! Deliveries in the ledger: the intent before the effect, what became of it after.

use std::future::Future;
use std::time::Duration;

use contracts::step::{DeliverReport, DeliveryReceipt, EmitTasks};
use domain::{ActivityId, Definition, DeliveryResult, RunId, TaskSink};
use store::{DeliveryEnd, MirrorRow};

use crate::error::StepError;
use crate::metrics::SinkLabels;
use crate::plan::{self, TASKS_TIMEOUT};
use crate::report::Report;
use crate::services::Services;
use crate::sinks::issue_core::{self, TaskDelivery};
use crate::sinks::{Delivered, ReportDelivery};
use crate::trace::traceparent;

/// Which try of how many this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// From 1 on.
    pub(crate) number: u32,
    /// The last one; 0 when there is no last one.
    pub(crate) maximum: u32,
}

impl Attempt {
    const fn is_last(self) -> bool {
        self.maximum != 0 && self.number >= self.maximum
    }
}

/// Hands the report of a run to one sink.
pub(crate) async fn deliver_report(
    services: &Services,
    input: &DeliverReport,
    attempt: Attempt,
) -> Result<DeliveryReceipt, StepError> {
    let run_id = RunId::new(input.run_id);
    let activity = ActivityId::new(input.activity_id);
    let row = services.store.definition(activity).await?;
    let entry = Entry::new(services, row.as_ref(), (&input.sink, &input.kind), attempt);
    entry
        .record(run_id, async {
            let definition = definition(row.as_ref())?;
            let sink = definition
                .reports
                .iter()
                .find(|report| report.name == input.sink)
                .ok_or(StepError::Changed("report of this name"))?;
            let run = services.store.run(run_id).await?.ok_or(StepError::NoRow)?;
            let answer = services.store.report(run_id).await?;
            let report = Report::of_run(&run, &definition, answer);
            let traceparent = traceparent(input.trace_id.as_deref(), run_id);
            let delivery = ReportDelivery {
                services,
                report: &report,
                sink,
                traceparent: traceparent.as_deref(),
            };
            within(sink.timeout, delivery.deliver()).await
        })
        .await
}

/// Files the tasks that a run found.
pub(crate) async fn emit_tasks(
    services: &Services,
    input: &EmitTasks,
    attempt: Attempt,
) -> Result<DeliveryReceipt, StepError> {
    let run_id = RunId::new(input.run_id);
    let activity = ActivityId::new(input.activity_id);
    let row = services.store.definition(activity).await?;
    let sink = (issue_core::NAME, issue_core::KIND);
    Entry::new(services, row.as_ref(), sink, attempt)
        .record(run_id, async {
            let definition = definition(row.as_ref())?;
            let TaskSink::IssueCore { dry_run } = definition.tasks else {
                return Err(StepError::Changed("task sink"));
            };
            let answer = services.store.report(run_id).await?;
            let traceparent = traceparent(input.trace_id.as_deref(), run_id);
            let delivery = TaskDelivery {
                services,
                run_id,
                activity,
                dry_run,
                traceparent: traceparent.as_deref(),
            };
            within(TASKS_TIMEOUT, delivery.deliver(answer.as_deref())).await
        })
        .await
}

fn definition(row: Option<&MirrorRow>) -> Result<Definition, StepError> {
    let row = row.ok_or(StepError::DefinitionDeleted)?;
    plan::definition(row).map_err(StepError::InvalidDefinition)
}

/// The work's outcome, or an error when it takes too long.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(StepError::TimedOut {
            seconds: limit.as_secs(),
        })
    })
}

/// One delivery in the ledger and in the metrics.
struct Entry<'run> {
    services: &'run Services,
    sink: &'run str,
    kind: &'run str,
    attempt: Attempt,
    /// `None` when the definition is gone.
    labels: Option<SinkLabels>,
}

impl<'run> Entry<'run> {
    fn new(
        services: &'run Services,
        row: Option<&MirrorRow>,
        (sink, kind): (&'run str, &'run str),
        attempt: Attempt,
    ) -> Self {
        let labels = row.and_then(|row| SinkLabels::new(row, sink, kind));
        if let Some(labels) = &labels {
            services.metrics.expect_deliveries(labels);
        }
        Self {
            services,
            sink,
            kind,
            attempt,
            labels,
        }
    }

    /// Enters the intent, carries it out, and enters what became of it.
    async fn record(
        &self,
        run_id: RunId,
        effect: impl Future<Output = Result<Delivered, StepError>>,
    ) -> Result<DeliveryReceipt, StepError> {
        self.services
            .store
            .begin_delivery(run_id, self.sink, self.kind)
            .await?;
        match effect.await {
            Ok(delivered) => {
                self.enter(run_id, &delivered.end()).await?;
                self.count(delivered.result);
                tracing::info!(
                    %run_id, sink = self.sink, kind = self.kind,
                    result = delivered.result.as_str(), "delivered"
                );
                Ok(DeliveryReceipt {
                    result: delivered.result.as_str().to_owned(),
                    external_reference: delivered.reference,
                })
            }
            Err(error) => {
                self.enter_failure(run_id, &error).await;
                Err(error)
            }
        }
    }

    async fn enter_failure(&self, run_id: RunId, error: &StepError) {
        let result = result_of_failure(error, self.attempt);
        let text = error.text();
        tracing::warn!(
            %run_id, sink = self.sink, kind = self.kind,
            attempt = self.attempt.number, result = result.as_str(), error = text,
            "failed to deliver"
        );
        if let Some(labels) = &self.labels {
            self.services.metrics.count_delivery_failure(labels);
        }
        if result == DeliveryResult::Failed {
            self.count(result);
        }
        let end = DeliveryEnd {
            result,
            external_reference: None,
            error: Some(text),
        };
        // The delivery's own error is the one to pass on; a row that stays pending is closed
        // when the run ends.
        if let Err(error) = self.enter(run_id, &end).await {
            tracing::warn!(error = error.text(), "failed to enter a failed delivery");
        }
    }

    async fn enter(&self, run_id: RunId, end: &DeliveryEnd) -> Result<(), StepError> {
        let entered = self.services.store.end_delivery(run_id, self.sink, end);
        Ok(entered.await?)
    }

    fn count(&self, result: DeliveryResult) {
        if let Some(labels) = &self.labels {
            self.services.metrics.count_delivery(labels, result);
        }
    }
}

/// A failed delivery is pending as long as somebody will try it again.
fn result_of_failure(error: &StepError, attempt: Attempt) -> DeliveryResult {
    if error.is_permanent() || attempt.is_last() {
        DeliveryResult::Failed
    } else {
        DeliveryResult::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_fails_when_nobody_will_try_it_again() {
        let later = StepError::TimedOut { seconds: 5 };
        let never = StepError::DefinitionDeleted;
        let attempt = |number| Attempt {
            number,
            maximum: 10,
        };
        assert_eq!(
            result_of_failure(&later, attempt(9)),
            DeliveryResult::Pending
        );
        assert_eq!(
            result_of_failure(&later, attempt(10)),
            DeliveryResult::Failed
        );
        assert_eq!(
            result_of_failure(&never, attempt(1)),
            DeliveryResult::Failed
        );
        let unlimited = Attempt {
            number: 99,
            maximum: 0,
        };
        assert_eq!(
            result_of_failure(&later, unlimited),
            DeliveryResult::Pending
        );
    }
}
