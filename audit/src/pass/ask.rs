//! Asking Temporal about what is absent: about each run by its workflow id, about each Schedule
//! once.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::names;
use domain::audit::{AGAIN, Asked, FoundWorkflow, HowClosed, ScheduleSeen, Verdict};
use domain::{ActivityId, RunOutcome};
use futures::{StreamExt as _, stream};
use runtime::describe;
use store::Store;
use temporal::Temporal;
use tokio::time::Instant;

use super::{InHand, Surroundings, run_at};

/// How long one pass asks at most; the rest is asked in the next one.
const ASK_FOR: Duration = Duration::from_secs(30);

/// How many questions are open at once.
const AT_ONCE: usize = 16;

/// What is answered once for a whole pass.
struct Frame {
    retention: Option<Duration>,
    gaps: Vec<Range<DateTime<Utc>>>,
}

/// The questions of one pass.
pub(super) struct Questions {
    temporal: Temporal,
    store: Store,
    frame: Option<Frame>,
    until: Instant,
    failed: Option<String>,
}

type Workflows = HashMap<(ActivityId, DateTime<Utc>), Option<FoundWorkflow>>;
type Schedules = HashMap<ActivityId, Option<ScheduleSeen>>;

impl Questions {
    pub(super) fn new(temporal: Temporal, store: Store) -> Self {
        Self {
            temporal,
            store,
            frame: None,
            until: Instant::now() + ASK_FOR,
            failed: None,
        }
    }

    /// Why a question got no answer.
    pub(super) fn failed(self) -> Option<String> {
        self.failed
    }

    /// Asks about every absent run and judges it. One that could not be asked about stays
    /// undecided.
    pub(super) async fn ask_about(
        &mut self,
        in_hand: &mut [InHand],
        surroundings: &dyn Surroundings,
        now: DateTime<Utc>,
    ) -> Result<(), store::Error> {
        let to_ask: Vec<(ActivityId, DateTime<Utc>)> = in_hand
            .iter()
            .flat_map(|one| one.to_ask.iter().map(|time| (one.audited.activity, *time)))
            .collect();
        if to_ask.is_empty() {
            return Ok(());
        }
        self.settle_frame(&to_ask).await?;
        let workflows = self.workflows(&to_ask).await;
        let activities = in_hand
            .iter()
            .filter(|one| !one.to_ask.is_empty())
            .map(|one| one.audited.activity);
        let schedules = self.schedules(activities.collect()).await;
        self.see_last_starts(in_hand, &schedules).await;
        for one in in_hand {
            self.judge(one, (&workflows, &schedules), (surroundings, now));
        }
        Ok(())
    }

    async fn settle_frame(
        &mut self,
        to_ask: &[(ActivityId, DateTime<Utc>)],
    ) -> Result<(), store::Error> {
        let Some(earliest) = to_ask.iter().map(|(_, time)| *time).min() else {
            return Ok(());
        };
        // The batches of one pass differ little, and gaps are few: read from well before.
        if self.frame.is_none() {
            let gaps = self.store.audit_gaps(earliest - TimeDelta::days(1)).await?;
            let retention = match self.temporal.retention().await {
                Ok(retention) => retention,
                Err(error) => {
                    self.failed = Some(describe(&error));
                    None
                }
            };
            self.frame = Some(Frame { retention, gaps });
        }
        Ok(())
    }

    async fn workflows(&mut self, to_ask: &[(ActivityId, DateTime<Utc>)]) -> Workflows {
        let temporal = &self.temporal;
        let asked = to_ask.iter().map(|(activity, time)| async move {
            let id = names::workflow_id_at(*activity, *time);
            let found = temporal.find_workflow(&id, "").await;
            ((*activity, *time), found)
        });
        let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
        let mut workflows = HashMap::new();
        // Once Temporal fails there is no use in asking on: each question waits for its timeout.
        while self.failed.is_none() && Instant::now() < self.until {
            match answers.next().await {
                None => break,
                Some((run, Ok(found))) => {
                    workflows.insert(run, found);
                }
                Some((_, Err(error))) => self.failed = Some(describe(&error)),
            }
        }
        workflows
    }

