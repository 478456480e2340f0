//! issue-core: one issue for each task in the instruction's answer.
//!
//! Tasks are the array `tasks` of an answer that is a JSON object: each is a text, or an object
//! with a `title` and perhaps a `description`, a `priority` and `labels`. An answer without them
//! has no tasks.

use contracts::issue_core::{Issue, IssueMetadata, NewIssue};
use domain::{ActivityId, RunId};
use serde_json::Value;
use url::Url;

use super::Delivered;
use crate::arguments::IssueSinkType;
use crate::egress::{Call, endpoint};
use crate::error::StepError;
use crate::plan::TASKS_TIMEOUT;
use crate::services::Services;

/// The kind of this sink in the ledger and in metrics.
pub(crate) const KIND: &str = "issueCore";

/// The name of this sink in the ledger. No report can have it: their names hold no slash.
pub(crate) const NAME: &str = "tasks/issue-core";

/// The most tasks that one run files.
const MAXIMUM_TASKS: usize = 100;

/// Filing the tasks of one run.
pub(crate) struct TaskDelivery<'run> {
    /// What the process shares.
    pub(crate) services: &'run Services,
    /// The run.
    pub(crate) run_id: RunId,
    /// The activity.
    pub(crate) activity: ActivityId,
    /// Whether the definition asks for a dry run.
    pub(crate) dry_run: bool,
    /// The W3C trace context of outbound calls.
    pub(crate) traceparent: Option<&'run str>,
}

/// What is done with tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filing {
    /// They stay here.
    Nothing,
    /// issue-core checks them without creating anything.
    Check,
    /// issue-core creates issues.
    Create,
}

/// `ISSUE_SINK_TYPE` is a floor for the whole cluster: with `null` nothing is ever created, and
/// issue-core hears of a run only where the definition itself asks for a dry run.
const fn filing(sink_type: IssueSinkType, dry_run: bool) -> Filing {
    match (sink_type, dry_run) {
        (_, true) => Filing::Check,
        (IssueSinkType::Null, false) => Filing::Nothing,
        (IssueSinkType::IssueCore, false) => Filing::Create,
    }
}

impl TaskDelivery<'_> {
    /// Files the tasks of an answer.
    pub(crate) async fn deliver(&self, answer: Option<&str>) -> Result<Delivered, StepError> {
        let issues = self.issues(answer)?;
        let settings = &self.services.settings;
        match filing(settings.issue_sink_type, self.dry_run) {
            Filing::Nothing => Ok(Delivered {
                note: Some(format!(
                    "ISSUE_SINK_TYPE is null: {} task(s) not filed",
                    issues.len()
                )),
                ..Delivered::dry_run()
            }),
            Filing::Check => {
                let mut url = self.url()?;
                url.query_pairs_mut().append_pair("dry_run", "true");
                for issue in &issues {
                    self.post(url.clone(), issue, "check a task with issue-core")
                        .await?;
                }
                Ok(Delivered::dry_run())
            }
            Filing::Create => self.create(&issues).await,
        }
    }

    async fn create(&self, issues: &[NewIssue]) -> Result<Delivered, StepError> {
        let url = self.url()?;
        let mut references = Vec::with_capacity(issues.len());
        let mut all_were_there = !issues.is_empty();
        for issue in issues {
            if let Some(found) = self.find(url.clone(), &issue.external_id).await? {
                references.push(found.id_text());
                continue;
            }
            all_were_there = false;
            let created = self
                .post(url.clone(), issue, "file a task at issue-core")
                .await?;
            references.extend(created.map(|issue| issue.id_text()));
        }
        let reference = (!references.is_empty()).then(|| references.join(", "));
        Ok(if all_were_there {
            Delivered::before(reference)
        } else {
            Delivered::now(reference)
        })
    }

    fn url(&self) -> Result<Url, StepError> {
        let base = self.services.settings.issue_core.as_ref();
        let base = base.ok_or(StepError::NotConfigured {
            variable: "ISSUE_CORE_URL",
            needed_for: "issue-core",
        })?;
        Ok(endpoint(base, "issues/"))
    }

    async fn find(&self, mut url: Url, external_id: &str) -> Result<Option<Issue>, StepError> {
        url.query_pairs_mut()
            .append_pair("external_id", external_id);
        let mut call = Call::get(url, TASKS_TIMEOUT);
        call.traceparent = self.traceparent;
        call.bearer = self.services.settings.issue_core_token.as_ref();
        let answer = self.services.egress.send(call).await;
        let issues: Vec<Issue> = answer
            .and_then(|answer| answer.json())
            .map_err(StepError::call("look for a task at issue-core"))?;
        // A server that does not know the filter answers with issues of others.
        Ok(issues
            .into_iter()
            .find(|issue| issue.external_id.as_deref() == Some(external_id)))
    }

    async fn post(
        &self,
        url: Url,
        issue: &NewIssue,
        action: &'static str,
    ) -> Result<Option<Issue>, StepError> {
        let body = serde_json::to_value(issue).unwrap_or_default();
        let mut call = Call::post(url, TASKS_TIMEOUT, &body);
        call.idempotency_key = Some(&issue.external_id);
        call.traceparent = self.traceparent;
        call.bearer = self.services.settings.issue_core_token.as_ref();
        let answer = self.services.egress.send(call).await;
        let answer = answer.map_err(StepError::call(action))?;
        // The issue is there, whatever the answer's body looks like.
        Ok(answer.json().ok())
    }

    fn issues(&self, answer: Option<&str>) -> Result<Vec<NewIssue>, StepError> {
        let tasks = tasks(answer)?;
        let metadata = IssueMetadata {
            activity_core_run_id: self.run_id.as_uuid(),
            activity_id: self.activity.as_uuid(),
        };
        Ok(tasks
            .into_iter()
            .enumerate()
            .map(|(index, task)| NewIssue {
                external_id: format!("{}/{index}", self.run_id),
                title: task.title,
                description: task.description,
                priority: task.priority,
                labels: task.labels,
                metadata: metadata.clone(),
            })
            .collect())
    }
}

