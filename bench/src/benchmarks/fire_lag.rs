//! From the nominal time to the first activity, with a thousand Schedules due in one minute.

use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, SubsecRound as _, Timelike as _, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use temporalio_client::NamespacedClient as _;
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::IntoRequest as _;
use temporalio_common::protos::temporal::api::common::v1::WorkflowType;
use temporalio_common::protos::temporal::api::schedule::v1::{
    Schedule, ScheduleAction, SchedulePolicies, ScheduleSpec, schedule_action,
};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::CreateScheduleRequest;
use testkit::Program;
use testkit::wait::{self, Seen};
use uuid::Uuid;

use super::{Size, in_turn};
use crate::bare::{self, BareWorker};
use crate::figures::{Figure, Limit, quantile};
use crate::place::{PATIENCE, Place, Servers};

/// Schedules due in the same minute.
const DUE: usize = 1000;

/// How long creating them takes at most; they are due after that.
const LEAD: Duration = Duration::from_mins(2);

const CONCURRENCY: usize = 16;

pub(super) async fn measure(servers: &Servers, size: Size) -> Result<Vec<Figure>> {
    let figure = |name: &str, limit: Limit| {
        let what = format!("{DUE} due in one minute: scheduled → first activity, {name}");
        Figure::against(what, "raw Schedules of a bare workflow", "s", limit)
    };
    let mut middle = figure("p50", Limit::Stated);
    let mut tail = figure("p99", Limit::AtMost(1.1));
    for round in 0..size.rounds {
        let (bare_place, place) = (
            servers.place(&format!("fire-lag-bare-{round}")).await?,
            servers.place(&format!("fire-lag-{round}")).await?,
        );
        let raw = async {
            servers.temporal_at_rest().await?;
            bare_lags(&bare_place).await
        };
        let ours = async {
            servers.temporal_at_rest().await?;
            lags(&place, due()?, DUE).await
        };
        let (raw, ours) = in_turn(round, raw, ours).await?;
        middle.round(quantile(ours.clone(), 0.5), quantile(raw.clone(), 0.5));
        tail.round(quantile(ours, 0.99), quantile(raw, 0.99));
    }
    servers.temporal_at_rest().await?;
    let sharded = sharded(servers).await?;
    let mut shards = Figure::against(
        format!("the same {DUE} in two Temporal namespaces, p99"),
        "ours in one namespace",
        "s",
        Limit::Stated,
    );
    shards.round(quantile(sharded, 0.99), tail.ours());
    Ok(vec![middle, tail, shards])
}

/// The way past Temporal's limit, which holds for a namespace: half of them in each of two.
async fn sharded(servers: &Servers) -> Result<Vec<f64>> {
    let (one, other) = (
        servers.place("fire-lag-one").await?,
        servers.place("fire-lag-other").await?,
    );
    let due = due()?;
    let (mut lags, others) =
        tokio::try_join!(lags(&one, due, DUE / 2), lags(&other, due, DUE / 2))?;
    lags.extend(others);
    Ok(lags)
}

/// The minute at which all are due.
fn due() -> Result<DateTime<Utc>> {
    let minute = (Utc::now() + LEAD).trunc_subsecs(0);
    minute.with_second(0).context("a minute has a beginning")
}

async fn lags(place: &Place, due: DateTime<Utc>, count: usize) -> Result<Vec<f64>> {
    let operator = place.start(Program::Operator, &[]).await?;
    let worker = place.start(Program::Worker, &[]).await?;
    let expression = format!(
        "{} {} {} {} *",
        due.format("%-M"),
        due.format("%-H"),
        due.format("%-d"),
        due.format("%-m")
    );
    // Made up for when it is late, as the bare Schedules are: it is lateness that is measured.
    let cron = json!({"expression": expression, "misfirePolicy": "CatchUp"});
    place.create(("due", count), &cron, CONCURRENCY).await?;
    wait::until("all Schedules", LEAD, || async {
        anyhow::Ok(place.temporal.list_schedules().await?.len() == count)
    })
    .await?;
    anyhow::ensure!(
        Utc::now() < due,
        "the Schedules came too late to be measured"
    );
    wait::until("all runs", PATIENCE, || async {
        let entered: i64 = sqlx::query_scalar("select count(*) from activity_runs")
            .fetch_one(place.store.pool())
            .await?;
        anyhow::Ok(if usize::try_from(entered)? >= count {
            Seen::Done(())
        } else {
            Seen::not_yet(format!("{entered} runs"))
        })
    })
    .await?;
    let lags = sqlx::query_scalar(
        "select extract(epoch from created_at - scheduled_for)::float8 from activity_runs
         where trigger_kind = 'schedule'",
    )
    .fetch_all(place.store.pool())
    .await?;
    operator.stop().await?;
    worker.stop().await?;
    Ok(lags)
}

async fn bare_lags(place: &Place) -> Result<Vec<f64>> {
    let mut worker = BareWorker::start(&place.temporal).await?;
    let due = due()?;
    let creating = (0..DUE).map(|_| create_bare(place, due));
    let mut creating = stream::iter(creating).buffer_unordered(CONCURRENCY);
    while creating.try_next().await?.is_some() {}
    anyhow::ensure!(
        Utc::now() < due,
        "the Schedules came too late to be measured"
    );
    wait::until("all bare workflows", PATIENCE, || async {
        let ended = worker.ends().count;
        if ended >= DUE {
            Seen::Done(())
        } else {
            Seen::not_yet(format!("{ended} workflows"))
        }
    })
    .await?;
    let lag = |time: DateTime<Utc>| (time - due).as_seconds_f64();
    Ok(worker.begun().into_iter().map(lag).collect())
}

async fn create_bare(place: &Place, due: DateTime<Utc>) -> Result<()> {
    let mut client = place.temporal.client().clone();
    let id = Uuid::new_v4();
    let workflow = NewWorkflowExecutionInfo {
        workflow_id: format!("bare-{id}"),
        workflow_type: Some(WorkflowType {
            name: bare::WORKFLOW_TYPE.to_owned(),
        }),
        task_queue: Some(TaskQueue {
            name: bare::TASK_QUEUE.to_owned(),
            ..Default::default()
        }),
        input: Some(bare::payloads(0)?),
        ..Default::default()
    };
    let request = CreateScheduleRequest {
        namespace: client.namespace(),
        schedule_id: format!("bare-{id}"),
        schedule: Some(Schedule {
            spec: Some(ScheduleSpec {
                cron_string: vec![due.format("%-M %-H %-d %-m *").to_string()],
                ..Default::default()
            }),
            action: Some(ScheduleAction {
                action: Some(schedule_action::Action::StartWorkflow(workflow)),
            }),
            policies: Some(SchedulePolicies::default()),
            ..Default::default()
        }),
        identity: client.identity(),
        request_id: id.to_string(),
        ..Default::default()
    };
    WorkflowService::create_schedule(&mut client, request.into_request()).await?;
    Ok(())
}
