//! What is planned, or nothing but a retry that found its work done: nobody is told.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{TimeDelta, Utc};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use serde_json::{Value, json};
use testkit::stand_ins::Fault as Mistreatment;
use testkit::wait::Seen;

use crate::ward::{PATIENCE, Ward};

/// How long a window stays open: several runs fall into it.
const WINDOW: TimeDelta = TimeDelta::seconds(25);
/// Longer than the pause between two runs.
const SLOW: Duration = Duration::from_secs(12);

/// A case in which nobody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planned {
    MaintenanceWindow,
    Disabled,
    Overlap,
    Exists,
    Feedback,
}

/// Every few seconds, critical, missing after a moment.
fn often() -> Value {
    json!({
        "tier": "Critical",
        "trigger": {"cron": {"expression": "*/5 * * * * * *", "misfirePolicy": "Skip"}},
        "verification": {"graceSeconds": 5},
    })
}

fn with_report() -> Value {
    json!({
        "tier": "Critical",
        "reports": [{"name": "hub", "timeoutSeconds": 60, "stateHub": {"eventType": "pages"}}],
    })
}

impl Planned {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::MaintenanceWindow,
        Self::Disabled,
        Self::Overlap,
        Self::Exists,
        Self::Feedback,
    ];

    /// What it is, and by what it is seen to have happened.
    pub(crate) fn description(self) -> (&'static str, &'static str) {
        match self {
            Self::MaintenanceWindow => (
                "a maintenance window over several runs of a critical definition",
                "their rows are `SkippedMaintenance`, and State Hub has the note after it",
            ),
            Self::Disabled => (
                "a critical definition is disabled over several of its times",
                "their rows are `SkippedDisabled`",
            ),
            Self::Overlap => (
                "a run takes longer than the pause between two, and the overlap policy is Skip",
                "the rows between are `SkippedOverlap`",
            ),
            Self::Exists => (
                "State Hub takes a report, its answer is lost, and the retry finds it there",
                "the delivery is `Exists`",
            ),
            Self::Feedback => (
                "somebody says that a run's report is wrong (`actcore feedback`)",
                "the feedback is in the ledger",
            ),
        }
    }

    /// Has it happen, until it shows in the ledger.
    pub(crate) async fn happen(self, ward: &Ward) -> Result<()> {
        match self {
            Self::MaintenanceWindow => maintain(ward).await,
            Self::Disabled => {
                ward.declare("disabled", often()).await?;
                ward.has("disabled", 1, "Succeeded").await?;
                ward.change("disabled", json!({"spec": {"enabled": false}}))
                    .await?;
                ward.has("disabled", 2, "SkippedDisabled").await?;
                ward.withdraw("disabled").await
            }
            Self::Overlap => {
                let mut spec = often();
                spec["reports"] = with_report()["reports"].clone();
                let hub = ward.environment.stand_ins().state_hub.traffic();
                hub.delay_next(1, SLOW);
                ward.declare("overlap", spec).await?;
                ward.has("overlap", 1, "SkippedOverlap").await?;
                ward.has("overlap", 2, "Succeeded").await?;
                ward.withdraw("overlap").await
            }
            Self::Exists => {
                ward.declare("exists", with_report()).await?;
                let hub = ward.environment.stand_ins().state_hub.traffic();
                // It is asked for the run first, and then sent the report.
                hub.delay_next(1, Duration::ZERO);
                hub.fault_next(1, Mistreatment::LostAnswer);
                ward.trigger("exists", "once").await?;
                ward.has("exists", 1, "Succeeded").await?;
                let result = result_of_delivery(ward, "exists").await?;
                anyhow::ensure!(result == "Exists", "the delivery is {result}");
                ward.withdraw("exists").await
            }
            Self::Feedback => {
                ward.declare("feedback", with_report()).await?;
                ward.trigger("feedback", "once").await?;
                ward.has("feedback", 1, "Succeeded").await?;
                let run = run_id(ward, "feedback").await?;
                ward.actcore(&["feedback", &run, "--kind", "too-long"])
                    .await?;
                ward.withdraw("feedback").await
            }
        }
    }
}

async fn maintain(ward: &Ward) -> Result<()> {
    ward.declare("maintained", often()).await?;
    ward.has("maintained", 1, "Succeeded").await?;
    let now = Utc::now();
    let spec = json!({
        "startTime": now,
        "endTime": now + WINDOW,
        "reason": "The storage moves.",
        "approvedBy": "on-call",
    });
    let window = crds::MaintenanceWindow {
        metadata: ObjectMeta {
            name: Some("storage-move".to_owned()),
            ..ObjectMeta::default()
        },
        spec: serde_json::from_value(spec)?,
        status: None,
    };
    ward.windows.create(&PostParams::default(), &window).await?;
    ward.has("maintained", 2, "SkippedMaintenance").await?;
    let before = ward.count("maintained", "Succeeded").await?;
    ward.has("maintained", before + 1, "Succeeded").await?;
    let hub = &ward.environment.stand_ins().state_hub;
    testkit::wait::until("the note after the window", PATIENCE, async || {
        let told = hub.entries().into_iter().map(|entry| entry.event_type);
        let told: Vec<String> = told.collect();
        if told.iter().any(|kind| kind == "planned_skip") {
            Seen::Done(())
        } else {
            Seen::not_yet(format!("{told:?}"))
        }
    })
    .await?;
    ward.windows
        .delete("storage-move", &DeleteParams::default())
        .await?;
    ward.withdraw("maintained").await
}

async fn run_id(ward: &Ward, name: &str) -> Result<String> {
    let finding = sqlx::query_scalar(
        "select run_id::text from activity_runs where activity_name = $1 limit 1",
    );
    let found: Option<String> = finding.bind(name).fetch_optional(ward.store.pool()).await?;
    found.context("it has no run")
}

async fn result_of_delivery(ward: &Ward, name: &str) -> Result<String> {
    let finding =
        sqlx::query_scalar("select result from sink_deliveries where run_id = $1::uuid limit 1");
    let finding = finding.bind(run_id(ward, name).await?);
    let found: Option<String> = finding.fetch_optional(ward.store.pool()).await?;
    found.context("it has no delivery")
}
