//! A day at a small place, entered into the cluster and the ledger as operator, worker and audit
//! would: something of everything that the page can show.

use anyhow::Result;
use chrono::{DateTime, Datelike as _, Days, NaiveDate, TimeDelta, Timelike as _, Utc};
use crds::ActivityDefinition;
use domain::{ActivityId, DeliveryResult, RunId, RunOutcome, TimeZone, TriggerKey};
use kube::ResourceExt as _;
use serde_json::{Value, json};
use store::{DeliveryEnd, InstructionUsage, MirrorRow, NewRun, RunEnd};
use uuid::Uuid;

use crate::place::Place;

/// The story's place and time.
pub(super) struct Story {
    pub(super) place: Place,
    /// The time zone in which it is noon now, so that a day has a morning and an evening.
    pub(super) zone: TimeZone,
    pub(super) today: NaiveDate,
    pub(super) triage: ActivityId,
    /// Today's run of the triage.
    pub(super) triage_run: RunId,
    pub(super) backup: ActivityId,
}

/// The sentence of the day.
pub(super) const SENTENCE: &str = "4 of 7 expected runs are proven; 1 is missing; 1 failed; \
                                   1 is under way; 1 is skipped on purpose; 2 are to come.";

/// A zone of the day, in which the clock shows noon and some minutes.
fn noon(now: DateTime<Utc>) -> TimeZone {
    let berlin = TimeZone::parse("Europe/Berlin").unwrap();
    if berlin.shown(now)[11..13] == *"12" {
        return berlin;
    }
    // POSIX has the signs the other way round.
    let east = 12 - i64::from(now.hour());
    let name = if east >= 0 {
        format!("Etc/GMT-{east}")
    } else {
        format!("Etc/GMT+{}", -east)
    };
    TimeZone::parse(&name).unwrap()
}

impl Story {
    pub(super) async fn new(name: &str) -> Result<Self> {
        let now = Utc::now();
        let zone = noon(now);
        let mut story = Self {
            place: Place::new(name).await?,
            zone,
            today: zone.date_at(now),
            triage: ActivityId::new(Uuid::nil()),
            triage_run: RunId::new(Uuid::nil()),
            backup: ActivityId::new(Uuid::nil()),
        };
        // As an operator that has just been at work.
        sqlx::query("insert into audit_passes (last_pass) values (now())")
            .execute(story.place.store.pool())
            .await?;
        story.mornings().await?;
        story.problems().await?;
        story.rest().await?;
        Ok(story)
    }

    /// An hour of a day ago, so many days before today.
    fn at(&self, days_ago: u64, hour: i64) -> DateTime<Utc> {
        let date = self.today - Days::new(days_ago);
        self.zone.day(date).start + TimeDelta::hours(hour)
    }

    /// What goes well.
    async fn mornings(&mut self) -> Result<()> {
        let triage = self
            .definition(
                "daily-triage",
                "Daily State Hub WSJF triage",
                &self.cron("0 7 * * *"),
            )
            .await?;
        self.triage = triage;
        for days_ago in (1..=6).rev() {
            let time = self.at(days_ago, 7);
            if days_ago == 3 {
                let reason = "Temporal was away from 06:12 to 09:40";
                self.absent((triage, time), RunOutcome::Missed, reason, &[])
                    .await?;
                let later = TriggerKey::Backfill(time);
                self.ran(triage, later, time + TimeDelta::hours(4)).await?;
            } else {
                self.ran(triage, TriggerKey::Schedule(time), time).await?;
            }
        }
        let time = self.at(0, 7);
        self.triage_run = self.ran(triage, TriggerKey::Schedule(time), time).await?;
        self.reported(self.triage_run).await?;

        let digest = self
            .definition("inbox-digest", "Inbox digest", &self.cron("30 6 * * *"))
            .await?;
        let time = self.at(0, 6) + TimeDelta::minutes(30);
        self.ran(digest, TriggerKey::Schedule(time), time).await?;
        Ok(())
    }

    /// What does not.
    async fn problems(&mut self) -> Result<()> {
        let backup = self
            .definition("backup-check", "Backup check", &self.cron("0 5 * * *"))
            .await?;
        self.backup = backup;
        let evidence = [
            "the Schedule activity-schedule-… exists and is not paused",
            "Temporal has no workflow of this time, running or closed",
            "the ledger had no row when the grace of 15 minutes was over",
        ];
        let reason = "Temporal never started it";
        let missed = (backup, self.at(0, 5));
        self.absent(missed, RunOutcome::Missed, reason, &evidence)
            .await?;

        let licences = self
            .definition("licence-audit", "Licence audit", &self.cron("0 9 * * *"))
            .await?;
        let time = self.at(0, 9);
        let begun = self
            .begin(licences, TriggerKey::Schedule(time), time)
            .await?;
        let error = "the model answered 503 in all of 10 attempts";
        self.end(
            begun,
            (RunOutcome::Failed, Some(error)),
            time + TimeDelta::minutes(14),
        )
        .await?;

        let report = self
            .definition(
                "capacity-report",
                "Capacity report",
                &self.cron("0 10 * * *"),
            )
            .await?;
        let skipped = (report, self.at(0, 10));
        let reason = "the window storage-upgrade was open (approved by ops-lead)";
        self.absent(skipped, RunOutcome::SkippedMaintenance, reason, &[])
            .await
    }

