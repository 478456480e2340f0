//! Every field of a definition is changed to every kind of value, right and wrong, from whatever
//! state it happens to be in: what is right becomes so everywhere, and what is wrong is refused by
//! its name and changes nothing.
//!
//! Half of the definitions live where the webhook answers, half where nobody reaches it: there, what only
//! the operator can judge is accepted, ends as `Stalled` with a message that names the field, and
//! is in the way of nothing: the state from before is restored after it, and has to converge.

mod changes;
mod fields;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use crds::ActivityDefinition;
use futures::future::try_join_all;
use kube::CustomResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, ValidationDirective};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use testkit::Stack;
use testkit::wait::{self, Seen};

use crate::expected::ExpectedDefinition;
use crate::lane::{Cast, Lane};
use crate::oracle;
use crate::random::Random;
use changes::{Change, Right};

/// The file of these results.
pub const DEFINITIONS: &str = "definitions.jsonl";

/// How long a change may take until it is true everywhere.
const PATIENCE: Duration = Duration::from_mins(2);

/// How often a definition is deleted and made anew: after so many changes.
const LIFETIME: usize = 25;

/// What is done, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many operations at least.
    pub operations: usize,
    /// How many definitions are worked on at a time.
    pub objects: usize,
    /// Draws the order of the changes.
    pub seed: u64,
}

/// One operation, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Operation {
    /// The seed of the run.
    pub seed: u64,
    /// Its number.
    pub number: usize,
    /// The field that was changed, or `create`, `delete`, `restore`.
    pub field: String,
    /// To what; shortened.
    pub value: String,
    /// Whether the webhook answered.
    pub webhook: bool,
    /// What became of it.
    pub end: End,
    /// Seconds from the answer of the API server until everything was as declared.
    pub converged_after: Option<f64>,
    /// What is wrong, if anything is.
    pub problem: Option<String>,
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It was accepted, and is true everywhere.
    Converged,
    /// It was refused.
    Refused,
    /// It was accepted, and the operator says that it can't be carried out.
    Stalled,
    /// Something is wrong.
    Wrong,
}

/// Carries out operations on servers of their own, and tells of each.
pub async fn run(
    stack: &Stack,
    options: Options,
    observer: &(dyn Fn(&Operation) + Sync),
) -> Result<Vec<Operation>> {
    let changes = Arc::new(changes_in_order(options)?);
    let casts = [Cast::Admission, Cast::Definitions];
    let lanes = casts.map(|cast| Lane::start(stack, cast, "definitions"));
    let lanes = try_join_all(lanes).await?;
    for lane in &lanes {
        crate::trial::warm_up(lane, "warm").await?;
    }
    let objects = options.objects.max(2);
    let share = options.operations.div_ceil(objects);
    let working = (0..objects).map(|number| {
        let side = number % casts.len();
        let object = Object {
            lane: &lanes[side],
            webhook: casts[side] == Cast::Admission,
            name: format!("object-{number}"),
            seed: options.seed,
            first: number * share,
            spec: json!({}),
            operations: Vec::new(),
            observer,
        };
        object.live(&changes, share)
    });
    let operations = try_join_all(working).await?;
    for lane in lanes {
        lane.stop().await?;
    }
    Ok(operations.into_iter().flatten().collect())
}

fn schema() -> Result<Value> {
    let crd = serde_json::to_value(ActivityDefinition::crd())?;
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    crd.pointer(spec).cloned().context("the CRD has no schema")
}

/// As many changes as there are operations: every one as often as every other, in a new order each
/// time round.
fn changes_in_order(options: Options) -> Result<Vec<Change>> {
    let all: Vec<Change> = fields::fields(&schema()?)
        .iter()
        .flat_map(changes::changes)
        .collect();
    anyhow::ensure!(!all.is_empty(), "the schema has no fields");
    let mut random = Random::new(options.seed);
    let mut changes = Vec::new();
    while changes.len() < options.operations + options.objects {
        let mut round = all.clone();
        random.shuffle(&mut round);
        changes.extend(round);
    }
    Ok(changes)
}

/// A definition whose fields are changed.
struct Object<'run> {
    lane: &'run Lane,
    webhook: bool,
    name: String,
    seed: u64,
    /// The number of its first operation.
    first: usize,
    /// What is declared; always something that is right.
    spec: Value,
    operations: Vec<Operation>,
    observer: &'run (dyn Fn(&Operation) + Sync),
}

/// What the API server said to an operation.
type Answer = Result<(), kube::Error>;

