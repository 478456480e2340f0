//! The looks at Temporal: the server, the namespace, the search attributes, the workers.

use chrono::Utc;
use runtime::temporal::TemporalArguments;
use temporal::{Temporal, WorkQueue};

use super::{Finding, checks};
use crate::connections::{self, PATIENCE, answer};

const SERVER: &str = "Temporal";
const NAMESPACE: &str = "Temporal namespace";
const ATTRIBUTES: &str = "Temporal search attributes";

/// Temporal and everything in it that runs need.
pub(super) async fn temporal(arguments: &TemporalArguments) -> Vec<Finding> {
    let temporal = match connections::open_temporal(arguments).await {
        Ok(temporal) => temporal,
        Err(problem) => {
            let advice = "check TEMPORAL_HOST and the server; temporal operator cluster health";
            let advice = arguments.temporal_host.is_some().then_some(advice);
            return vec![checks::unreachable(SERVER, advice, &problem)];
        }
    };
    let mut findings = vec![Finding::ok(SERVER, "answers")];
    let name = &arguments.temporal_namespace;
    match answer(SERVER, temporal.namespace_exists()).await {
        Ok(true) => findings.push(Finding::ok(NAMESPACE, name.clone())),
        Ok(false) => {
            let missing = Finding::failed(NAMESPACE, format!("there is no namespace {name}"));
            findings.push(
                missing.advise(
                    "check TEMPORAL_NAMESPACE; temporal operator namespace create, or list",
                ),
            );
            // Whatever is asked in it would only fail in the same way.
            return findings;
        }
        Err(problem) => findings.push(checks::finding(NAMESPACE, &problem)),
    }
    findings.push(search_attributes(&temporal).await);
    for queue in WorkQueue::ALL {
        findings.push(workers(&temporal, queue).await);
    }
    findings
}

async fn search_attributes(temporal: &Temporal) -> Finding {
    let asked = tokio::time::timeout(PATIENCE, temporal.missing_search_attributes()).await;
    match asked {
        Err(_) => Finding::unknown(ATTRIBUTES, "no answer in time"),
        Ok(Ok(missing)) if missing.is_empty() => {
            Finding::ok(ATTRIBUTES, "ActivityId and ActivityName are Keyword")
        }
        Ok(Ok(missing)) => Finding::failed(ATTRIBUTES, format!("missing: {}", missing.join(", ")))
            .advise("actcore search-attributes register"),
        Ok(Err(error @ temporal::Error::SearchAttributeType { .. })) => {
            Finding::failed(ATTRIBUTES, error.to_string()).advise(
                "temporal operator search-attribute remove it, then actcore search-attributes \
                 register",
            )
        }
        Ok(Err(error)) => Finding::unknown(ATTRIBUTES, runtime::describe(&error)),
    }
}

async fn workers(temporal: &Temporal, queue: WorkQueue) -> Finding {
    let dependency = match queue {
        WorkQueue::Workflows => "workers on orchestrator-tq",
        WorkQueue::Activities => "workers on task-execution-tq",
    };
    match answer(SERVER, temporal.workers(queue, Utc::now())).await {
        Ok(workers) if workers.is_empty() => Finding::failed(
            dependency,
            "nobody has polled it in the last 90 s",
        )
        .advise(
            "kubectl -n activity-core get deploy actcore-worker; runs wait until a worker polls",
        ),
        Ok(workers) => Finding::ok(dependency, workers.join(", ")),
        Err(problem) => checks::finding(dependency, &problem),
    }
}
