//! The ledger of runs, in Postgres or through the REST API, in one shape.

use chrono::{DateTime, Utc};
use contracts::rest;
use contracts::workflow::format_time;
use domain::{ActivityId, RunId, RunOutcome};
use runtime::postgres::PostgresArguments;
use serde::Serialize;
use store::{PageKey, Run, Store};
use uuid::Uuid;

use crate::api::{ApiArguments, ApiClient};
use crate::connections::{self, answer};
use crate::exit::Problem;

/// How many runs are read at once; the REST API's limit.
const PAGE: u16 = 500;

/// Where the ledger can be read.
pub(crate) enum History {
    /// In Postgres.
    Ledger(Store),
    /// Through the REST API.
    Api(ApiClient),
}

/// One run, in the shape that `-o json` promises.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunView {
    pub(crate) run_id: Uuid,
    pub(crate) activity_id: Uuid,
    pub(crate) activity_name: String,
    pub(crate) trigger: String,
    pub(crate) scheduled_for: Option<DateTime<Utc>>,
    pub(crate) fired_at: Option<DateTime<Utc>>,
    pub(crate) completed_at: Option<DateTime<Utc>>,
    pub(crate) outcome: String,
    pub(crate) error: Option<String>,
    pub(crate) workflow_id: Option<String>,
}

/// One delivery, in the shape that `-o json` promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryView {
    pub(crate) sink: String,
    pub(crate) kind: String,
    pub(crate) result: String,
    pub(crate) attempts: i32,
    pub(crate) external_reference: Option<String>,
    pub(crate) last_error: Option<String>,
    pub(crate) updated_at: DateTime<Utc>,
}

/// What an instruction took, in the shape that `-o json` promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UsageView {
    pub(crate) model: String,
    pub(crate) prompt_sha256: String,
    pub(crate) prompt_tokens: i64,
    pub(crate) completion_tokens: i64,
    pub(crate) milliseconds: i64,
}

/// One run with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunEvidence {
    #[serde(flatten)]
    pub(crate) run: RunView,
    pub(crate) deliveries: Vec<DeliveryView>,
    /// `None` without an instruction, and through the REST API, which does not show it.
    pub(crate) usage: Option<UsageView>,
}

impl History {
    /// Postgres if it is set, else the REST API.
    pub(crate) async fn open(
        postgres: &PostgresArguments,
        api: &ApiArguments,
    ) -> Result<Self, Problem> {
        if postgres.database_url.is_some() {
            return connections::open_ledger(postgres).await.map(Self::Ledger);
        }
        ApiClient::configure(api)?.map(Self::Api).ok_or_else(|| {
            Problem::usage(
                "the ledger can't be read: set ACTCORE_DB_URL to \
                 postgres://user:password@host:port/name, or API_URL to the REST API",
            )
        })
    }

    /// One run; `None` when the ledger does not have it.
    pub(crate) async fn run(&self, run: RunId) -> Result<Option<RunEvidence>, Problem> {
        match self {
            Self::Api(api) => Ok(api.run(run).await?.map(RunEvidence::from)),
            Self::Ledger(store) => {
                let Some(row) = answer("Postgres", store.run(run)).await? else {
                    return Ok(None);
                };
                let deliveries = answer("Postgres", store.deliveries(run)).await?;
                Ok(Some(RunEvidence {
                    usage: row.usage.clone().map(UsageView::from),
                    deliveries: deliveries.into_iter().map(DeliveryView::from).collect(),
                    run: row.into(),
                }))
            }
        }
    }

