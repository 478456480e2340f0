//! Deliveries to sinks: the intent before the effect, and what became of it.

use chrono::{DateTime, Utc};
use domain::{DeliveryResult, RunId};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{Error, Store};

/// How one try of a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryEnd {
    /// The result.
    pub result: DeliveryResult,
    /// The sink's own name for what was delivered.
    pub external_reference: Option<String>,
    /// Why it did not arrive.
    pub error: Option<String>,
}

/// One delivery in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The run.
    pub run_id: RunId,
    /// The sink's name in the definition.
    pub sink: String,
    /// What kind of sink it is.
    pub kind: String,
    /// How it stands.
    pub result: DeliveryResult,
    /// How often it was tried.
    pub attempts: i32,
    /// The sink's own name for what was delivered.
    pub external_reference: Option<String>,
    /// The last error.
    pub last_error: Option<String>,
    /// When the row last changed.
    pub updated_at: DateTime<Utc>,
}

#[derive(FromRow)]
struct Row {
    run_id: Uuid,
    sink: String,
    kind: String,
    result: String,
    attempts: i32,
    external_reference: Option<String>,
    last_error: Option<String>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for Delivery {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            run_id: RunId::new(row.run_id),
            sink: row.sink,
            kind: row.kind,
            result: row.result.parse().map_err(|problem| Error::Unreadable {
                table: "sink_deliveries",
                problem,
            })?,
            attempts: row.attempts,
            external_reference: row.external_reference,
            last_error: row.last_error,
            updated_at: row.updated_at,
        })
    }
}

impl Store {
    /// Writes down that a delivery is about to be tried, and counts the try. A delivery that is
    /// known to have arrived keeps its result.
    pub async fn begin_delivery(&self, run: RunId, sink: &str, kind: &str) -> Result<(), Error> {
        sqlx::query(
            "insert into sink_deliveries (run_id, sink, kind, result, attempts)
             values ($1, $2, $3, 'Pending', 1)
             on conflict (run_id, sink) do update set
               attempts = sink_deliveries.attempts + 1,
               result = case when sink_deliveries.result in ('Delivered', 'Exists')
                             then sink_deliveries.result else 'Pending' end,
               updated_at = now()",
        )
        .bind(run.as_uuid())
        .bind(sink)
        .bind(kind)
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(Error::query("enter a delivery"))
    }

    /// Writes down how a try of a delivery ended. What has arrived stays arrived: a later look
    /// that finds it there does not turn Delivered into Exists, nor an error into Failed.
    pub async fn end_delivery(
        &self,
        run: RunId,
        sink: &str,
        end: &DeliveryEnd,
    ) -> Result<(), Error> {
        sqlx::query(
            "update sink_deliveries set result = $3,
               external_reference = coalesce($4, external_reference), last_error = $5,
               updated_at = now()
             where run_id = $1 and sink = $2 and result not in ('Delivered', 'Exists')",
        )
        .bind(run.as_uuid())
        .bind(sink)
        .bind(end.result.as_str())
        .bind(&end.external_reference)
        .bind(&end.error)
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(Error::query("enter a delivery's result"))
    }

    /// The deliveries of a run, in the order of the sinks' names.
    pub async fn deliveries(&self, run: RunId) -> Result<Vec<Delivery>, Error> {
        let rows: Vec<Row> = sqlx::query_as(
            "select run_id, sink, kind, result, attempts, external_reference, last_error,
                    updated_at
             from sink_deliveries where run_id = $1 order by sink",
        )
        .bind(run.as_uuid())
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read a run's deliveries"))?;
        rows.into_iter().map(Delivery::try_from).collect()
    }
}