    /// What goes on, what is to come, and what the clock does not start.
    async fn rest(&mut self) -> Result<()> {
        let sweep = self
            .definition(
                "repository-sweep",
                "Repository sweep",
                &self.cron("0 0,6,12,18 * * *"),
            )
            .await?;
        for hour in [0, 6] {
            let time = self.at(0, hour);
            self.ran(sweep, TriggerKey::Schedule(time), time).await?;
        }
        let noon = self.at(0, 12);
        self.begin(sweep, TriggerKey::Schedule(noon), noon).await?;

        let other_day = (self.today.weekday().num_days_from_sunday() + 3) % 7;
        let weekly = format!("0 8 * * {other_day}");
        self.definition("weekly-plan", "Weekly plan", &self.cron(&weekly))
            .await?;
        self.definition(
            "evening-summary",
            "Evening summary",
            &self.cron("0 20 * * *"),
        )
        .await?;
        let event = json!({"trigger": {"event": {"eventType": "user.created"}}});
        let onboarding = self
            .definition("user-onboarding", "User onboarding", &event)
            .await?;
        for (number, hour) in [8, 10, 11].into_iter().enumerate() {
            let trigger = TriggerKey::Event {
                source: "user-service".into(),
                event_id: format!("{number}"),
            };
            self.ran(onboarding, trigger, self.at(0, hour)).await?;
        }
        let mut disabled = self.cron("0 4 * * *");
        disabled["enabled"] = json!(false);
        self.definition("legacy-export", "Legacy export", &disabled)
            .await?;
        self.definition("clean-up", "Clean up", &json!({})).await?;
        Ok(())
    }

    fn cron(&self, expression: &str) -> Value {
        json!({"trigger": {"cron": {"expression": expression, "timezone": self.zone.name()}}})
    }

    /// A definition, in the cluster and in the mirror.
    async fn definition(&self, name: &str, display: &str, spec: &Value) -> Result<ActivityId> {
        let mut spec = spec.clone();
        spec["displayName"] = json!(display);
        let object: ActivityDefinition = self.place.create(name, spec).await?;
        let activity = object.activity_id().unwrap();
        let stored = serde_json::to_value(&object.spec)?;
        let row = MirrorRow {
            activity_id: activity.as_uuid(),
            namespace: object.namespace().unwrap_or_default(),
            name: name.to_owned(),
            uid: object.uid().unwrap_or_default().parse()?,
            generation: 1,
            display_name: display.to_owned(),
            enabled: object.spec.enabled,
            event_type: stored["trigger"]["event"]["eventType"]
                .as_str()
                .map(str::to_owned),
            spec: stored,
        };
        self.place.store.write_definition(&row).await?;
        Ok(activity)
    }

    async fn begin(
        &self,
        activity: ActivityId,
        trigger: TriggerKey,
        time: DateTime<Utc>,
    ) -> Result<RunId> {
        let run = NewRun {
            activity,
            workflow_id: format!("activity-run-{activity}-{}", time.format("%FT%TZ")),
            workflow_run_id: Uuid::new_v4().to_string(),
            trace_id: Some(Uuid::new_v4().simple().to_string()),
            fired_at: time + TimeDelta::seconds(1),
            trigger,
        };
        self.place.store.begin_run(&run).await?;
        Ok(run.run_id())
    }

    async fn end(
        &self,
        run: RunId,
        (outcome, error): (RunOutcome, Option<&str>),
        completed_at: DateTime<Utc>,
    ) -> Result<()> {
        let end = RunEnd {
            outcome,
            error: error.map(str::to_owned),
            completed_at,
        };
        self.place.store.end_run(run, &end).await?;
        Ok(())
    }

    /// A run that succeeded.
    async fn ran(
        &self,
        activity: ActivityId,
        trigger: TriggerKey,
        time: DateTime<Utc>,
    ) -> Result<RunId> {
        let run = self.begin(activity, trigger, time).await?;
        let ended = time + TimeDelta::seconds(48);
        self.end(run, (RunOutcome::Succeeded, None), ended).await?;
        Ok(run)
    }

    /// What a run leaves behind that reports.
    async fn reported(&self, run: RunId) -> Result<()> {
        let usage = InstructionUsage {
            model: "a-model".into(),
            prompt_sha256: "0".repeat(64),
            prompt_tokens: 5210,
            completion_tokens: 870,
            milliseconds: 21_400,
        };
        let store = &self.place.store;
        store.record_instruction(run, &usage, "# Triage").await?;
        let day = self.today;
        for (sink, kind, reference) in [
            ("hub", "stateHub", "progress/4711".to_owned()),
            (
                "memory",
                "workingMemory",
                format!("daily-triage-{day}-{run}.md"),
            ),
        ] {
            store.begin_delivery(run, sink, kind).await?;
            let end = DeliveryEnd {
                result: DeliveryResult::Delivered,
                external_reference: Some(reference),
                error: None,
            };
            store.end_delivery(run, sink, &end).await?;
        }
        Ok(())
    }

    /// An expected time without a run, as the audit enters it.
    async fn absent(
        &self,
        (activity, time): (ActivityId, DateTime<Utc>),
        outcome: RunOutcome,
        reason: &str,
        evidence: &[&str],
    ) -> Result<()> {
        let trigger = TriggerKey::Schedule(time);
        sqlx::query(
            "insert into activity_runs (run_id, activity_id, activity_name, trigger_kind,
               trigger_key, scheduled_for, completed_at, outcome, error, evidence)
             values ($1, $2, $3, 'schedule', $4, $5, $5 + interval '15 minutes', $6, $7, $8)",
        )
        .bind(RunId::of(activity, &trigger).as_uuid())
        .bind(activity.as_uuid())
        .bind(self.name_of(activity).await?)
        .bind(trigger.to_string())
        .bind(time)
        .bind(outcome.as_str())
        .bind(reason)
        .bind(json!(evidence))
        .execute(self.place.store.pool())
        .await?;
        Ok(())
    }

    async fn name_of(&self, activity: ActivityId) -> Result<String> {
        let row = self.place.store.definition(activity).await?;
        Ok(row.map(|row| row.display_name).unwrap_or_default())
    }
}
