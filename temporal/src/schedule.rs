//! Schedules: what we want one to be, and what one is.
//!
//! A Schedule is always written as a whole, because a partial update leaves old cron strings in
//! force. What the server keeps is not what was written (a cron string becomes calendars), so the
//! two are compared by a digest. The digest stands in the state's note, the one place that both of
//! Temporal's schedulers let us update and that a listing shows.

use std::collections::HashMap;
use std::time::SystemTime;

use contracts::names;
use contracts::workflow::{RunRequest, RunTrigger};
use domain::{ActivityId, CronTrigger, Definition, OverlapPolicy, Trigger};
use sha2::{Digest, Sha256};
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::Response;
use temporalio_common::protos::temporal::api::common::v1::{Memo, Payloads, WorkflowType};
use temporalio_common::protos::temporal::api::enums::v1::ScheduleOverlapPolicy;
use temporalio_common::protos::temporal::api::schedule::v1::{
    Schedule, ScheduleAction as ScheduleActionMessage, SchedulePolicies,
    ScheduleSpec as ScheduleSpecMessage, ScheduleState, schedule_action,
};
use temporalio_common::protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CreateScheduleRequest, DeleteScheduleRequest, DescribeScheduleRequest,
    DescribeScheduleResponse, ListSchedulesRequest, UpdateScheduleRequest,
};
use uuid::Uuid;

use crate::start::{json_payload, search_attributes, workflow_task_queue};
use crate::{Error, PAGE_SIZE, Temporal, request};

/// The memo field that holds the UID of the object behind a Schedule. It never changes.
pub const OBJECT_UID_MEMO: &str = "activity-core.io/uid";

/// The call as errors name it.
const DESCRIBE: &str = "describe a Schedule";

/// Whose pause it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseOwner {
    /// The definition is disabled.
    Disabled,
    /// A maintenance window is open.
    Maintenance,
    /// Somebody paused the Schedule in Temporal.
    External,
}

impl PauseOwner {
    const ALL: [Self; 3] = [Self::Disabled, Self::Maintenance, Self::External];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Maintenance => "maintenance",
            Self::External => "external",
        }
    }
}

/// Whether a Schedule is paused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pause {
    /// It fires.
    No,
    /// It does not fire.
    Because {
        /// Whose pause it is.
        owner: PauseOwner,
        /// Why, for whoever looks at the Schedule.
        reason: String,
    },
}

/// What a Schedule starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleAction {
    /// The activity.
    pub activity: ActivityId,
    /// Its name, for the search attribute.
    pub activity_name: String,
}

/// Everything that a Schedule should be.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleSpec {
    /// The UID of the object behind it.
    pub object_uid: Uuid,
    /// What it starts.
    pub action: ScheduleAction,
    /// When it fires.
    pub trigger: CronTrigger,
    /// Whether it is paused.
    pub pause: Pause,
}

/// What stands between people's words in a note and ours: the digest, then the pause's owner.
const OURS: &str = "activity-core.io/digest=";

impl ScheduleSpec {
    /// What a definition declares; `None` when it has no cron trigger.
    pub fn declared(definition: &Definition, object_uid: Uuid, pause: Pause) -> Option<Self> {
        let Trigger::Cron(trigger) = &definition.trigger else {
            return None;
        };
        Some(Self {
            object_uid,
            action: ScheduleAction {
                activity: definition.id,
                activity_name: definition.name.clone(),
            },
            trigger: trigger.clone(),
            pause,
        })
    }

    /// A fingerprint of everything that the spec says except the pause, which a listing shows by
    /// itself.
    pub fn digest(&self) -> String {
        // Debug output of plain data: changes with every field, and with this program's version,
        // where the worst that comes of it is one needless update.
        let text = format!(
            "{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}",
            self.object_uid,
            self.action,
            self.trigger.schedule.expression.source(),
            self.trigger.schedule.time_zone.name(),
            (self.trigger.schedule.start, self.trigger.schedule.end),
            (self.trigger.catch_up.window(), self.trigger.overlap),
            self.trigger.jitter,
        );
        hex::encode(&Sha256::digest(text.as_bytes())[..8])
    }

