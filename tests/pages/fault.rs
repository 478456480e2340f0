//! The faults: a row of the policy each, how it is caused, and how it is put right.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{TimeDelta, Timelike as _, Utc};
use contracts::names;
use domain::{ActivityId, RunId, TriggerKey};
use serde_json::{Value, json};
use sqlx::PgPool;
use temporalio_client::Client;
use temporalio_client::schedules::{PauseScheduleOptions, ScheduleHandle, UnpauseScheduleOptions};
use testkit::fault::{Fault as Strike, Kind, Server};
use testkit::{Program, Signal};

use crate::ward::{PATIENCE, Ward};

/// More calls than can be made while a fault lasts.
const ALL_CALLS: usize = 2_000;
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long before its time a Schedule is taken away, in seconds.
const BEFOREHAND: i64 = 4;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    WorkerDown,
    TemporalUnreachable,
    PostgresUnreachable,
    ScheduleMissing,
    SchedulePaused,
    RunMissing,
    ReportsMissing,
    ReportSinkFailing,
    TaskSinkFailing,
    OperatorDown,
    RouterDown,
}

/// A row of the table, but for what is measured.
pub(crate) struct Row {
    /// The policy's words.
    pub(crate) policy: &'static str,
    /// The alert.
    pub(crate) alert: &'static str,
    /// What is done to the system.
    pub(crate) cause: &'static str,
    /// What puts it right.
    pub(crate) remedy: &'static str,
    /// The definition that the page names, if it names one.
    pub(crate) definition: Option<&'static str>,
    /// How long the rule waits by itself, in seconds, before it is shortened.
    pub(crate) waits: u64,
}

impl Row {
    /// The page names this definition.
    fn of(self, definition: &'static str) -> Self {
        Self {
            definition: Some(definition),
            ..self
        }
    }

    /// The rule waits for nothing more.
    fn at_once(self) -> Self {
        Self { waits: 0, ..self }
    }
}

fn row(
    policy: &'static str,
    alert: &'static str,
    cause: &'static str,
    remedy: &'static str,
) -> Row {
    Row {
        policy,
        alert,
        cause,
        remedy,
        definition: None,
        waits: 300,
    }
}

/// A critical definition that runs only when it is asked to, for now.
fn daily() -> Value {
    // Half a day from now: not while this lasts.
    let far = Utc::now() + TimeDelta::hours(12);
    let cron = json!({"expression": format!("0 {} * * *", far.hour())});
    json!({"tier": "Critical", "trigger": {"cron": cron}})
}

fn reports() -> Value {
    json!([
        {"name": "hub", "stateHub": {"eventType": "pages"}},
        {"name": "memory", "workingMemory": {"prefix": "pages"}},
    ])
}

impl Fault {
    /// All of them.
    pub(crate) const ALL: [Self; 11] = [
        Self::WorkerDown,
        Self::TemporalUnreachable,
        Self::PostgresUnreachable,
        Self::ScheduleMissing,
        Self::SchedulePaused,
        Self::RunMissing,
        Self::ReportsMissing,
        Self::ReportSinkFailing,
        Self::TaskSinkFailing,
        Self::OperatorDown,
        Self::RouterDown,
    ];

    /// What is fixed about it.
    pub(crate) fn row(self) -> Row {
        match self {
            Self::WorkerDown => row(
                "worker has no ready pod",
                "ActivityCoreWorkerDown",
                "the only worker is killed and does not come back",
                "a worker is started",
            ),
            Self::TemporalUnreachable => row(
                "worker cannot reach Temporal",
                "ActivityCoreTemporalUnreachable",
                "the Temporal server is halted (SIGSTOP): connections hang",
                "it goes on (SIGCONT)",
            ),
            Self::PostgresUnreachable => row(
                "worker cannot reach Postgres",
                "ActivityCorePostgresUnreachable",
                "Postgres ends every connection to the data base and takes no new one",
                "it takes connections again",
            ),
            Self::ScheduleMissing => row(
                "schedule of a critical definition missing",
                "ActivityScheduleMissing",
                "the Schedule is deleted in Temporal, which then refuses to create it",
                "Temporal takes the operator's next attempt",
            )
            .of("schedule-gone"),
            Self::SchedulePaused => row(
                "schedule of a critical definition paused outside an approved window",
                "ActivitySchedulePaused",
                "somebody pauses the Schedule in Temporal",
                "somebody unpauses it",
            )
            .of("schedule-paused"),
            Self::RunMissing => row(
                "expected run absent from Temporal and the ledger after the retry window",
                "ActivityRunMissing",
                "the Schedule is away at the run's time and comes back after it",
                "`actcore backfill --only-missing --yes`",
            )
            .at_once()
            .of("run-missing"),
            Self::ReportsMissing => row(
                "both report sinks missing for a completed run",
                "ActivityReportsMissing",
                "State Hub refuses the report (422), and the working memory has another's \
                     file in its place",
                "State Hub takes reports again, and the next run delivers",
            )
            .of("reports-missing"),
            Self::ReportSinkFailing => row(
                "sink emission fails again and again across retries",
                "ActivitySinkFailing",
                "State Hub answers 503 to every try",
                "State Hub is back, and the next try delivers",
            )
            .at_once()
            .of("sink-failing"),
            Self::TaskSinkFailing => row(
                "task emission fails again and again across retries",
                "ActivitySinkFailing",
                "issue-core answers 503 to every try",
                "issue-core is back, and the next try files",
            )
            .at_once()
            .of("tasks-failing"),
            Self::OperatorDown => row(
                "operator down",
                "ActivityCoreOperatorDown",
                "the only operator ends and does not come back",
                "an operator is started",
            ),
            Self::RouterDown => row(
                "router down",
                "ActivityCoreRouterDown",
                "the only router is killed and does not come back",
                "a router is started",
            ),
        }
    }

