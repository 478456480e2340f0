//! Verifies many definitions for little more than a few: what Temporal and the ledger have is asked
//! for together, by listings and in hundreds.
//!
//! A listing shows whether a Schedule is paused and, by the digest in its note, whether it is the
//! one that was declared (`docs/adr/0002`). It proves what is as it should be; a Schedule that the
//! listing shows otherwise is described alone, so that nothing is called broken on its word.

use std::collections::HashMap;
use std::time::Duration;

use chrono::NaiveDate;
use contracts::names;
use domain::verification::{Check, Evidence, ScheduleEvidence, Seen};
use domain::{ActivityId, Definition, Trigger};
use futures::{StreamExt as _, stream};
use runtime::describe;
use temporal::{ListedSchedule, Pause, ScheduleSpec};
use uuid::Uuid;

use crate::{Auditor, day_of, in_time, judge, taken};

/// How many definitions are asked about together.
const ASKED_AT_ONCE: usize = 1000;

/// How many such questions are on their way: while one waits for Temporal, another is taken apart.
const SURVEYS_AT_ONCE: usize = 4;

/// How many definitions are looked at side by side where one has to be looked at alone: for its
/// Schedule, or for what it reported.
const SIDE_BY_SIDE: usize = 16;

/// One of many definitions that are verified together.
#[derive(Debug, Clone)]
pub struct Surveyed {
    /// The definition.
    pub definition: Definition,
    /// The UID of the object behind it.
    pub object_uid: Uuid,
    /// The day, in the definition's time zone.
    pub date: NaiveDate,
}

type ListedSchedules = Seen<HashMap<ActivityId, ListedSchedule>>;

impl Auditor {
    /// Checks all six conditions for each definition, in their order. `time_limit` is the limit for
    /// the steps of one run (`ACTIVITY_TIMEOUT_SECONDS`).
    pub async fn verify_all(&self, surveyed: &[Surveyed], time_limit: Duration) -> Vec<Vec<Check>> {
        let schedules = self.list_schedules(surveyed).await;
        let surveys = surveyed
            .chunks(ASKED_AT_ONCE)
            .map(|together| self.survey(together, &schedules));
        // Collected first: a closure inside the stream would make the future one that can't be
        // spawned.
        let surveys: Vec<_> = surveys.collect();
        let evidence: Vec<Vec<Evidence>> = stream::iter(surveys)
            .buffered(SURVEYS_AT_ONCE)
            .collect()
            .await;
        let judged = surveyed.iter().zip(evidence.iter().flatten());
        judged
            .map(|(one, evidence)| judge((&one.definition, one.date), time_limit, evidence))
            .collect()
    }

    /// Each page of the listing has the time of a call.
    async fn list_schedules(&self, surveyed: &[Surveyed]) -> ListedSchedules {
        let has_schedule = |one: &Surveyed| matches!(one.definition.trigger, Trigger::Cron(_));
        if !surveyed.iter().any(has_schedule) {
            return Ok(HashMap::new());
        }
        let temporal = self.temporal.as_ref().map_err(Clone::clone)?;
        let listed = temporal.list_schedules().await;
        let listed = listed.map_err(|error| describe(&error))?.into_iter();
        Ok(listed
            .map(|schedule| (schedule.activity, schedule))
            .collect())
    }

    async fn survey(&self, together: &[Surveyed], schedules: &ListedSchedules) -> Vec<Evidence> {
        let activities: Vec<_> = together.iter().map(|one| one.definition.id).collect();
        let days: Vec<_> = together
            .iter()
            .map(|one| day_of(&one.definition, one.date))
            .collect();
        let (mut workflows, mut ledger, mut absent) = tokio::join!(
            in_time("Temporal", self.look_for_workflows(&activities)),
            in_time("Postgres", self.look_into_ledger(&days)),
            in_time("Postgres", self.look_for_absent(&days)),
        );
        let evidence = together.iter().map(|one| {
            let activity = one.definition.id;
            let workflow = taken(&mut workflows, activity);
            let ledger = taken(&mut ledger, activity);
            let absent = taken(&mut absent, activity).map(Option::unwrap_or_default);
            async move {
                let (schedule, (progress, files)) = tokio::join!(
                    self.schedule_of(one, schedules),
                    self.look_for_reports(&one.definition, one.date, &ledger),
                );
                Evidence {
                    schedule,
                    workflow,
                    ledger,
                    absent,
                    progress,
                    files,
                }
            }
        });
        // Collected first, as each takes its part out of the same answers.
        let evidence: Vec<_> = evidence.collect();
        stream::iter(evidence)
            .buffered(SIDE_BY_SIDE)
            .collect()
            .await
    }

    async fn schedule_of(
        &self,
        one: &Surveyed,
        schedules: &ListedSchedules,
    ) -> Seen<Option<ScheduleEvidence>> {
        let schedules = schedules.as_ref().map_err(Clone::clone)?;
        let listed = schedules.get(&one.definition.id);
        match listed.and_then(|listed| as_declared(one, listed)) {
            Some(evidence) => Ok(Some(evidence)),
            None => self.look_for_schedule(&one.definition).await,
        }
    }
}

/// What a listing proves of a Schedule: that it fires, as it was declared.
fn as_declared(one: &Surveyed, listed: &ListedSchedule) -> Option<ScheduleEvidence> {
    let declared = ScheduleSpec::declared(&one.definition, one.object_uid, Pause::No)?;
    let is_declared = listed.digest.as_ref() == Some(&declared.digest());
    (is_declared && listed.pause == Pause::No).then(|| ScheduleEvidence {
        id: names::schedule_id(one.definition.id),
        paused: false,
        note: String::new(),
        overlap: declared.trigger.overlap,
    })
}
