//! Whether the mirror has changed, without reading it.

use crate::{Error, Store};

/// Which state of the mirror was read. Two equal versions are the same state of everything that
/// routing reads: the definitions that wait for events, and the event types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorVersion(String);

impl Store {
    /// The version of the mirror as it stands now.
    ///
    /// Every committed change gives a row another `xmin`, adds a row or takes one away; a time
    /// stamp would not do, because transactions need not commit in the order in which they began.
    /// The sums do not depend on the order of the rows, so nothing is sorted.
    pub async fn mirror_version(&self) -> Result<MirrorVersion, Error> {
        sqlx::query_scalar(
            "select concat_ws('/',
               (select count(*) from activity_definitions where event_type is not null),
               (select sum(hashtextextended(activity_id::text || ' ' || xmin::text, 0))
                from activity_definitions where event_type is not null),
               (select count(*) from event_types),
               (select sum(hashtextextended(
                         namespace || ' ' || name || ' ' || xmin::text, 0))
                from event_types))",
        )
        .fetch_one(&self.pool)
        .await
        .map(MirrorVersion)
        .map_err(Error::query("read the version of the mirror"))
    }
}
