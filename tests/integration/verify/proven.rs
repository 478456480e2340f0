//! A daily triage whose run of today is proven: the real worker ran it.

use std::path::PathBuf;

use anyhow::Result;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use crds::ActivityDefinitionSpec;
use domain::{ActivityId, Definition, RunId, RunOutcome, Trigger, TriggerKey};
use serde_json::{Value, json};
use store::{MirrorRow, NewRun, RunEnd};
use temporal::{Pause, RunStart, ScheduleAction, ScheduleSpec};
use testkit::wait::Seen;
use testkit::{Program, wait};
use uuid::Uuid;

use super::command::{Actcore, Answer};
use crate::place::{PATIENCE, Place};

const NAME: &str = "daily-triage";
const EVENT_TYPE: &str = "daily_triage";
const PREFIX: &str = "daily-triage";

/// The proven run and everything around it.
pub(crate) struct Proven {
    pub(crate) place: Place,
    pub(crate) actcore: Actcore,
    pub(crate) activity: ActivityId,
    pub(crate) definition: Definition,
    pub(crate) schedule: ScheduleSpec,
    /// The day of the run.
    pub(crate) date: NaiveDate,
    /// When it began.
    pub(crate) fired_at: DateTime<Utc>,
}

/// What a made-up run leaves behind beside its row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    progress: bool,
    file: bool,
}

impl Kept {
    pub(crate) const EVERYTHING: Self = Self {
        progress: true,
        file: true,
    };
    pub(crate) const ONLY_PROGRESS: Self = Self {
        progress: true,
        file: false,
    };
    pub(crate) const ONLY_FILE: Self = Self {
        progress: false,
        file: true,
    };
}

fn spec() -> Value {
    json!({
        // Never while the test runs: the run is started by hand.
        "trigger": {"cron": {"expression": "0 0 1 1 * 2099"}},
        "reports": [
            {"name": "hub", "timeoutSeconds": 30, "stateHub": {"eventType": EVENT_TYPE}},
            {"name": "memory", "timeoutSeconds": 30, "workingMemory": {"prefix": PREFIX}}],
    })
}

fn row(namespace: &str, activity: ActivityId) -> MirrorRow {
    MirrorRow {
        activity_id: activity.as_uuid(),
        namespace: namespace.to_owned(),
        name: NAME.to_owned(),
        uid: activity.as_uuid(),
        generation: 1,
        display_name: NAME.to_owned(),
        enabled: true,
        event_type: None,
        spec: spec(),
    }
}

impl Proven {
    pub(crate) async fn new(name: &str) -> Result<Self> {
        let place = Box::pin(Place::new(name)).await?;
        let activity = ActivityId::new(Uuid::new_v4());
        let read: ActivityDefinitionSpec = serde_json::from_value(spec())?;
        let definition = read.validate(activity, NAME)?;
        let Trigger::Cron(trigger) = definition.trigger.clone() else {
            anyhow::bail!("the triage has no cron trigger");
        };
        let schedule = ScheduleSpec {
            object_uid: activity.as_uuid(),
            action: ScheduleAction {
                activity,
                activity_name: NAME.to_owned(),
            },
            trigger,
            pause: Pause::No,
        };
        place.store.write_definition(&row("here", activity)).await?;
        place.temporal.ensure_search_attributes().await?;
        wait::until("the search attributes", PATIENCE, || {
            let created = place.temporal.create_schedule(&schedule);
            async { created.await.map(Seen::Done) }
        })
        .await?;
        let fired_at = Box::pin(run_for_real(&place, activity)).await?;
        let proven = Self {
            actcore: Actcore::new(place.environment.env()),
            date: fired_at.date_naive(),
            place,
            activity,
            definition,
            schedule,
            fired_at,
        };
        // A listing of workflows follows their end by a moment.
        proven.verified_as(0).await?;
        Ok(proven)
    }

    /// The answer about the day of the run.
    pub(crate) async fn verify(&self) -> Result<Answer> {
        self.verify_with(&[]).await
    }

    /// The same with some settings changed.
    pub(crate) async fn verify_with(&self, settings: &[(&str, &str)]) -> Result<Answer> {
        let date = self.date.to_string();
        let words = ["verify", NAME, "--live", "--date", &date, "-o", "json"];
        self.actcore.with(settings).run(&words).await
    }

    /// The lines that say FAILED to a person, each without its first word.
    pub(crate) async fn failed_lines(&self, settings: &[(&str, &str)]) -> Result<Vec<String>> {
        let date = self.date.to_string();
        let words = ["verify", NAME, "--live", "--date", &date];
        let answer = self.actcore.with(settings).run(&words).await?;
        assert_eq!(answer.code, 1, "{answer:?}");
        let failed = answer.stdout.lines();
        let failed = failed.filter_map(|line| line.strip_prefix("FAILED  "));
        Ok(failed.map(str::to_owned).collect())
    }