    /// Declares what the fault needs, while all is well.
    pub(crate) async fn prepare(self, ward: &Ward) -> Result<()> {
        let Some(name) = self.row().definition else {
            return Ok(());
        };
        let mut spec = daily();
        match self {
            // It is declared when its time is near.
            Self::RunMissing => return Ok(()),
            Self::ReportsMissing | Self::ReportSinkFailing => spec["reports"] = reports(),
            Self::TaskSinkFailing => {
                spec["instruction"] = json!({"model": "pages", "prompt": "What is to be done?"});
                spec["tasks"] = json!({"type": "IssueCore"});
            }
            _ => {}
        }
        ward.declare(name, spec).await?;
        Ok(())
    }

    /// Causes it.
    pub(crate) async fn cause(self, ward: &mut Ward) -> Result<()> {
        let stand_ins = ward.environment.stand_ins();
        match self {
            Self::WorkerDown => {
                let worker = ward.worker.take().context("there is no worker")?;
                worker.kill(Signal::KILL)?;
                worker.wait(KILL_TIMEOUT).await?;
            }
            Self::TemporalUnreachable => temporal_server(ward, Signal::STOP)?,
            Self::PostgresUnreachable => allow_connections(ward, false).await?,
            Self::ScheduleMissing => {
                refuse_schedules(ward)?;
                let activity = id(ward, "schedule-gone").await?;
                anyhow::ensure!(ward.temporal.delete_schedule(activity).await?);
            }
            Self::SchedulePaused => {
                let activity = id(ward, "schedule-paused").await?;
                let options = PauseScheduleOptions::default();
                handle(ward, activity)
                    .pause(Some("Ada is looking into it"), options)
                    .await?;
            }
            Self::RunMissing => miss_a_run(ward).await?,
            Self::ReportsMissing => {
                stand_ins.state_hub.traffic().fail_next(ALL_CALLS, 422);
                occupy_report(ward, "reports-missing", "away").await?;
                ward.trigger("reports-missing", "away").await?;
            }
            Self::ReportSinkFailing => {
                stand_ins.state_hub.traffic().fail_next(ALL_CALLS, 503);
                ward.trigger("sink-failing", "away").await?;
            }
            Self::TaskSinkFailing => {
                stand_ins.issue_core.traffic().fail_next(ALL_CALLS, 503);
                stand_ins.chat.answer_next(r#"{"tasks": ["Look"]}"#);
                ward.trigger("tasks-failing", "away").await?;
            }
            Self::OperatorDown => {
                let operator = ward.operator.take().context("there is no operator")?;
                operator.stop().await?;
            }
            Self::RouterDown => {
                let router = ward.router.take().context("there is no router")?;
                router.kill(Signal::KILL)?;
                router.wait(KILL_TIMEOUT).await?;
            }
        }
        Ok(())
    }

    /// Puts it right.
    pub(crate) async fn put_right(self, ward: &mut Ward) -> Result<()> {
        let stand_ins = ward.environment.stand_ins();
        match self {
            Self::WorkerDown => ward.put_up(Program::Worker).await?,
            Self::TemporalUnreachable => temporal_server(ward, Signal::CONT)?,
            Self::PostgresUnreachable => allow_connections(ward, true).await?,
            Self::ScheduleMissing => ward.operator()?.conductor().arm(&[], 0),
            Self::SchedulePaused => {
                let activity = id(ward, "schedule-paused").await?;
                let options = UnpauseScheduleOptions::default();
                handle(ward, activity)
                    .unpause(None::<&str>, options)
                    .await?;
            }
            Self::RunMissing => {
                let namespace = ward.environment.namespace().to_owned();
                let from = (Utc::now() - TimeDelta::minutes(10)).format("%FT%TZ");
                let (name, from) = ("run-missing", from.to_string());
                let what = ["backfill", name, "-n", &namespace, "--from", &from];
                let how = ["--only-missing", "--yes", "--wait"];
                ward.actcore(&[&what[..], &how[..]].concat()).await?;
            }
            Self::ReportsMissing => {
                stand_ins.state_hub.traffic().behave();
                ward.trigger("reports-missing", "back").await?;
            }
            Self::ReportSinkFailing => stand_ins.state_hub.traffic().behave(),
            Self::TaskSinkFailing => stand_ins.issue_core.traffic().behave(),
            Self::OperatorDown => ward.put_up(Program::Operator).await?,
            Self::RouterDown => ward.put_up(Program::EventRouter).await?,
        }
        Ok(())
    }

    /// Removes what was declared for it.
    pub(crate) async fn clear_up(self, ward: &Ward) -> Result<()> {
        match self.row().definition {
            Some(name) => ward.withdraw(name).await,
            None => Ok(()),
        }
    }
}

async fn id(ward: &Ward, name: &str) -> Result<ActivityId> {
    let object = ward.definitions.get(name).await?;
    object.activity_id().context("it has no id")
}

fn handle(ward: &Ward, activity: ActivityId) -> ScheduleHandle<Client> {
    let client = ward.temporal.client();
    client.get_schedule_handle(names::schedule_id(activity))
}

fn temporal_server(ward: &Ward, signal: Signal) -> Result<()> {
    ward.environment.stack().temporal().process().signal(signal)
}

/// Temporal refuses whatever Schedule the operator wants to create.
fn refuse_schedules(ward: &Ward) -> Result<()> {
    let refused = (1..=ALL_CALLS).map(|occurrence| Strike {
        server: Server::Temporal,
        call: "CreateSchedule".to_owned(),
        occurrence,
        kind: Kind::Retryable,
    });
    let refused: Vec<Strike> = refused.collect();
    ward.operator()?.conductor().arm(&refused, 0);
    Ok(())
}

/// A Schedule that is not there at its time: deleted before, and created again after. Temporal does
/// not look back before a Schedule's creation.
async fn miss_a_run(ward: &Ward) -> Result<()> {
    let at = Utc::now() + TimeDelta::seconds(20);
    let expression = format!("{} {} {} * * * *", at.second(), at.minute(), at.hour());
    let mut spec = daily();
    spec["trigger"] = json!({"cron": {"expression": expression, "misfirePolicy": "Skip"}});
    spec["verification"] = json!({"graceSeconds": 5});
    let activity = ward.declare("run-missing", spec).await?;
    until(at - TimeDelta::seconds(BEFOREHAND)).await?;
    refuse_schedules(ward)?;
    anyhow::ensure!(ward.temporal.delete_schedule(activity).await?);
    until(at + TimeDelta::seconds(2)).await?;
    ward.operator()?.conductor().arm(&[], 0);
    Ok(())
}

async fn until(time: chrono::DateTime<Utc>) -> Result<()> {
    let left = (time - Utc::now()).to_std();
    tokio::time::sleep(left.context("it took too long to get ready")?).await;
    Ok(())
}

/// Puts a file of somebody else's where a run's report would go.
async fn occupy_report(ward: &Ward, name: &str, request: &str) -> Result<()> {
    let trigger = TriggerKey::Manual {
        request_id: request.to_owned(),
    };
    let run = RunId::of(id(ward, name).await?, &trigger);
    let today = Utc::now().date_naive();
    for date in [today, today + TimeDelta::days(1)] {
        let file = format!("pages-{date}-{run}.md");
        std::fs::write(ward.environment.working_memory().join(file), "Not yours.")?;
    }
    Ok(())
}

/// A superuser's word on who may connect to the ward's data base.
async fn allow_connections(ward: &Ward, allowed: bool) -> Result<()> {
    let url = ward.environment.database_url();
    let name = url.rsplit('/').next().unwrap_or_default();
    let connecting = PgPool::connect(&url.replace(name, "postgres")).await;
    let administrator = connecting.context("failed to connect beside the data base")?;
    let statement = format!("alter database \"{name}\" allow_connections {allowed}");
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&administrator)
        .await?;
    if !allowed {
        sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
            .bind(name)
            .execute(&administrator)
            .await?;
    }
    tokio::time::timeout(PATIENCE, administrator.close()).await?;
    Ok(())
}