    fn note(&self) -> String {
        let digest = self.digest();
        match &self.pause {
            Pause::No => format!("{OURS}{digest}"),
            Pause::Because { owner, reason } => {
                format!("{reason} {OURS}{digest} {}", owner.as_str())
            }
        }
    }

    fn message(&self) -> Schedule {
        let schedule = &self.trigger.schedule;
        Schedule {
            spec: Some(ScheduleSpecMessage {
                cron_string: vec![schedule.expression.source().to_owned()],
                timezone_name: schedule.time_zone.name().to_owned(),
                start_time: schedule.start.map(|start| SystemTime::from(start).into()),
                end_time: schedule.end.map(|end| SystemTime::from(end).into()),
                jitter: self.trigger.jitter.try_into().ok(),
                ..Default::default()
            }),
            action: Some(self.action.message()),
            policies: Some(SchedulePolicies {
                overlap_policy: overlap_message(self.trigger.overlap).into(),
                catchup_window: self.trigger.catch_up.window().try_into().ok(),
                ..Default::default()
            }),
            state: Some(ScheduleState {
                paused: self.pause != Pause::No,
                notes: self.note(),
                ..Default::default()
            }),
        }
    }
}

impl ScheduleAction {
    /// No retry policy on the workflow: with one, a manual start of the same id can lock the
    /// Schedule up (temporal#10579). The activities have theirs.
    fn message(&self) -> ScheduleActionMessage {
        let run = RunRequest {
            activity_id: self.activity.as_uuid(),
            trigger: RunTrigger::Schedule,
        };
        ScheduleActionMessage {
            action: Some(schedule_action::Action::StartWorkflow(
                NewWorkflowExecutionInfo {
                    workflow_id: names::scheduled_workflow_id(self.activity),
                    workflow_type: Some(WorkflowType {
                        name: names::WORKFLOW_TYPE.to_owned(),
                    }),
                    task_queue: Some(workflow_task_queue()),
                    input: Some(Payloads {
                        payloads: vec![json_payload(&run)],
                    }),
                    search_attributes: Some(search_attributes(self.activity, &self.activity_name)),
                    ..Default::default()
                },
            )),
        }
    }
}

/// A Schedule as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Whether it is paused, and by whom.
    pub pause: Pause,
    /// The digest of what we last wrote; `None` when it is not ours or somebody changed the note.
    pub digest: Option<String>,
    /// The UID of the object behind it.
    pub object_uid: Option<Uuid>,
    /// What it does on overlap.
    pub overlap: OverlapPolicy,
    /// How many times the catch-up window was missed.
    pub missed_catchup_window: i64,
    /// How many runs were left out by the overlap policy.
    pub overlap_skipped: i64,
}

/// A Schedule as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSchedule {
    /// The activity that its id names.
    pub activity: ActivityId,
    /// Whether it is paused, and by whom.
    pub pause: Pause,
    /// The digest of what we last wrote.
    pub digest: Option<String>,
    /// The UID of the object behind it.
    pub object_uid: Option<Uuid>,
}

impl Temporal {
    /// Creates a Schedule. That it exists already is an error, see [`Error::is_already_exists`].
    pub async fn create_schedule(&self, spec: &ScheduleSpec) -> Result<(), Error> {
        let message = CreateScheduleRequest {
            namespace: self.namespace(),
            schedule_id: names::schedule_id(spec.action.activity),
            schedule: Some(spec.message()),
            identity: self.identity(),
            request_id: Uuid::new_v4().to_string(),
            memo: Some(Memo {
                fields: HashMap::from([(
                    OBJECT_UID_MEMO.to_owned(),
                    json_payload(&spec.object_uid),
                )]),
            }),
            search_attributes: Some(search_attributes(
                spec.action.activity,
                &spec.action.activity_name,
            )),
            ..Default::default()
        };
        let done = self.send_create(message.clone()).await;
        if let Err(error) = &done
            && self.repair_search_attributes(error).await?
        {
            return self.send_create(message).await;
        }
        done
    }