    /// The run of a request.
    pub(crate) fn run_of(&self, request_id: &str) -> RunId {
        let trigger = TriggerKey::Manual {
            request_id: request_id.to_owned(),
        };
        RunId::of(self.activity, &trigger)
    }

    /// The answer, as soon as its exit code is `code`.
    pub(crate) async fn verified_as(&self, code: i32) -> Result<Answer> {
        let what = format!("actcore verify to exit {code}");
        let answer = wait::until(what, PATIENCE, || async {
            let answer = self.verify().await?;
            anyhow::Ok(if answer.code == code {
                Seen::Done(answer)
            } else {
                Seen::not_yet(format!("{answer:?}"))
            })
        });
        Ok(answer.await?)
    }

    /// Enters a run as succeeded, newer than all before it, that left this behind.
    pub(crate) async fn run_happened(&self, request_id: &str, kept: Kept) -> Result<()> {
        let end = RunEnd {
            outcome: RunOutcome::Succeeded,
            error: None,
            completed_at: Utc::now(),
        };
        self.enter(request_id, end, kept).await
    }

    /// Enters a run as failed, newer than all before it, although its reports are there.
    pub(crate) async fn run_failed(&self, request_id: &str, error: &str) -> Result<()> {
        let end = RunEnd {
            outcome: RunOutcome::Failed,
            error: Some(error.to_owned()),
            completed_at: Utc::now(),
        };
        self.enter(request_id, end, Kept::EVERYTHING).await
    }

    async fn enter(&self, request_id: &str, end: RunEnd, kept: Kept) -> Result<()> {
        let known = self.place.store.runs(self.activity, None, 100).await?;
        let number = i64::try_from(known.len())?;
        let run = NewRun {
            activity: self.activity,
            trigger: TriggerKey::Manual {
                request_id: request_id.to_owned(),
            },
            // By next to nothing, so that it stays the same day.
            fired_at: self.fired_at + TimeDelta::microseconds(number),
            workflow_id: format!("made-up-{request_id}"),
            workflow_run_id: Uuid::new_v4().to_string(),
            trace_id: None,
        };
        self.place.store.begin_run(&run).await?;
        self.place.store.end_run(run.run_id(), &end).await?;
        if kept.progress {
            self.report_progress(run.run_id()).await?;
        }
        // A file is there in any case; without its run it has another's id in it.
        let in_file = if kept.file {
            run.run_id()
        } else {
            RunId::new(Uuid::new_v4())
        };
        let text = format!("---\nactivity_core_run_id: {in_file}\n---\n# Report\n");
        std::fs::write(self.report_file(run.run_id()), text)?;
        Ok(())
    }

    async fn report_progress(&self, run: RunId) -> Result<()> {
        let hub = self.place.environment.stand_ins().state_hub.url();
        let body = json!({
            "event_type": EVENT_TYPE,
            "summary": "made up",
            "detail": {"activity_core_run_id": run.to_string()},
        });
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client
            .post(format!("{hub}/progress/"))
            .json(&body)
            .send()
            .await?;
        answer.error_for_status()?;
        Ok(())
    }

    fn report_file(&self, run: RunId) -> PathBuf {
        let name = format!("{PREFIX}-{}-{run}.md", self.date);
        self.place.environment.working_memory().join(name)
    }

    /// Mirrors another definition of the same name.
    pub(crate) async fn define_namesake(&self, namespace: &str) -> Result<ActivityId> {
        let activity = ActivityId::new(Uuid::new_v4());
        let row = row(namespace, activity);
        self.place.store.write_definition(&row).await?;
        Ok(activity)
    }
}

/// Has the real worker run it once, and answers when it began.
async fn run_for_real(place: &Place, activity: ActivityId) -> Result<DateTime<Utc>> {
    let _worker = place.environment.start(Program::Worker, []).await?;
    let start = RunStart::by_request(activity, NAME, "by-hand");
    place.temporal.start_run(&start).await?;
    let run = wait::until("the run to succeed", PATIENCE, || async {
        let run = place.store.run(start.run_id).await?;
        anyhow::Ok(match run {
            Some(run) if run.outcome == RunOutcome::Succeeded => Seen::Done(run),
            other => Seen::not_yet(format!("{other:?}")),
        })
    });
    let fired_at = run.await?.fired_at;
    fired_at.ok_or_else(|| anyhow::anyhow!("the run never began"))
}
