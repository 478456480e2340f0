//! A definition that runs every few seconds, and everything that is said about it.

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use domain::{ActivityId, Definition, RunOutcome, Trigger};
use serde_json::{Value, json};
use store::ExpectedRun;
use testkit::wait::{Seen, until};
use testkit::{Program, RunningProgram};

use crate::place::{PATIENCE, Place};

/// The audit every second, and a leader that is replaced soon.
pub(super) const FAST: [(&str, &str); 3] = [
    ("AUDIT_SECONDS", "1"),
    ("RESYNC_SECONDS", "3600"),
    ("LEASE_DURATION_SECONDS", "3"),
];

/// A definition called `often`.
pub(super) struct Often {
    pub(super) place: Place,
    pub(super) operator: RunningProgram,
    pub(super) activity: ActivityId,
}

/// Runs each `seconds`, and is missing one second after its time.
pub(super) fn each(seconds: u32) -> Value {
    json!({
        "trigger": {"cron": {"expression": format!("*/{seconds} * * * * * *")}},
        "verification": {"graceSeconds": 1},
    })
}

impl Often {
    /// `spec` is made when everything is there that takes it up.
    pub(super) async fn new(test: &str, spec: impl FnOnce() -> Value) -> Result<Self> {
        let place = Place::new(test).await?;
        let operator = place.environment.start(Program::Operator, FAST).await?;
        let object = place.create("often", spec()).await?;
        let activity = object.activity_id().context("no activity id")?;
        until("the definition to be in force", PATIENCE, || async {
            let known = place.store.mirror_state(activity).await?;
            Ok::<_, store::Error>(known.and_then(|state| state.in_force))
        })
        .await?;
        Ok(Self {
            place,
            operator,
            activity,
        })
    }

    pub(super) async fn definition(&self) -> Result<Definition> {
        let object = self.place.definitions.get("often").await?;
        Ok(object.spec.validate(self.activity, "often")?)
    }

    /// Every expected time that has a row.
    pub(super) async fn rows(&self) -> Result<Vec<ExpectedRun>> {
        let ever = (DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC);
        let far = DateTime::from_timestamp(32_503_680_000, 0).unwrap_or(ever.1);
        let rows = self
            .place
            .store
            .expected_runs(self.activity, (ever.0, far), 10_000);
        Ok(rows.await?)
    }

    /// Waits for an expected time after `after` that came to `outcome`.
    pub(super) async fn came_to(
        &self,
        outcome: RunOutcome,
        after: DateTime<Utc>,
    ) -> Result<ExpectedRun> {
        let found = until(format!("a run to be {outcome}"), PATIENCE, || async {
            let rows = self.rows().await?;
            let found = rows
                .iter()
                .find(|row| row.outcome == outcome && row.scheduled_for > after);
            anyhow::Ok(match found {
                Some(row) => Seen::Done(row.clone()),
                None => Seen::not_yet(format!("{:#?}", rows.last())),
            })
        });
        Ok(found.await?)
    }

    /// That each time of the cron expression between the first and the last row has exactly one.
    pub(super) async fn assert_complete(&self) -> Result<()> {
        let Trigger::Cron(cron) = self.definition().await?.trigger else {
            anyhow::bail!("no cron trigger");
        };
        let rows = self.rows().await?;
        let times: Vec<DateTime<Utc>> = rows.iter().map(|row| row.scheduled_for).collect();
        let (first, last) = (times[0], times[times.len() - 1]);
        let expected = cron
            .schedule
            .occurrences(first, last + chrono::TimeDelta::seconds(1));
        assert_eq!(times, expected, "{rows:#?}");
        Ok(())
    }

    /// The value of one of the definition's series.
    pub(super) async fn series(&self, name: &str, more: &str) -> Result<Option<i64>> {
        let url = format!("{}/metrics", self.operator.metrics_url());
        let text = reqwest::get(url).await?.text().await?;
        let found = text.lines().find(|line| {
            line.starts_with(&format!("{name}{{"))
                && line.contains("name=\"often\"")
                && line.contains(more)
        });
        Ok(match found {
            Some(line) => Some(line.rsplit(' ').next().context("no value")?.parse()?),
            None => None,
        })
    }
}