    /// What the ledger says of an activity's nominal times in `[from, until)`: the rows of the
    /// times themselves and of the runs that made up for one.
    pub(crate) async fn nominal_times(
        &self,
        activity: ActivityId,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<RunView>, Problem> {
        let api = match self {
            Self::Ledger(store) => {
                let rows = store.runs_at_nominal_times(activity, from, until);
                let rows = answer("Postgres", rows).await?;
                return Ok(rows.into_iter().map(RunView::from).collect());
            }
            Self::Api(api) => api,
        };
        let mut kept = Vec::new();
        let mut after = None;
        loop {
            let page = api.runs(activity, PAGE, after.as_deref()).await?;
            let views = page.items.into_iter().map(RunView::from).collect();
            after = page.next;
            if !keep_since(from, views, &mut kept) || after.is_none() {
                break;
            }
        }
        kept.retain(|run| run.scheduled_for.is_some_and(|time| time < until));
        Ok(kept)
    }

    /// An activity's runs, the newest first, at most `limit`.
    pub(crate) async fn runs(
        &self,
        activity: ActivityId,
        limit: usize,
    ) -> Result<Vec<RunView>, Problem> {
        let mut runs = Vec::new();
        match self {
            Self::Ledger(store) => {
                let mut from = None;
                while runs.len() < limit {
                    let wanted = page_size(limit - runs.len());
                    let page = answer("Postgres", store.runs(activity, from, wanted)).await?;
                    from = page.last().map(|run| PageKey {
                        sort_time: run.sort_time,
                        run_id: run.run_id,
                    });
                    let is_last = page.len() < usize::from(wanted);
                    runs.extend(page.into_iter().map(RunView::from));
                    if is_last {
                        break;
                    }
                }
            }
            Self::Api(api) => {
                let mut after = None;
                while runs.len() < limit {
                    let wanted = page_size(limit - runs.len());
                    let page = api.runs(activity, wanted, after.as_deref()).await?;
                    runs.extend(page.items.into_iter().map(RunView::from));
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
            }
        }
        Ok(runs)
    }
}

/// Adds what lies at or after `from`; false when the history is older from here on.
fn keep_since(from: DateTime<Utc>, page: Vec<RunView>, kept: &mut Vec<RunView>) -> bool {
    for run in page {
        // What has neither time has only just been entered.
        let placed = run.scheduled_for.or(run.fired_at);
        if placed.is_some_and(|placed| placed < from) {
            return false;
        }
        kept.push(run);
    }
    true
}

fn page_size(missing: usize) -> u16 {
    u16::try_from(missing).unwrap_or(PAGE).min(PAGE)
}

impl RunView {
    /// Whether the row will not change by itself any more. An outcome that a later version knows
    /// is taken for final: every known one but Running is.
    pub(crate) fn is_over(&self) -> bool {
        self.outcome
            .parse::<RunOutcome>()
            .map_or(true, RunOutcome::is_final)
    }

    /// How long it took.
    pub(crate) fn duration(&self) -> Option<chrono::TimeDelta> {
        Some(self.completed_at? - self.fired_at?)
    }

    /// One sentence.
    pub(crate) fn in_words(&self) -> String {
        let since = self
            .completed_at
            .map(|completed| format!(" since {}", format_time(completed)));
        let reason = self.error.as_ref().map(|error| format!(": {error}"));
        format!(
            "run {} is {}{}{}",
            self.run_id,
            self.outcome,
            since.unwrap_or_default(),
            reason.unwrap_or_default()
        )
    }
}

impl From<Run> for RunView {
    fn from(run: Run) -> Self {
        Self {
            run_id: run.run_id.as_uuid(),
            activity_id: run.activity.as_uuid(),
            activity_name: run.activity_name,
            trigger: run.trigger_key,
            scheduled_for: run.scheduled_for,
            fired_at: run.fired_at,
            completed_at: run.completed_at,
            outcome: run.outcome.as_str().to_owned(),
            error: run.error,
            workflow_id: run.workflow_id,
        }
    }
}

impl From<rest::Run> for RunView {
    fn from(run: rest::Run) -> Self {
        Self {
            run_id: run.run_id,
            activity_id: run.activity_id,
            activity_name: run.activity_name,
            trigger: run.trigger,
            scheduled_for: run.scheduled_for,
            fired_at: run.fired_at,
            completed_at: run.completed_at,
            outcome: run.outcome,
            error: run.error,
            workflow_id: run.workflow_id,
        }
    }
}

impl From<store::Delivery> for DeliveryView {
    fn from(delivery: store::Delivery) -> Self {
        Self {
            sink: delivery.sink,
            kind: delivery.kind,
            result: delivery.result.as_str().to_owned(),
            attempts: delivery.attempts,
            external_reference: delivery.external_reference,
            last_error: delivery.last_error,
            updated_at: delivery.updated_at,
        }
    }
}

impl From<rest::Delivery> for DeliveryView {
    fn from(delivery: rest::Delivery) -> Self {
        Self {
            sink: delivery.sink,
            kind: delivery.kind,
            result: delivery.result,
            attempts: delivery.attempts,
            external_reference: delivery.external_reference,
            last_error: delivery.last_error,
            updated_at: delivery.updated_at,
        }
    }
}

impl From<store::InstructionUsage> for UsageView {
    fn from(usage: store::InstructionUsage) -> Self {
        Self {
            model: usage.model,
            prompt_sha256: usage.prompt_sha256,
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            milliseconds: usage.milliseconds,
        }
    }
}

impl From<rest::RunDetail> for RunEvidence {
    fn from(detail: rest::RunDetail) -> Self {
        Self {
            run: detail.run.into(),
            deliveries: detail
                .deliveries
                .into_iter()
                .map(DeliveryView::from)
                .collect(),
            usage: None,
        }
    }
}