    async fn send_create(&self, message: CreateScheduleRequest) -> Result<(), Error> {
        let mut client = self.client.clone();
        WorkflowService::create_schedule(&mut client, request(message))
            .await
            .map(|_| ())
            .map_err(Error::call("create a Schedule"))
    }

    /// Replaces a Schedule as a whole. That it does not exist is an error, see
    /// [`Error::is_not_found`].
    pub async fn replace_schedule(&self, spec: &ScheduleSpec) -> Result<(), Error> {
        let message = UpdateScheduleRequest {
            namespace: self.namespace(),
            schedule_id: names::schedule_id(spec.action.activity),
            schedule: Some(spec.message()),
            identity: self.identity(),
            request_id: Uuid::new_v4().to_string(),
            search_attributes: Some(search_attributes(
                spec.action.activity,
                &spec.action.activity_name,
            )),
            ..Default::default()
        };
        let done = self.send_replace(message.clone()).await;
        if let Err(error) = &done
            && self.repair_search_attributes(error).await?
        {
            return self.send_replace(message).await;
        }
        done
    }

    async fn send_replace(&self, message: UpdateScheduleRequest) -> Result<(), Error> {
        let mut client = self.client.clone();
        WorkflowService::update_schedule(&mut client, request(message))
            .await
            .map(|_| ())
            .map_err(Error::call("replace a Schedule"))
    }