/// A task as the answer tells it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Task {
    title: String,
    description: String,
    priority: Option<String>,
    labels: Vec<String>,
}

fn tasks(answer: Option<&str>) -> Result<Vec<Task>, StepError> {
    let answer: Option<Value> = answer.and_then(|answer| serde_json::from_str(answer).ok());
    let tasks = answer.as_ref().and_then(|answer| answer.get("tasks"));
    let Some(tasks) = tasks.and_then(Value::as_array) else {
        return Ok(Vec::new());
    };
    if tasks.len() > MAXIMUM_TASKS {
        return Err(StepError::TooManyTasks {
            count: tasks.len(),
            maximum: MAXIMUM_TASKS,
        });
    }
    tasks
        .iter()
        .enumerate()
        .map(|(index, task)| {
            task_of(task).map_err(|problem| StepError::InvalidTask { index, problem })
        })
        .collect()
}

fn task_of(value: &Value) -> Result<Task, &'static str> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let title = match value {
        Value::String(title) => title.clone(),
        Value::Object(_) => text("title").ok_or("has no title")?,
        _ => return Err("is neither a text nor an object with a title"),
    };
    if title.trim().is_empty() {
        return Err("has an empty title");
    }
    let labels = value.get("labels").and_then(Value::as_array);
    Ok(Task {
        title,
        description: text("description").unwrap_or_default(),
        priority: text("priority"),
        labels: labels
            .into_iter()
            .flatten()
            .filter_map(|label| label.as_str().map(str::to_owned))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tasks_of(answer: &Value) -> Result<Vec<Task>, StepError> {
        tasks(Some(&answer.to_string()))
    }

    #[test]
    fn the_cluster_wide_null_is_a_floor() {
        use IssueSinkType::{IssueCore, Null};
        assert_eq!(filing(Null, false), Filing::Nothing);
        assert_eq!(filing(Null, true), Filing::Check);
        assert_eq!(filing(IssueCore, true), Filing::Check);
        assert_eq!(filing(IssueCore, false), Filing::Create);
    }

    #[test]
    fn tasks_are_texts_or_objects_with_a_title() {
        let answer = json!({"tasks": [
            "call Ada",
            {"title": "renew", "description": "the certificate", "priority": "high",
             "labels": ["ops"]}]});
        let tasks = tasks_of(&answer).unwrap();
        assert_eq!(tasks[0].title, "call Ada");
        assert_eq!(tasks[1].priority.as_deref(), Some("high"));
        assert_eq!(tasks[1].labels, ["ops"]);
    }

    #[test]
    fn an_answer_without_tasks_has_none() {
        assert!(tasks(None).unwrap().is_empty());
        assert!(tasks(Some("plain text")).unwrap().is_empty());
        assert!(tasks_of(&json!({"items": []})).unwrap().is_empty());
    }

    #[test]
    fn a_task_of_no_use_is_named() {
        let refused = tasks_of(&json!({"tasks": ["fine", {"name": "x"}]})).unwrap_err();
        assert_eq!(refused.to_string(), "tasks[1] of the answer has no title");
        assert!(refused.is_permanent());
        let many = json!({"tasks": vec!["x"; 101]});
        assert!(tasks_of(&many).unwrap_err().is_permanent());
    }
}
