//! Whether the mirror has changed, without reading it.

use crate::{Error, Store};

/// Which state of the mirror was read. Two equal versions are the same state of everything that
/// routing reads: the definitions that wait for events, and the event types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorVersion(String);

impl Store {
    /// The version of the mirror as it stands now. It costs the same however large the mirror is.
    ///
    /// Triggers count each change in the transaction that makes it. Counters can come to the same
    /// state twice where an old backup took the data's place, so the server's start and the
    /// table's identity are part of the version.
    pub async fn mirror_version(&self) -> Result<MirrorVersion, Error> {
        sqlx::query_scalar(
            "select concat_ws('/', pg_postmaster_start_time(), 'mirror_versions'::regclass::oid,
                              string_agg(changes::text, ' ' order by shard))
             from mirror_versions",
        )
        .fetch_one(&self.pool)
        .await
        .map(MirrorVersion)
        .map_err(Error::query("read the version of the mirror"))
    }
}
