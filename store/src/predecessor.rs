//! The definitions of the predecessor, in its own data base: the same system in Python, whose table
//! is read as it is. It is only read, and what its columns mean is for the caller to judge.

use serde_json::Value;

use crate::{Error, Store};

impl Store {
    /// Every row of the predecessor's table `activity_definitions` as a JSON object, whatever
    /// columns it has, in the order of names.
    pub async fn predecessor_definitions(&self) -> Result<Vec<Value>, Error> {
        sqlx::query_scalar(
            "select to_jsonb(definition) from activity_definitions definition
             order by (to_jsonb(definition) ->> 'name') collate \"C\",
                      to_jsonb(definition) ->> 'id'",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read the predecessor's activity_definitions"))
    }
}
