//! Progress notes that are owed: a maintenance window left runs out, and the note is left once the
//! Schedule has proven itself healthy again. Leaving it is the business of the audit.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::audit::WindowCause;
use domain::{ActivityId, RunId};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::Entry;
use crate::{Error, Store};

/// A progress note that is owed: a maintenance window left runs out, and by now one has succeeded.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct OwedNote {
    /// The activity.
    pub activity_id: Uuid,
    /// Its name.
    pub display_name: String,
    /// The window's UID.
    pub window_uid: Uuid,
    /// The window's name.
    pub window_name: String,
    /// Why it was declared.
    pub window_reason: String,
    /// Who approved it.
    pub window_approved_by: String,
    /// The first run that was left out.
    pub first_run_id: Uuid,
    /// Its time.
    pub first_skipped: DateTime<Utc>,
    /// The time of the last run that was left out.
    pub last_skipped: DateTime<Utc>,
    /// How many were.
    pub skipped: i64,
    /// The run that shows that the schedule is healthy again.
    pub healthy_run_id: Uuid,
    /// Its time.
    pub healthy_at: DateTime<Utc>,
}

impl Store {
    /// The progress notes that are owed and can be left: a later run of the Schedule succeeded.
    pub async fn owed_notes(&self) -> Result<Vec<OwedNote>, Error> {
        sqlx::query_as(
            "select note.activity_id, display_name, window_uid, window_name, window_reason,
                    window_approved_by, first_run_id, first_skipped, last_skipped, skipped,
                    healthy.run_id as healthy_run_id, healthy.scheduled_for as healthy_at
             from maintenance_notes note
             join audited_activities using (activity_id), lateral (
               select run_id, scheduled_for from activity_runs
               where activity_id = note.activity_id and scheduled_for > last_skipped
                 and trigger_kind = 'schedule' and outcome = 'Succeeded'
               order by scheduled_for limit 1) healthy
             where left_at is null",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("look for owed progress notes"))
    }

    /// Writes down that a note was left.
    pub async fn note_left(&self, note: &OwedNote, now: DateTime<Utc>) -> Result<(), Error> {
        sqlx::query(
            "update maintenance_notes set left_at = $4
             where activity_id = $1 and window_uid = $2 and first_skipped = $3",
        )
        .bind(note.activity_id)
        .bind(note.window_uid)
        .bind(note.first_skipped)
        .bind(now)
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(Error::query("note a progress note"))
    }
}

/// Owes a note for each window that left out any of the runs that were entered.
pub(super) async fn owe_notes(
    connection: &mut PgConnection,
    entries: &[Entry],
    entered: &[RunId],
) -> Result<(), Error> {
    let entered: HashSet<&RunId> = entered.iter().collect();
    // One note for each definition and window, whatever number of runs it left out.
    let mut notes: HashMap<(ActivityId, Uuid), Skipped<'_>> = HashMap::new();
    for entry in entries {
        let Some(window) = &entry.finding.window else {
            continue;
        };
        let run = entry.run_id();
        if !entered.contains(&run) {
            continue;
        }
        notes
            .entry((entry.activity, window.uid))
            .and_modify(|skipped| skipped.add(entry.time))
            .or_insert(Skipped {
                run,
                window,
                first: entry.time,
                last: entry.time,
                count: 1,
            });
    }
    if notes.is_empty() {
        return Ok(());
    }
    let text = |of: fn(&WindowCause) -> &String| {
        let windows = notes.values().map(|skipped| of(skipped.window).clone());
        windows.collect::<Vec<String>>()
    };
    sqlx::query(
        "insert into maintenance_notes as owed
           (activity_id, window_uid, first_run_id, window_name, window_reason,
            window_approved_by, first_skipped, last_skipped, skipped)
         select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[],
                              $6::text[], $7::timestamptz[], $8::timestamptz[], $9::bigint[])
         on conflict (activity_id, window_uid) where left_at is null do update set
           last_skipped = greatest(owed.last_skipped, excluded.last_skipped),
           skipped = owed.skipped + excluded.skipped",
    )
    .bind(
        notes
            .keys()
            .map(|(activity, _)| activity.as_uuid())
            .collect::<Vec<_>>(),
    )
    .bind(notes.keys().map(|(_, window)| *window).collect::<Vec<_>>())
    .bind(
        notes
            .values()
            .map(|skipped| skipped.run.as_uuid())
            .collect::<Vec<_>>(),
    )
    .bind(text(|window| &window.name))
    .bind(text(|window| &window.reason))
    .bind(text(|window| &window.approved_by))
    .bind(
        notes
            .values()
            .map(|skipped| skipped.first)
            .collect::<Vec<_>>(),
    )
    .bind(
        notes
            .values()
            .map(|skipped| skipped.last)
            .collect::<Vec<_>>(),
    )
    .bind(
        notes
            .values()
            .map(|skipped| skipped.count)
            .collect::<Vec<_>>(),
    )
    .execute(connection)
    .await
    .map(|_| ())
    .map_err(Error::query("owe a progress note"))
}

/// The runs of one definition that one window left out, in order of time.
struct Skipped<'entry> {
    run: RunId,
    window: &'entry WindowCause,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    count: i64,
}

impl Skipped<'_> {
    fn add(&mut self, time: DateTime<Utc>) {
        self.last = time.max(self.last);
        self.count += 1;
    }
}