impl Object<'_> {
    async fn live(mut self, changes: &[Change], share: usize) -> Result<Vec<Operation>> {
        let mine = changes.get(self.first..).unwrap_or_default();
        for (age, change) in mine.iter().enumerate() {
            if self.operations.len() >= share {
                break;
            }
            if age % LIFETIME == 0 {
                if age > 0 {
                    self.delete().await?;
                }
                self.create().await?;
            }
            self.change(change).await?;
        }
        self.delete().await?;
        Ok(self.operations)
    }

    async fn create(&mut self) -> Result<()> {
        let object = json!({
            "apiVersion": "activity-core.io/v1alpha1", "kind": "ActivityDefinition",
            "metadata": {"name": self.name}, "spec": self.spec,
        });
        let object: ActivityDefinition = serde_json::from_value(object)?;
        let definitions = &self.lane.definitions;
        let answer = definitions.create(&PostParams::default(), &object).await;
        let value = self.spec.clone();
        self.accepted(("create", &value), answer.map(drop)).await
    }

    async fn delete(&mut self) -> Result<()> {
        let before = self.lane.definitions.get_opt(&self.name).await?;
        let activity = before.and_then(|object| object.activity_id());
        let activity = activity.context("the object has no id")?;
        let definitions = &self.lane.definitions;
        definitions
            .delete(&self.name, &DeleteParams::default())
            .await?;
        let begun = Instant::now();
        let what = format!("{} to be gone everywhere", self.name);
        let gone = wait::until(what, PATIENCE, || async {
            let object = self.lane.definitions.get_opt(&self.name).await?;
            let row = self.lane.store.definition(activity).await?;
            let schedule = self.lane.schedules.describe(activity).await?;
            let left = (object.is_some(), row.is_some(), schedule.is_some());
            anyhow::Ok(match left {
                (false, false, false) => Seen::Done(()),
                left => Seen::not_yet(format!("object, row, Schedule: {left:?}")),
            })
        })
        .await;
        let end = match &gone {
            Ok(()) => End::Converged,
            Err(_) => End::Wrong,
        };
        let problem = gone.err().map(|error| error.to_string());
        self.note(("delete", &Value::Null), end, Some(begun), problem);
        Ok(())
    }

    async fn change(&mut self, change: &Change) -> Result<()> {
        let spec = changes::apply(&self.spec, change);
        let value = change.value.clone().unwrap_or(Value::Null);
        let told = (change.field.as_str(), &value);
        let answer = self.replace(&spec).await;
        // A webhook that does not answer in time, on a busy machine, lets everything pass.
        let has_slipped_through = answer.is_ok();
        let is_to_be_refused = match change.right {
            Right::Yes => false,
            Right::NotBySchema => true,
            Right::NotByMeaning => self.webhook && !has_slipped_through,
        };
        if is_to_be_refused {
            self.refused(told, answer, change);
            return Ok(());
        }
        if change.right == Right::Yes {
            self.spec = spec;
            return self.accepted(told, answer).await;
        }
        self.stalled(told, answer, change).await?;
        let before = self.spec.clone();
        let answer = self.replace(&before).await;
        self.accepted(("restore", &Value::Null), answer).await
    }

    /// Writes a whole spec in the place of the one that is there.
    async fn replace(&self, spec: &Value) -> Answer {
        let patch = json!([{"op": "replace", "path": "/spec", "value": spec}]);
        let Ok(patch) = serde_json::from_value(patch) else {
            return Ok(());
        };
        let parameters = PatchParams {
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        let patch = Patch::<ActivityDefinition>::Json(patch);
        let definitions = &self.lane.definitions;
        definitions
            .patch(&self.name, &parameters, &patch)
            .await
            .map(drop)
    }

    /// It has to be refused, by its name.
    fn refused(&mut self, told: (&str, &Value), answer: Answer, change: &Change) {
        let problem = match answer {
            Ok(()) => Some("it was accepted".to_owned()),
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => {
                let is_named = change
                    .names
                    .iter()
                    .any(|name| status.message.contains(name));
                (!is_named).then(|| format!("the field is not named: {}", status.message))
            }
            Err(error) => Some(format!("it was not refused but failed: {error}")),
        };
        let end = match problem {
            None => End::Refused,
            Some(_) => End::Wrong,
        };
        self.note(told, end, None, problem);
    }

    /// It has to be accepted, and to become true everywhere.
    async fn accepted(&mut self, told: (&str, &Value), answer: Answer) -> Result<()> {
        if let Err(error) = answer {
            self.note(
                told,
                End::Wrong,
                None,
                Some(format!("it was refused: {error}")),
            );
            anyhow::ensure!(
                told.0 != "create",
                "{} can't be created: {error}",
                self.name
            );
            // What is declared is what is there.
            let object = self.lane.definitions.get(&self.name).await?;
            self.spec = serde_json::to_value(&object.spec)?;
            return Ok(());
        }
        let begun = Instant::now();
        let what = format!("{} to be as declared", self.name);
        let converged = wait::until(what, PATIENCE, || async {
            let found = self.differences().await?;
            anyhow::Ok(if found.is_empty() {
                Seen::Done(())
            } else {
                Seen::not_yet(found.join("; "))
            })
        })
        .await;
        let end = match &converged {
            Ok(()) => End::Converged,
            Err(_) => End::Wrong,
        };
        let problem = converged.err().map(|error| error.to_string());
        self.note(told, end, Some(begun), problem);
        Ok(())
    }

    async fn differences(&self) -> Result<Vec<String>> {
        let object = self.lane.definitions.get(&self.name).await?;
        let declared = ExpectedDefinition {
            name: self.name.clone(),
            reason: if object.spec.enabled {
                "Synced"
            } else {
                "Suspended"
            },
        };
        let mut found = oracle::compare_object(&object, &declared);
        if !found.is_empty() {
            return Ok(found);
        }
        let schedules = (&self.lane.schedules, Some(false));
        found.extend(oracle::compare(&object, &self.lane.store, schedules).await?);
        Ok(found)
    }

    /// It has to be accepted, and to be called impossible by its name.
    async fn stalled(
        &mut self,
        told: (&str, &Value),
        answer: Answer,
        change: &Change,
    ) -> Result<()> {
        if let Err(error) = answer {
            let problem = format!("without a webhook it was refused: {error}");
            self.note(told, End::Wrong, None, Some(problem));
            return Ok(());
        }
        let begun = Instant::now();
        let what = format!("{} to be called impossible", self.name);
        let stalled = wait::until(what, PATIENCE, || async {
            let object = self.lane.definitions.get(&self.name).await?;
            let conditions = object.status.unwrap_or_default().conditions;
            let of = |kind: &str| {
                let mut conditions = conditions.iter();
                conditions.find(|condition| {
                    condition.type_ == kind
                        && condition.observed_generation == object.metadata.generation
                })
            };
            let is_ready = of("Ready").is_some_and(|ready| ready.status == "True");
            let stalled = of("Stalled").filter(|stalled| stalled.status == "True");
            let is_named = stalled.is_some_and(|stalled| {
                change
                    .names
                    .iter()
                    .any(|name| stalled.message.contains(name))
            });
            Ok::<_, kube::Error>(if is_named && !is_ready {
                Seen::Done(())
            } else {
                Seen::not_yet(format!("{conditions:?}"))
            })
        })
        .await;
        let end = match &stalled {
            Ok(()) => End::Stalled,
            Err(_) => End::Wrong,
        };
        let problem = stalled.err().map(|error| error.to_string());
        self.note(told, end, Some(begun), problem);
        Ok(())
    }

    fn note(
        &mut self,
        (field, value): (&str, &Value),
        end: End,
        begun: Option<Instant>,
        problem: Option<String>,
    ) {
        let operation = Operation {
            seed: self.seed,
            number: self.first + self.operations.len(),
            field: field.to_owned(),
            value: value.to_string().chars().take(200).collect(),
            webhook: self.webhook,
            end,
            converged_after: begun.map(|begun| begun.elapsed().as_secs_f64()),
            problem: problem.map(|problem| problem.chars().take(2000).collect()),
        };
        (self.observer)(&operation);
        self.operations.push(operation);
    }
}