    async fn schedules(&mut self, activities: Vec<ActivityId>) -> Schedules {
        let temporal = &self.temporal;
        let asked = activities
            .into_iter()
            .map(|activity| async move { (activity, temporal.schedule_seen(activity).await) });
        let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
        let mut schedules = HashMap::new();
        while self.failed.is_none() && Instant::now() < self.until {
            match answers.next().await {
                None => break,
                Some((activity, Ok(seen))) => {
                    schedules.insert(activity, seen);
                }
                Some((_, Err(error))) => self.failed = Some(describe(&error)),
            }
        }
        schedules
    }

    /// The last start of a Schedule may be a run that is in the way although nobody expected it,
    /// right after a change, and no worker entered it.
    async fn see_last_starts(&mut self, in_hand: &mut [InHand], schedules: &Schedules) {
        let mut unseen = HashMap::new();
        for one in in_hand.iter().filter(|one| !one.to_ask.is_empty()) {
            let activity = one.audited.activity;
            let seen = schedules.get(&activity).and_then(Option::as_ref);
            let last = seen.and_then(|seen| seen.last);
            if let Some(last) =
                last.filter(|last| run_at(&one.audited.history.runs, *last).is_none())
            {
                unseen.insert(activity, last);
            }
        }
        let asked: Vec<_> = unseen.iter().map(|(one, time)| (*one, *time)).collect();
        let workflows = self.workflows(&asked).await;
        for one in in_hand {
            let activity = one.audited.activity;
            // A run that is asked about anyway is found by that.
            let last = unseen.get(&activity).copied();
            let last = last.filter(|time| !one.to_ask.contains(time));
            let found = last.and_then(|time| Some((time, workflows.get(&(activity, time))?)));
            if let Some((time, Some(workflow))) = found {
                one.see(time, workflow, outcome_of(workflow));
            }
        }
    }

    fn judge(
        &self,
        one: &mut InHand,
        (workflows, schedules): (&Workflows, &Schedules),
        (surroundings, now): (&dyn Surroundings, DateTime<Utc>),
    ) {
        let activity = one.audited.activity;
        let gaps = self.frame.iter().flat_map(|frame| &frame.gaps).cloned();
        let gaps: Vec<Range<DateTime<Utc>>> = gaps.collect();
        let retention = self.frame.as_ref().and_then(|frame| frame.retention);
        for time in std::mem::take(&mut one.to_ask) {
            let answers = (workflows.get(&(activity, time)), schedules.get(&activity));
            let (Some(workflow), Some(schedule)) = answers else {
                one.undecided.push((time, now + AGAIN));
                continue;
            };
            let Some(expected) = one.expected(time) else {
                continue;
            };
            let nobody_there = gaps.iter().any(|gap| gap.contains(&time));
            let asked = Asked {
                workflow_id: &names::workflow_id_at(activity, time),
                workflow: workflow.clone(),
                schedule: schedule.as_ref(),
                retention,
                gaps: &gaps,
                declared_window: nobody_there
                    .then(|| surroundings.declared_window(activity, time))
                    .flatten(),
            };
            match one.audited.history.judge(expected, &asked, now) {
                Verdict::Wait(again) => one.undecided.push((time, again)),
                Verdict::Enter(finding) => one.find(time, finding),
            }
        }
    }
}

fn outcome_of(workflow: &FoundWorkflow) -> RunOutcome {
    match &workflow.closed {
        None => RunOutcome::Running,
        Some((_, HowClosed::Completed)) => RunOutcome::Succeeded,
        Some((_, HowClosed::Otherwise(_))) => RunOutcome::Failed,
    }
}
