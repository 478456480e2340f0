//! What is to be true in the end, whatever happened on the way.

use domain::RunId;

/// The end state that a workload declares.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Every definition that is to be there. Whatever else there is, is a leak.
    pub definitions: Vec<ExpectedDefinition>,
    /// Every run that is to have happened, and no other.
    pub runs: Vec<ExpectedRun>,
    /// Whether a maintenance window pauses what is enabled.
    pub in_maintenance: bool,
    /// The names of the event types in the mirror.
    pub event_types: Vec<String>,
}

/// A definition that is to be there.
#[derive(Debug, Clone)]
pub struct ExpectedDefinition {
    /// Its name.
    pub name: String,
    /// The reason of `Ready=True`.
    pub reason: &'static str,
}

/// A run that is to have happened.
#[derive(Debug, Clone)]
pub struct ExpectedRun {
    /// The definition's name.
    pub definition: String,
    /// Which run.
    pub run: RunId,
    /// Its workflow.
    pub workflow_id: String,
    /// Whether a worker carries it out; without one, to be started is all.
    pub completes: bool,
    /// Whether Temporal has lost its data since.
    pub is_forgotten: bool,
}

impl Expected {
    /// Declares a definition, in place of one of the same name.
    pub fn define(&mut self, name: &str, reason: &'static str) {
        self.forget(name);
        self.definitions.push(ExpectedDefinition {
            name: name.to_owned(),
            reason,
        });
    }

    /// Declares that a definition is gone.
    pub fn forget(&mut self, name: &str) {
        self.definitions.retain(|other| other.name != name);
    }
}
