//! Feedback on runs, and the progress notes in State Hub that it becomes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{ActivityId, FeedbackKind, RunId};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{Error, Store};

/// Feedback that somebody gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFeedback {
    /// Its identity: the same twice is one feedback.
    pub id: Uuid,
    /// The run that it is about.
    pub run: RunId,
    /// What is wrong with the report.
    pub kind: FeedbackKind,
    /// The same in the author's words; 4000 characters at most.
    pub comment: Option<String>,
    /// Who says so.
    pub author: Option<String>,
}

/// Feedback in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// Its identity.
    pub id: Uuid,
    /// The run that it is about.
    pub run: RunId,
    /// The run's activity.
    pub activity: ActivityId,
    /// The activity's name when it ran.
    pub activity_name: String,
    /// What is wrong with the report.
    pub kind: FeedbackKind,
    /// The same in the author's words.
    pub comment: Option<String>,
    /// Who says so.
    pub author: Option<String>,
    /// When it was given.
    pub created_at: DateTime<Utc>,
    /// When State Hub had it.
    pub note_sent_at: Option<DateTime<Utc>>,
    /// Why the last try to send it failed.
    pub note_error: Option<String>,
}

/// What became of feedback that was to be entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entered {
    /// It is new.
    New(Feedback),
    /// There was one of this identity already; this is it.
    Before(Feedback),
}

#[derive(FromRow)]
struct Row {
    feedback_id: Uuid,
    run_id: Uuid,
    activity_id: Uuid,
    activity_name: String,
    kind: String,
    comment: Option<String>,
    author: Option<String>,
    created_at: DateTime<Utc>,
    note_sent_at: Option<DateTime<Utc>>,
    note_error: Option<String>,
}

impl TryFrom<Row> for Feedback {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.feedback_id,
            run: RunId::new(row.run_id),
            activity: ActivityId::new(row.activity_id),
            activity_name: row.activity_name,
            kind: row.kind.parse().map_err(|problem| Error::Unreadable {
                table: "run_feedback",
                problem,
            })?,
            comment: row.comment,
            author: row.author,
            created_at: row.created_at,
            note_sent_at: row.note_sent_at,
            note_error: row.note_error,
        })
    }
}

const COLUMNS: &str = "run_feedback.feedback_id, run_feedback.run_id, activity_id, activity_name, \
                       kind, comment, author, run_feedback.created_at, note_sent_at, note_error";

impl Store {
    /// Enters feedback on a run that the ledger has, unless it is there already.
    pub async fn enter_feedback(&self, new: &NewFeedback) -> Result<Entered, Error> {
        let is_new = sqlx::query(
            "insert into run_feedback (feedback_id, run_id, kind, comment, author)
             values ($1, $2, $3, $4, $5) on conflict (feedback_id) do nothing",
        )
        .bind(new.id)
        .bind(new.run.as_uuid())
        .bind(new.kind.as_str())
        .bind(&new.comment)
        .bind(&new.author)
        .execute(&self.pool)
        .await
        .map_err(Error::query("enter feedback"))?
        .rows_affected()
            > 0;
        let row: Row = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from run_feedback join activity_runs using (run_id)
             where feedback_id = $1"
        )))
        .bind(new.id)
        .fetch_one(&self.pool)
        .await
        .map_err(Error::query("read feedback"))?;
        let feedback = Feedback::try_from(row)?;
        Ok(if is_new {
            Entered::New(feedback)
        } else {
            Entered::Before(feedback)
        })
    }

    /// The feedback on a run, the oldest first; at most 1,000.
    pub async fn feedback(&self, run: RunId) -> Result<Vec<Feedback>, Error> {
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from run_feedback join activity_runs using (run_id)
             where run_id = $1 order by run_feedback.created_at, run_feedback.feedback_id
             limit 1000"
        )))
        .bind(run.as_uuid())
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("read the feedback on a run"))?;
        rows.into_iter().map(Feedback::try_from).collect()
    }

    /// Takes up to `limit` feedbacks whose note is due. Each is the caller's for a while: it is due
    /// again after `first_delay`, doubled with every try up to `longest_delay`, unless
    /// [`Self::note_sent`] says before then that it has arrived.
    pub async fn take_due_notes(
        &self,
        limit: u16,
        first_delay: Duration,
        longest_delay: Duration,
    ) -> Result<Vec<Feedback>, Error> {
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "with due as (
               select feedback_id from run_feedback
               where note_sent_at is null and note_due_at <= now()
               order by note_due_at limit $1 for update skip locked)
             update run_feedback set
               note_attempts = note_attempts + 1,
               note_due_at = now() + least(
                 make_interval(secs => $2 * power(2, least(note_attempts, 30))),
                 make_interval(secs => $3))
             from due, activity_runs
             where run_feedback.feedback_id = due.feedback_id
               and activity_runs.run_id = run_feedback.run_id
             returning {COLUMNS}"
        )))
        .bind(i64::from(limit))
        .bind(first_delay.as_secs_f64())
        .bind(longest_delay.as_secs_f64())
        .fetch_all(&self.pool)
        .await
        .map_err(Error::query("take the notes that are due"))?;
        rows.into_iter().map(Feedback::try_from).collect()
    }

    /// Writes down that State Hub has the note, and its id there.
    pub async fn note_sent(&self, feedback: Uuid, reference: Option<&str>) -> Result<(), Error> {
        sqlx::query(
            "update run_feedback set note_sent_at = now(), note_reference = $2, note_error = null
             where feedback_id = $1 and note_sent_at is null",
        )
        .bind(feedback)
        .bind(reference)
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(Error::query("enter that a note was sent"))
    }

    /// Writes down why a note did not arrive; it stays due.
    pub async fn note_failed(&self, feedback: Uuid, problem: &str) -> Result<(), Error> {
        sqlx::query(
            "update run_feedback set note_error = $2
             where feedback_id = $1 and note_sent_at is null",
        )
        .bind(feedback)
        .bind(problem)
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(Error::query("enter that a note failed"))
    }
}
