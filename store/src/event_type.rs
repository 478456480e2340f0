//! The mirror of EventTypes.

use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use crate::{Error, Store};

/// One event type in the mirror.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct EventTypeRow {
    /// The type, for example `user.created`.
    pub name: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's UID.
    pub uid: Uuid,
    /// The generation of the spec.
    pub generation: i64,
    /// What the event means.
    pub description: Option<String>,
    /// The JSON Schema of the payload.
    pub schema: Option<Value>,
    /// `Enforce` or `Warn`.
    pub validation: String,
}

impl Store {
    /// Brings the row of an event type to what `row` says; an equal row is left alone.
    pub async fn write_event_type(&self, row: &EventTypeRow) -> Result<(), Error> {
        sqlx::query(
            "insert into event_types
               (name, namespace, uid, generation, description, schema, validation)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (namespace, name) do update set
               uid = excluded.uid, generation = excluded.generation,
               description = excluded.description, schema = excluded.schema,
               validation = excluded.validation, updated_at = now()
             where (event_types.uid, event_types.generation)
                   is distinct from (excluded.uid, excluded.generation)",
        )
        .bind(&row.name)
        .bind(&row.namespace)
        .bind(row.uid)
        .bind(row.generation)
        .bind(&row.description)
        .bind(&row.schema)
        .bind(&row.validation)
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(Error::query("write an event type"))
    }

    /// Removes the row of the object `uid`.
    pub async fn delete_event_type(&self, uid: Uuid) -> Result<(), Error> {
        sqlx::query("delete from event_types where uid = $1")
            .bind(uid)
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(Error::query("delete an event type"))
    }

    /// Every event type.
    pub async fn event_types(&self) -> Result<Vec<EventTypeRow>, Error> {
        sqlx::query_as(
            "select name, namespace, uid, generation, description, schema, validation
             from event_types order by namespace, name",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read the event types"))
    }
}
