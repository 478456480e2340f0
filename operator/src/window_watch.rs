//! Whose maintenance windows may have changed, by what a watch tells of windows.

use std::collections::{BTreeSet, HashSet};

use crds::MaintenanceWindow;
use kube::ResourceExt;
use kube::runtime::watcher::Event;

/// The windows that there are, as far as the watch has told.
#[derive(Debug, Default)]
pub(crate) struct WindowWatch {
    known: HashSet<Place>,
    /// Those of a list that is not complete yet.
    listed: HashSet<Place>,
}

/// Namespace and name.
type Place = (String, String);

impl WindowWatch {
    /// The namespaces whose windows may be others since this event. What a list says counts when it
    /// is complete: only then does the cache have it, and a window that is missing in it was deleted
    /// while nobody watched, of which no event tells.
    pub(crate) fn touched(&mut self, event: &Event<MaintenanceWindow>) -> BTreeSet<String> {
        let touched = match event {
            Event::Init => {
                self.listed.clear();
                HashSet::new()
            }
            Event::InitApply(window) => {
                self.listed.insert(place(window));
                HashSet::new()
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut self.known, std::mem::take(&mut self.listed));
                &before | &self.known
            }
            Event::Apply(window) => {
                self.known.insert(place(window));
                HashSet::from([place(window)])
            }
            Event::Delete(window) => {
                self.known.remove(&place(window));
                HashSet::from([place(window)])
            }
        };
        touched
            .into_iter()
            .map(|(namespace, _)| namespace)
            .collect()
    }
}

fn place(window: &MaintenanceWindow) -> Place {
    (window.namespace().unwrap_or_default(), window.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn window(namespace: &str) -> MaintenanceWindow {
        let object = json!({
            "apiVersion": "activity-core.io/v1alpha1", "kind": "MaintenanceWindow",
            "metadata": {"name": "upgrade", "namespace": namespace},
            "spec": {"startTime": "2026-01-01T10:00:00Z", "endTime": "2026-01-01T11:00:00Z",
                     "selector": {}, "reason": "upgrade", "approvedBy": "Ada"},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_window_that_is_missing_in_a_new_list_touches_its_namespace() {
        let mut watch = WindowWatch::default();
        assert_eq!(
            watch.touched(&Event::Apply(window("a"))),
            BTreeSet::from(["a".to_owned()])
        );
        assert!(watch.touched(&Event::Init).is_empty());
        assert!(watch.touched(&Event::InitApply(window("b"))).is_empty());
        assert_eq!(
            watch.touched(&Event::InitDone),
            BTreeSet::from(["a".to_owned(), "b".to_owned()])
        );
        assert!(watch.touched(&Event::Init).is_empty());
        assert_eq!(
            watch.touched(&Event::InitDone),
            BTreeSet::from(["b".to_owned()])
        );
    }
}
