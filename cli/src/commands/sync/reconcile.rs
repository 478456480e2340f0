//! Has the operator reconcile definitions now, waits for its answer in their status, and says
//! what it changed.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::ActivityDefinition;
use crds::condition::{reasons, types};
use indicatif::{ProgressBar, ProgressStyle};
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use crate::cluster::{self, Cluster};
use crate::exit::{Exit, Problem};
use crate::output::{self, Format};

const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What became of one definition, in the shape that `-o json` promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reconciled {
    namespace: String,
    name: String,
    /// created, created paused, updated, paused, resumed, deleted, unchanged, refused, failed,
    /// none (no Schedule is declared), or no answer.
    schedule: String,
    mirror: String,
    /// The condition Ready.
    ready: String,
    message: String,
}

/// The answer, in the shape that `-o json` promises.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    definitions: Vec<Reconciled>,
    /// What was swept because no definition declares it, as namespace/name: what was deleted.
    orphans: BTreeMap<String, String>,
}

/// Which definitions, and how long they are waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'request> {
    /// The namespace; all when `None`.
    pub(super) namespace: Option<&'request str>,
    /// How long the operator may take.
    pub(super) limit: Duration,
    pub(super) format: Format,
}

/// Asks for a reconcile of every definition and prints what came of it.
pub(super) async fn reconcile_all(cluster: &Cluster, request: Request<'_>) -> anyhow::Result<Exit> {
    let everywhere = cluster.objects::<ActivityDefinition>(request.namespace);
    let listed = cluster::ask(everywhere.list(&ListParams::default())).await?;
    if listed.items.is_empty() {
        output::note("there is no definition");
    }
    let swept_before = sweeps(cluster, request.namespace).await;
    let token = Uuid::new_v4().to_string();
    ask(cluster, &listed.items, &token).await?;
    let asked: Vec<String> = listed
        .items
        .iter()
        .filter_map(ActivityDefinition::uid)
        .collect();
    let objects = wait(&everywhere, &asked, (&token, request.limit)).await?;
    let answer = Answer {
        definitions: objects
            .iter()
            .map(|object| reconciled(object, &token))
            .collect(),
        orphans: new_sweeps(swept_before, sweeps(cluster, request.namespace).await),
    };
    match request.format {
        Format::Json => output::json(&answer)?,
        Format::Yaml => output::yaml(&answer)?,
        Format::Table => print(&answer)?,
    }
    let unanswered = objects
        .iter()
        .filter(|object| !is_answered(object, &token))
        .count();
    if unanswered > 0 {
        return Err(Problem::unknown(format!(
            "the operator did not answer for {unanswered} of {} definitions within {} s; is \
             actcore-operator running? Its log says what it waits for",
            objects.len(),
            request.limit.as_secs()
        ))
        .into());
    }
    let all_ready = answer.definitions.iter().all(|one| one.ready == "True");
    Ok(if all_ready { Exit::Done } else { Exit::Failed })
}

