//! Which definitions claim which activity id, so that neither a reconcile nor a run that ends has
//! to look through all of them.
//!
//! A claim may be out of date; whoever asks looks at the object itself. Who has the better right
//! is not decided here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crds::ActivityDefinition;
use domain::ActivityId;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

/// Nearly always one.
type Claimants = Vec<ObjectRef<ActivityDefinition>>;

/// The claims of every definition that was seen.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    by_activity: Mutex<HashMap<ActivityId, Claimants>>,
}

impl Claims {
    /// Takes note of what a definition claims now.
    pub(crate) fn note(&self, object: &ActivityDefinition) {
        if let Some(activity) = object.activity_id() {
            let reference = reference(object);
            let mut claims = self.lock();
            let claimants = claims.entry(activity).or_default();
            if !claimants.contains(&reference) {
                claimants.push(reference);
            }
        }
    }

    /// Forgets a definition that is gone.
    pub(crate) fn forget(&self, object: &ActivityDefinition) {
        let Some(activity) = object.activity_id() else {
            return;
        };
        let reference = reference(object);
        let mut claims = self.lock();
        if let Some(claimants) = claims.get_mut(&activity) {
            claimants.retain(|claimant| *claimant != reference);
            if claimants.is_empty() {
                claims.remove(&activity);
            }
        }
    }

    /// The definitions that have claimed an activity.
    pub(crate) fn of(&self, activity: ActivityId) -> Vec<ObjectRef<ActivityDefinition>> {
        self.lock().get(&activity).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ActivityId, Claimants>> {
        self.by_activity
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Namespace and name, without the version that an object had once.
fn reference(object: &ActivityDefinition) -> ObjectRef<ActivityDefinition> {
    ObjectRef::new(&object.name_any()).within(&object.namespace().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(name: &str) -> ActivityDefinition {
        serde_json::from_value(json!({
            "apiVersion": "activity-core.io/v1alpha1", "kind": "ActivityDefinition",
            "metadata": {"name": name, "namespace": "one", "uid": uuid::Uuid::new_v4()},
            "spec": {"activityId": "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f"},
        }))
        .unwrap()
    }

    #[test]
    fn claims_are_kept_until_the_definition_is_gone() {
        let (claims, first, second) = (Claims::default(), definition("a"), definition("b"));
        let activity = first.activity_id().unwrap();
        claims.note(&first);
        claims.note(&first);
        claims.note(&second);
        assert_eq!(claims.of(activity).len(), 2);
        claims.forget(&first);
        assert_eq!(claims.of(activity), [ObjectRef::new("b").within("one")]);
        claims.forget(&second);
        assert_eq!(claims.of(activity), []);
    }
}
