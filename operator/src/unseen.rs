//! Which of our own writes the watch has not shown yet. A definition that is older than what we wrote
//! last says nothing of its status: what seems to be there already may be what was there before.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crds::ActivityDefinition;
use kube::ResourceExt;

/// The versions that we wrote and have not seen, by the objects' UIDs.
///
/// Versions of one kind of object are numbers that grow, which Kubernetes promises (KEP-5504).
#[derive(Debug, Default)]
pub(crate) struct Unseen(Mutex<HashMap<String, u128>>);

impl Unseen {
    /// We wrote `object`, which is as the API server answered.
    pub(crate) fn wrote(&self, object: &ActivityDefinition) {
        if let (Some(uid), Some(version)) = (object.uid(), version(object)) {
            self.lock().insert(uid, version);
        }
    }

    /// The watch has shown `object`.
    pub(crate) fn saw(&self, object: &ActivityDefinition) {
        let (Some(uid), Some(version)) = (object.uid(), version(object)) else {
            return;
        };
        let mut versions = self.lock();
        if versions
            .get(&uid)
            .is_some_and(|written| *written <= version)
        {
            versions.remove(&uid);
        }
    }

    /// Whether we wrote something that is newer than `object`.
    pub(crate) fn is_ahead_of(&self, object: &ActivityDefinition) -> bool {
        let written = object.uid().and_then(|uid| self.lock().get(&uid).copied());
        let (Some(written), Some(version)) = (written, version(object)) else {
            return false;
        };
        version < written
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, u128>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version(object: &ActivityDefinition) -> Option<u128> {
    object.metadata.resource_version.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(version: &str) -> ActivityDefinition {
        let object = json!({
            "apiVersion": "activity-core.io/v1alpha1", "kind": "ActivityDefinition",
            "metadata": {"name": "daily", "uid": "a", "resourceVersion": version},
            "spec": {},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_we_wrote_is_ahead_until_the_watch_shows_it() {
        let unseen = Unseen::default();
        assert!(!unseen.is_ahead_of(&definition("9")));
        unseen.wrote(&definition("10"));
        assert!(unseen.is_ahead_of(&definition("9")));
        unseen.saw(&definition("9"));
        assert!(unseen.is_ahead_of(&definition("9")));
        unseen.saw(&definition("11"));
        assert!(!unseen.is_ahead_of(&definition("9")));
    }
}
