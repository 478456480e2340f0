//! From a row of the mirror to the definition that it mirrors.

use crds::ActivityDefinitionSpec;
use domain::{ActivityId, Definition, InvalidDefinition};
use store::MirrorRow;

/// A row that holds no valid definition. The operator mirrors only what it accepted, so the row
/// was written by another version or by somebody else.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableDefinition {
    /// The spec has another shape.
    #[error("the mirror row of {namespace}/{name} is no spec that this version can read")]
    Shape {
        /// The object's namespace.
        namespace: String,
        /// The object's name.
        name: String,
        /// What can't be read.
        #[source]
        source: serde_json::Error,
    },
    /// The spec is refused.
    #[error("the mirror row of {namespace}/{name} holds an invalid spec")]
    Invalid {
        /// The object's namespace.
        namespace: String,
        /// The object's name.
        name: String,
        /// Which field, and what would be right.
        #[source]
        source: InvalidDefinition,
    },
}

/// The definition that a row of the mirror holds.
pub fn definition_of(row: &MirrorRow) -> Result<Definition, UnreadableDefinition> {
    let spec: ActivityDefinitionSpec =
        serde_json::from_value(row.spec.clone()).map_err(|source| UnreadableDefinition::Shape {
            namespace: row.namespace.clone(),
            name: row.name.clone(),
            source,
        })?;
    spec.validate(ActivityId::new(row.activity_id), &row.name)
        .map_err(|source| UnreadableDefinition::Invalid {
            namespace: row.namespace.clone(),
            name: row.name.clone(),
            source,
        })
}
