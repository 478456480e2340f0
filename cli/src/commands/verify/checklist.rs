//! The dry run: what would be checked, and how to check it by hand. Contacts nothing.

use std::fmt;
use std::time::Duration;

use chrono::NaiveDate;
use contracts::names;
use domain::ActivityId;
use domain::verification::Condition;
use serde_json::{Value, json};

/// What is known without asking anybody.
#[derive(Debug, Clone)]
pub(super) struct Checklist {
    /// The definition's name, as it was typed.
    pub(super) name: Option<String>,
    /// Its activity id, if it was typed.
    pub(super) activity: Option<ActivityId>,
    /// The day.
    pub(super) date: NaiveDate,
    /// The limit for the steps of one run.
    pub(super) time_limit: Duration,
}

/// One condition: what must hold, and how to look at it by hand.
struct Item {
    what: String,
    by_hand: String,
}

impl Checklist {
    fn subject(&self) -> String {
        match (&self.name, self.activity) {
            (Some(name), _) => name.clone(),
            (None, Some(activity)) => activity.to_string(),
            (None, None) => "<definition>".to_owned(),
        }
    }

    fn activity(&self) -> String {
        self.activity
            .map_or_else(|| "<activity id>".to_owned(), |id| id.to_string())
    }

    fn schedule_id(&self) -> String {
        self.activity.map_or_else(
            || "activity-schedule-<activity id>".to_owned(),
            names::schedule_id,
        )
    }

    fn item(&self, condition: Condition) -> Item {
        let (what, by_hand) = match condition {
            Condition::Schedule => (
                format!(
                    "Temporal's Schedule {} exists, is not paused, and has the overlap policy \
                     that the definition declares (Skip by default)",
                    self.schedule_id()
                ),
                format!(
                    "temporal schedule describe --schedule-id {}",
                    self.schedule_id()
                ),
            ),
            Condition::Workflow => (
                format!(
                    "the latest workflow with {}=\"{}\" completed, or is visibly retrying a \
                     failed activity",
                    names::SEARCH_ATTRIBUTE_ACTIVITY_ID,
                    self.activity()
                ),
                format!(
                    "temporal workflow list --limit 1 --query '{}=\"{}\"'",
                    names::SEARCH_ATTRIBUTE_ACTIVITY_ID,
                    self.activity()
                ),
            ),
            Condition::Ledger => (
                format!(
                    "activity_runs has a run of the definition with scheduled_for or fired_at on \
                     {}, and it succeeded",
                    self.date
                ),
                format!("actcore runs {}", self.subject()),
            ),
            Condition::Progress => (
                "State Hub has a progress entry whose detail has that run's \
                 activity_core_run_id"
                    .to_owned(),
                "curl \"$STATE_HUB_URL/progress/?event_type=<event type>&\
                 activity_core_run_id=<run id>\""
                    .to_owned(),
            ),
            Condition::WorkingMemory => (
                format!(
                    "the working memory has a file <prefix>-{}-*.md whose frontmatter has that \
                     run's activity_core_run_id",
                    self.date
                ),
                format!(
                    "grep -l 'activity_core_run_id: <run id>' <working memory>/<prefix>-{}-*.md",
                    self.date
                ),
            ),
            Condition::TimeBudget => (
                format!(
                    "the timeouts of the instruction and of all report sinks add up to at most \
                     {} s (ACTIVITY_TIMEOUT_SECONDS)",
                    self.time_limit.as_secs()
                ),
                format!("actcore describe {}", self.subject()),
            ),
        };
        Item { what, by_hand }
    }

    /// The checklist for programs.
    pub(super) fn to_json(&self) -> Value {
        let checks: Vec<Value> = Condition::ALL
            .into_iter()
            .map(|condition| {
                let Item { what, by_hand } = self.item(condition);
                json!({"condition": condition.as_str(), "what": what, "byHand": by_hand})
            })
            .collect();
        json!({
            "live": false,
            "name": self.name,
            "activityId": self.activity.map(|id| id.to_string()),
            "date": self.date,
            "checks": checks,
        })
    }
}

impl fmt::Display for Checklist {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "Checklist: did the run of {} on {} happen? All six must agree.\n",
            self.subject(),
            self.date
        )?;
        for (index, condition) in Condition::ALL.into_iter().enumerate() {
            let Item { what, by_hand } = self.item(condition);
            writeln!(formatter, "[ ] {}. {what}", index + 1)?;
            writeln!(formatter, "       {by_hand}")?;
        }
        formatter.write_str("\nNothing was contacted. Add --live to check all of it now.")
    }
}