    /// Deletes an activity's Schedule; false when there was none.
    pub async fn delete_schedule(&self, activity: ActivityId) -> Result<bool, Error> {
        let message = DeleteScheduleRequest {
            namespace: self.namespace(),
            schedule_id: names::schedule_id(activity),
            identity: self.identity(),
        };
        let mut client = self.client.clone();
        let deleted = WorkflowService::delete_schedule(&mut client, request(message))
            .await
            .map_err(Error::call("delete a Schedule"));
        match deleted {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// An activity's Schedule; `None` when there is none.
    pub async fn schedule(&self, activity: ActivityId) -> Result<Option<Observed>, Error> {
        let answer = match self.describe_schedule(activity).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let schedule = answer.schedule.ok_or(Error::Malformed {
            operation: DESCRIBE,
            missing: "schedule",
        })?;
        let state = schedule.state.unwrap_or_default();
        let policies = schedule.policies.unwrap_or_default();
        let info = answer.info.unwrap_or_default();
        let (pause, digest) = read_note(state.paused, &state.notes);
        Ok(Some(Observed {
            pause,
            digest,
            object_uid: object_uid(answer.memo.as_ref()),
            overlap: overlap_of(policies.overlap_policy()),
            missed_catchup_window: info.missed_catchup_window,
            overlap_skipped: info.overlap_skipped,
        }))
    }

    pub(crate) async fn describe_schedule(
        &self,
        activity: ActivityId,
    ) -> Result<DescribeScheduleResponse, Error> {
        let message = DescribeScheduleRequest {
            namespace: self.namespace(),
            schedule_id: names::schedule_id(activity),
        };
        let mut client = self.client.clone();
        WorkflowService::describe_schedule(&mut client, request(message))
            .await
            .map(Response::into_inner)
            .map_err(Error::call(DESCRIBE))
    }

    /// Every Schedule of the Temporal namespace whose id is one of ours, by pages of a thousand.
    pub async fn list_schedules(&self) -> Result<Vec<ListedSchedule>, Error> {
        let mut listed = Vec::new();
        let mut next_page_token = Vec::new();
        loop {
            let message = ListSchedulesRequest {
                namespace: self.namespace(),
                maximum_page_size: PAGE_SIZE,
                next_page_token,
                ..Default::default()
            };
            let mut client = self.client.clone();
            let page = WorkflowService::list_schedules(&mut client, request(message))
                .await
                .map_err(Error::call("list Schedules"))?
                .into_inner();
            for entry in page.schedules {
                let Some(activity) = names::activity_of_schedule(&entry.schedule_id) else {
                    continue;
                };
                let info = entry.info.unwrap_or_default();
                let (pause, digest) = read_note(info.paused, &info.notes);
                listed.push(ListedSchedule {
                    activity,
                    pause,
                    digest,
                    object_uid: object_uid(entry.memo.as_ref()),
                });
            }
            if page.next_page_token.is_empty() {
                return Ok(listed);
            }
            next_page_token = page.next_page_token;
        }
    }
}

/// Takes a note apart into the pause that it explains and our digest. A pause whose note is not
/// ours was made by somebody else.
pub(crate) fn read_note(paused: bool, note: &str) -> (Pause, Option<String>) {
    let (reason, ours) = match note.split_once(OURS) {
        Some((reason, ours)) => (reason.trim(), Some(ours)),
        None => (note.trim(), None),
    };
    let mut words = ours.unwrap_or_default().split_whitespace();
    let digest = words.next().map(str::to_owned);
    let owner = words
        .next()
        .and_then(|word| {
            PauseOwner::ALL
                .into_iter()
                .find(|owner| owner.as_str() == word)
        })
        .unwrap_or(PauseOwner::External);
    let pause = if paused {
        Pause::Because {
            owner,
            reason: reason.to_owned(),
        }
    } else {
        Pause::No
    };
    (pause, digest)
}

fn object_uid(memo: Option<&Memo>) -> Option<Uuid> {
    let payload = memo?.fields.get(OBJECT_UID_MEMO)?;
    serde_json::from_slice(&payload.data).ok()
}

const fn overlap_message(policy: OverlapPolicy) -> ScheduleOverlapPolicy {
    match policy {
        OverlapPolicy::Skip => ScheduleOverlapPolicy::Skip,
        OverlapPolicy::BufferOne => ScheduleOverlapPolicy::BufferOne,
        OverlapPolicy::BufferAll => ScheduleOverlapPolicy::BufferAll,
        OverlapPolicy::CancelOther => ScheduleOverlapPolicy::CancelOther,
        OverlapPolicy::TerminateOther => ScheduleOverlapPolicy::TerminateOther,
        OverlapPolicy::AllowAll => ScheduleOverlapPolicy::AllowAll,
    }
}

const fn overlap_of(message: ScheduleOverlapPolicy) -> OverlapPolicy {
    match message {
        // The server's default is Skip.
        ScheduleOverlapPolicy::Unspecified | ScheduleOverlapPolicy::Skip => OverlapPolicy::Skip,
        ScheduleOverlapPolicy::BufferOne => OverlapPolicy::BufferOne,
        ScheduleOverlapPolicy::BufferAll => OverlapPolicy::BufferAll,
        ScheduleOverlapPolicy::CancelOther => OverlapPolicy::CancelOther,
        ScheduleOverlapPolicy::TerminateOther => OverlapPolicy::TerminateOther,
        ScheduleOverlapPolicy::AllowAll => OverlapPolicy::AllowAll,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn because(owner: PauseOwner, reason: &str) -> Pause {
        Pause::Because {
            owner,
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn a_pause_is_known_by_its_note() {
        let digest = Some("ab12".to_owned());
        assert_eq!(
            read_note(
                true,
                "the definition is disabled activity-core.io/digest=ab12 disabled"
            ),
            (
                because(PauseOwner::Disabled, "the definition is disabled"),
                digest.clone()
            )
        );
        assert_eq!(
            read_note(false, "activity-core.io/digest=ab12"),
            (Pause::No, digest.clone())
        );
    }

    #[test]
    fn a_pause_without_our_words_is_somebody_elses() {
        assert_eq!(
            read_note(true, "paused by Ada"),
            (because(PauseOwner::External, "paused by Ada"), None)
        );
        let kept = read_note(true, "activity-core.io/digest=ab12");
        assert_eq!(
            kept,
            (because(PauseOwner::External, ""), Some("ab12".to_owned()))
        );
    }
}