/// The figures of these operations, as a table.
pub fn figures(operations: &[Operation]) -> String {
    let known = schema().map(|schema| fields::fields(&schema).len());
    let fields: BTreeSet<&str> = operations
        .iter()
        .map(|operation| operation.field.as_str())
        .filter(|field| !matches!(*field, "create" | "delete" | "restore"))
        .collect();
    let count = |end: End| {
        let of = operations.iter().filter(|operation| operation.end == end);
        of.count()
    };
    let mut times: Vec<f64> = operations
        .iter()
        .filter(|operation| operation.end == End::Converged)
        .filter_map(|operation| operation.converged_after)
        .collect();
    times.sort_by(f64::total_cmp);
    let percentile = |hundredths| crate::report::percentile(&times, hundredths);
    format!(
        "| | |\n| --- | --- |\n\
         | operations on a real API server | {} |\n\
         | fields of the spec that were changed | {} of {} |\n\
         | accepted, and true everywhere | {} |\n\
         | refused, by a message that names the field | {} |\n\
         | accepted because no webhook answered, and `Stalled` by a message that names the field | {} |\n\
         | wrong | {} |\n\
         | true everywhere after: p50 · p99 · max | {} · {} · {} |\n",
        operations.len(),
        fields.len(),
        known.unwrap_or_default(),
        count(End::Converged),
        count(End::Refused),
        count(End::Stalled),
        count(End::Wrong),
        percentile(50),
        percentile(99),
        percentile(100),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_spec_is_changed_to_right_and_wrong_values() {
        let fields = fields::fields(&schema().unwrap());
        assert!(fields.len() > 40, "{fields:#?}");
        for field in fields {
            let changes = changes::changes(&field);
            let wrong = changes.iter().any(|change| change.right != Right::Yes);
            assert!(wrong, "{} is never wrong", field.path);
            let right = changes
                .iter()
                .any(|change| change.right == Right::Yes && change.value.is_some());
            assert!(
                right || field.path == "activityId",
                "{} is never right",
                field.path
            );
            for change in changes {
                let spec = changes::apply(&json!({}), &change);
                assert_eq!(
                    spec.pointer(&fields::pointer(&field.path)),
                    change.value.as_ref()
                );
            }
        }
    }

    #[test]
    fn one_seed_makes_the_same_changes_again() {
        let options = |seed| Options {
            operations: 100,
            objects: 2,
            seed,
        };
        let fields = |seed| -> Vec<String> {
            let changes = changes_in_order(options(seed)).unwrap();
            changes.into_iter().map(|change| change.field).collect()
        };
        assert_eq!(fields(1), fields(1));
        assert_ne!(fields(1), fields(2));
    }
}