async fn ask(
    cluster: &Cluster,
    objects: &[ActivityDefinition],
    token: &str,
) -> Result<(), Problem> {
    let mut change = json!({"metadata": {"annotations": {}}});
    change["metadata"]["annotations"][contracts::names::RECONCILE_ANNOTATION] = json!(token);
    let parameters = PatchParams {
        field_manager: Some(cluster::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    for object in objects {
        let api = cluster.definitions_in(&object.namespace().unwrap_or_default());
        let name = object.name_any();
        cluster::ask(api.patch_metadata(&name, &parameters, &Patch::Merge(&change))).await?;
    }
    Ok(())
}

/// Looks until every definition that was asked for is answered or gone, or the time is over.
async fn wait(
    everywhere: &Api<ActivityDefinition>,
    asked: &[String],
    (token, limit): (&str, Duration),
) -> Result<Vec<ActivityDefinition>, Problem> {
    // Hidden where standard error is no terminal.
    let progress = ProgressBar::new(asked.len().try_into().unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} reconciled") {
        progress.set_style(style);
    }
    let deadline = Instant::now() + limit;
    loop {
        let mut objects = cluster::ask(everywhere.list(&ListParams::default()))
            .await?
            .items;
        objects.retain(|object| object.uid().is_some_and(|uid| asked.contains(&uid)));
        let answered = objects.iter().filter(|object| is_answered(object, token));
        let answered = answered.count();
        let gone = asked.len() - objects.len();
        progress.set_position((answered + gone).try_into().unwrap_or(u64::MAX));
        if answered == objects.len() || Instant::now() >= deadline {
            progress.finish_and_clear();
            return Ok(objects);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn is_answered(object: &ActivityDefinition, token: &str) -> bool {
    let status = object.status.as_ref();
    let answer = status.and_then(|status| status.last_handled_reconcile.as_ref());
    answer.is_some_and(|answer| answer.token == token)
}

fn reconciled(object: &ActivityDefinition, token: &str) -> Reconciled {
    let answer = object
        .status
        .as_ref()
        .and_then(|status| status.last_handled_reconcile.as_ref())
        .filter(|answer| answer.token == token);
    let word = |done: Option<&str>| match done {
        Some("CreatedPaused") => "created paused".to_owned(),
        Some(done) => done.to_lowercase(),
        None => "no answer".to_owned(),
    };
    let (ready, message) = ready(object);
    Reconciled {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        schedule: match answer {
            Some(answer) if answer.schedule == "Unchanged" && has_none(object) => "none".to_owned(),
            answer => word(answer.map(|answer| answer.schedule.as_str())),
        },
        mirror: word(answer.map(|answer| answer.mirror.as_str())),
        ready,
        message: output::on_one_line(&message),
    }
}

/// Whether no Schedule is declared.
fn has_none(object: &ActivityDefinition) -> bool {
    let status = object.status.as_ref();
    status.is_some_and(|status| status.schedule_id.is_none())
}

/// The condition Ready and its message.
fn ready(object: &ActivityDefinition) -> (String, String) {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions
        .filter(|condition| condition.type_ == types::READY)
        .map(|condition| (condition.status.clone(), condition.message.clone()))
        .next()
        .unwrap_or_else(|| {
            (
                "Unknown".to_owned(),
                "the operator has not looked at it yet; is actcore-operator running?".to_owned(),
            )
        })
}

/// The Events that tell of sweeps, with what tells two of them apart. Who may not list Events
/// does not see what was swept.
async fn sweeps(cluster: &Cluster, namespace: Option<&str>) -> BTreeMap<(String, i32), Event> {
    let parameters = ListParams::default().fields(&format!("reason={}", reasons::ORPHAN_SWEPT));
    let events = cluster.objects::<Event>(namespace);
    let Ok(listed) = cluster::ask(events.list(&parameters)).await else {
        output::note("note: Events can't be listed, so deleted orphans are not shown");
        return BTreeMap::new();
    };
    let keyed = listed.items.into_iter().map(|event| {
        let times = event.series.as_ref().map_or(1, |series| series.count);
        ((event.uid().unwrap_or_default(), times), event)
    });
    keyed.collect()
}

fn new_sweeps(
    before: BTreeMap<(String, i32), Event>,
    after: BTreeMap<(String, i32), Event>,
) -> BTreeMap<String, String> {
    after
        .into_iter()
        .filter(|(key, _)| !before.contains_key(key))
        .map(|(_, event)| {
            let gone = event.regarding.unwrap_or_default();
            let name = format!(
                "{}/{}",
                gone.namespace.unwrap_or_default(),
                gone.name.unwrap_or_default()
            );
            (name, event.note.unwrap_or_default())
        })
        .collect()
}

fn print(answer: &Answer) -> std::io::Result<()> {
    if !answer.definitions.is_empty() {
        let rows = answer.definitions.iter().map(|one| {
            vec![
                one.namespace.clone(),
                one.name.clone(),
                one.schedule.clone(),
                one.mirror.clone(),
                one.ready.clone(),
                one.message.clone(),
            ]
        });
        output::table(
            &[
                "NAMESPACE",
                "NAME",
                "SCHEDULE",
                "MIRROR",
                "READY",
                "MESSAGE",
            ],
            rows.collect(),
        )?;
    }
    for (name, deleted) in &answer.orphans {
        output::line(format!("orphan {name}: {deleted}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(token: &str, schedule: &str, schedule_id: Option<&str>) -> ActivityDefinition {
        serde_json::from_value(json!({
            "apiVersion": "activity-core.io/v1alpha1", "kind": "ActivityDefinition",
            "metadata": {"name": "daily", "namespace": "one"}, "spec": {},
            "status": {
                "scheduleId": schedule_id,
                "lastHandledReconcile":
                    {"token": token, "schedule": schedule, "mirror": "Unchanged"},
                "conditions": [{"type": "Ready", "status": "True", "reason": "Synced",
                    "message": "the definition\nis in force",
                    "lastTransitionTime": "2026-11-24T00:00:00Z"}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn only_the_answer_to_this_request_says_what_changed() {
        let answered = reconciled(&object("t", "CreatedPaused", Some("s")), "t");
        assert_eq!(answered.schedule, "created paused");
        assert_eq!(answered.mirror, "unchanged");
        assert_eq!(answered.message, "the definition is in force");
        let other = reconciled(&object("earlier", "Created", Some("s")), "t");
        assert_eq!(other.schedule, "no answer");
        let manual = reconciled(&object("t", "Unchanged", None), "t");
        assert_eq!(manual.schedule, "none");
    }
}
