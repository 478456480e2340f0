//! Rows that say Running: those whose workflow has ended are closed, and those that have ended by
//! themselves are counted.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use domain::RunId;
use domain::audit::{LooseEnd, OpenRowSeen, close};
use runtime::describe;
use store::{OpenRun, RunEnd};

use super::{Ledger, PassError, PassReport, Surroundings};

/// How old a row is before its workflow is looked for: listings follow a start by a moment.
const YOUNG: TimeDelta = TimeDelta::seconds(30);

/// How long Temporal must not have known a workflow before that counts.
const TWICE_IN: TimeDelta = TimeDelta::seconds(60);

/// How many workflows one pass looks at one by one.
const MOST_LOOKS: usize = 500;

/// A row that was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The run.
    pub run: OpenRun,
    /// How, when and why.
    pub end: RunEnd,
}

impl Ledger {
    pub(super) async fn close_loose_ends(
        &mut self,
        surroundings: &dyn Surroundings,
        report: &mut PassReport,
        now: DateTime<Utc>,
    ) -> Result<(), PassError> {
        let open = self.store.open_runs().await?;
        if self.is_first {
            let decided = open.iter().filter(|run| run.is_decided);
            self.running
                .extend(decided.map(|run| (run.run_id, run.activity)));
        }
        let old: Vec<&OpenRun> = open
            .iter()
            .filter(|run| now - run.row.fired_at >= YOUNG)
            .collect();
        if !old.is_empty() {
            match self.temporal.open_workflows().await {
                Ok(listed) => {
                    let suspects = old
                        .into_iter()
                        .filter(|run| !listed.contains(&run.row.workflow_run_id));
                    let suspects: Vec<&OpenRun> = suspects.take(MOST_LOOKS).collect();
                    self.look_at_suspects(&suspects, surroundings, (report, now))
                        .await?;
                }
                Err(error) => report.unasked = Some(describe(&error)),
            }
        }
        self.count_ended(&open, report).await
    }

    async fn look_at_suspects(
        &mut self,
        suspects: &[&OpenRun],
        surroundings: &dyn Surroundings,
        (report, now): (&mut PassReport, DateTime<Utc>),
    ) -> Result<(), PassError> {
        let ids: HashSet<RunId> = suspects.iter().map(|run| run.run_id).collect();
        self.unknown.retain(|run, _| ids.contains(run));
        for run in suspects {
            let seen = match self.seen(run).await {
                Ok(seen) => seen,
                Err(error) => {
                    report.unasked = Some(describe(&error));
                    return Ok(());
                }
            };
            if seen.this.is_none() && seen.newest.is_none() {
                let since = *self.unknown.entry(run.run_id).or_insert(now);
                if now - since < TWICE_IN {
                    continue;
                }
            }
            let LooseEnd::End {
                outcome,
                completed_at,
                reason,
            } = close(&run.row, &seen, now)
            else {
                continue;
            };
            let end = RunEnd {
                outcome,
                error: Some(reason),
                completed_at,
            };
            if !surroundings.may_write() {
                return Err(PassError::MayNotWrite);
            }
            if self.store.close_run(run, &end).await? {
                let run = (*run).clone();
                report.closed.push(Closed { run, end });
            }
        }
        Ok(())
    }

    async fn seen(&self, run: &OpenRun) -> Result<OpenRowSeen, temporal::Error> {
        let id = &run.row.workflow_id;
        let this = self
            .temporal
            .find_workflow(id, &run.row.workflow_run_id)
            .await?;
        let newest = self.temporal.find_workflow(id, "").await?;
        let retention = match (&this, &newest) {
            (None, None) => self.temporal.retention().await?,
            _ => None,
        };
        Ok(OpenRowSeen {
            this,
            newest,
            retention,
        })
    }

    /// Counts the decided runs that have ended since they were seen running.
    async fn count_ended(
        &mut self,
        open: &[OpenRun],
        report: &mut PassReport,
    ) -> Result<(), PassError> {
        let open: HashSet<RunId> = open.iter().map(|run| run.run_id).collect();
        let ended = self.running.keys().filter(|run| !open.contains(run));
        let ended: Vec<RunId> = ended.copied().collect();
        if ended.is_empty() {
            return Ok(());
        }
        for (run, outcome) in self.store.outcomes(&ended).await? {
            if outcome.is_final()
                && let Some(activity) = self.running.remove(&run)
            {
                report.outcomes.push((activity, outcome));
            }
        }
        Ok(())
    }
}
