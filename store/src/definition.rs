//! The mirror: the definitions as the operator accepted them, for workers and routers.

use chrono::{DateTime, Utc};
use domain::ActivityId;
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::bounded::bounded;
use crate::{Error, Store};

/// The channel on which each change of the mirror is announced (`LISTEN`).
pub(crate) const DEFINITIONS_CHANNEL: &str = "activity_core_definitions";

/// One definition in the mirror.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct MirrorRow {
    /// The activity's id.
    pub activity_id: Uuid,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The object's UID.
    pub uid: Uuid,
    /// The generation of the spec.
    pub generation: i64,
    /// The name that people use.
    pub display_name: String,
    /// Whether runs are started.
    pub enabled: bool,
    /// The event type that is waited for, if any.
    pub event_type: Option<String>,
    /// The custom resource's spec.
    pub spec: Value,
}

/// Which version of a definition is mirrored.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct MirroredVersion {
    /// The activity's id.
    pub activity_id: Uuid,
    /// The object's namespace.
    pub namespace: String,
    /// The object's UID.
    pub uid: Uuid,
    /// The generation of the spec.
    pub generation: i64,
}

/// What became of a write to the mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorWrite {
    /// The row was made or changed.
    Written,
    /// The row already said so; nothing was written and nobody was notified.
    Unchanged,
}

pub(crate) const COLUMNS: &str = "activity_id, namespace, name, uid, generation, display_name, enabled, \
                       event_type, spec";

impl Store {
    /// Brings the mirror row of a definition to what `row` says. Refuses when the activity id
    /// belongs to another object; a row of an earlier object of the same name gives way.
    pub async fn write_definition(&self, row: &MirrorRow) -> Result<MirrorWrite, Error> {
        bounded("write a definition", async {
            let mut transaction = self
                .pool
                .begin()
                .await
                .map_err(Error::query("begin to write a definition"))?;
            let written = write(&mut transaction, row).await?;
            transaction
                .commit()
                .await
                .map_err(Error::query("commit a definition"))?;
            Ok(written)
        })
        .await
    }

    /// Removes the row of the object `uid`; true when there was one. Nothing is expected of the
    /// activity from then on.
    pub async fn delete_definition(&self, activity: ActivityId, uid: Uuid) -> Result<bool, Error> {
        bounded("delete a definition", async {
            let mut transaction = self
                .pool
                .begin()
                .await
                .map_err(Error::query("begin to delete a definition"))?;
            let generation: Option<i64> = sqlx::query_scalar(
                "delete from activity_definitions where activity_id = $1 and uid = $2
             returning generation",
            )
            .bind(activity.as_uuid())
            .bind(uid)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(Error::query("delete a definition"))?;
            if let Some(generation) = generation {
                crate::period::withdraw(&mut transaction, activity.as_uuid(), generation).await?;
            }
            transaction
                .commit()
                .await
                .map_err(Error::query("commit the end of a definition"))?;
            Ok(generation.is_some())
        })
        .await
    }

    /// The definition of an activity.
    pub async fn definition(&self, activity: ActivityId) -> Result<Option<MirrorRow>, Error> {
        sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from activity_definitions where activity_id = $1"
        )))
        .bind(activity.as_uuid())
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::query("read a definition"))
    }

    /// The definition of an activity, and since when it stands in the mirror as it does.
    pub async fn definition_since(
        &self,
        activity: ActivityId,
    ) -> Result<Option<(MirrorRow, DateTime<Utc>)>, Error> {
        #[derive(FromRow)]
        struct Row {
            #[sqlx(flatten)]
            definition: MirrorRow,
            updated_at: DateTime<Utc>,
        }
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS}, updated_at from activity_definitions where activity_id = $1"
        )))
        .bind(activity.as_uuid())
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::query("read a definition"))?;
        Ok(row.map(|row| (row.definition, row.updated_at)))
    }

    /// The definitions that people call `name`: by object name or display name.
    pub async fn definitions_named(&self, name: &str) -> Result<Vec<MirrorRow>, Error> {
        sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from activity_definitions
             where name = $1 or display_name = $1 order by namespace, name"
        )))
        .bind(name)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("look a definition up by name"))
    }

    /// Every definition, in the order of their ids.
    pub async fn definitions(&self) -> Result<Vec<MirrorRow>, Error> {
        sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from activity_definitions order by activity_id"
        )))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read all definitions"))
    }

    /// Which version of every definition is mirrored.
    pub async fn mirrored_versions(&self) -> Result<Vec<MirroredVersion>, Error> {
        sqlx::query_as("select activity_id, namespace, uid, generation from activity_definitions")
            .fetch_all(&self.pool)
            .await
            .map_err(Error::query("read the versions of all definitions"))
    }

    /// Every definition that waits for events, in the order of their ids.
    pub async fn event_definitions(&self) -> Result<Vec<MirrorRow>, Error> {
        sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from activity_definitions
             where event_type is not null order by activity_id"
        )))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read the event definitions"))
    }
}

/// Writes a row in a transaction of the caller's, which holds the lock on it until its end.
pub(crate) async fn write(
    connection: &mut PgConnection,
    row: &MirrorRow,
) -> Result<MirrorWrite, Error> {
    let present: Option<MirrorRow> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select {COLUMNS} from activity_definitions where activity_id = $1 for update"
    )))
    .bind(row.activity_id)
    .fetch_optional(&mut *connection)
    .await
    .map_err(Error::query("read a definition"))?;
    match present {
        Some(present) if present == *row => return Ok(MirrorWrite::Unchanged),
        Some(present) if present.uid != row.uid => {
            return Err(Error::ActivityIdTaken {
                namespace: present.namespace,
                name: present.name,
            });
        }
        Some(_) | None => {}
    }
    replace_namesake(&mut *connection, row).await?;
    sqlx::query(
        "insert into activity_definitions
           (activity_id, namespace, name, uid, generation, display_name, enabled,
            event_type, spec)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (activity_id) do update set
           namespace = excluded.namespace, name = excluded.name, uid = excluded.uid,
           generation = excluded.generation, display_name = excluded.display_name,
           enabled = excluded.enabled, event_type = excluded.event_type,
           spec = excluded.spec, updated_at = now()",
    )
    .bind(row.activity_id)
    .bind(&row.namespace)
    .bind(&row.name)
    .bind(row.uid)
    .bind(row.generation)
    .bind(&row.display_name)
    .bind(row.enabled)
    .bind(&row.event_type)
    .bind(&row.spec)
    .execute(connection)
    .await
    .map_err(Error::query("write a definition"))?;
    Ok(MirrorWrite::Written)
}

/// Removes the row of an earlier object of the same name, of which nothing is expected any more.
async fn replace_namesake(connection: &mut PgConnection, row: &MirrorRow) -> Result<(), Error> {
    let replaced: Vec<(Uuid, i64)> = sqlx::query_as(
        "delete from activity_definitions
         where namespace = $1 and name = $2 and activity_id <> $3
         returning activity_id, generation",
    )
    .bind(&row.namespace)
    .bind(&row.name)
    .bind(row.activity_id)
    .fetch_all(&mut *connection)
    .await
    .map_err(Error::query("replace a definition of the same name"))?;
    for (activity, generation) in replaced {
        crate::period::withdraw(&mut *connection, activity, generation).await?;
    }
    Ok(())
}
