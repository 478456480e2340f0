//! The conditions of an ActivityDefinition and their constant reasons.
//!
//! `Ready`, `Reconciling` and `Stalled` follow kstatus: Reconciling is true while the operator
//! works on it, Stalled when nothing will move without a change by somebody, both false when
//! everything is as declared. An Event with the same reason goes with each change.

/// The types of conditions.
pub mod types {
    /// The definition is in force: Schedule and mirror are as the spec says.
    pub const READY: &str = "Ready";
    /// The operator is working towards the spec.
    pub const RECONCILING: &str = "Reconciling";
    /// The operator will get no further without a change of the spec.
    pub const STALLED: &str = "Stalled";
    /// Temporal's Schedule is as the spec says.
    pub const SCHEDULE_SYNCED: &str = "ScheduleSynced";
    /// The Postgres mirror is as the spec says.
    pub const MIRROR_SYNCED: &str = "MirrorSynced";
    /// The last expected run is proven to have happened.
    pub const RUN_VERIFIED: &str = "RunVerified";
}

/// The reasons, each with what it means.
pub mod reasons {
    /// Everything is as the spec says.
    pub const SYNCED: &str = "Synced";
    /// The definition is disabled, and its Schedule is paused accordingly.
    pub const SUSPENDED: &str = "Suspended";
    /// The operator is working on it.
    pub const PROGRESSING: &str = "Progressing";
    /// The spec can't be carried out; the message names the field.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Another definition has the same activity id; the message names it.
    pub const ACTIVITY_ID_CONFLICT: &str = "ActivityIdConflict";
    /// Temporal could not be reached or refused; it is tried again.
    pub const TEMPORAL_UNAVAILABLE: &str = "TemporalUnavailable";
    /// Postgres could not be reached or refused; it is tried again.
    pub const POSTGRES_UNAVAILABLE: &str = "PostgresUnavailable";
    /// The definition has no cron trigger, so there is no Schedule.
    pub const NO_SCHEDULE: &str = "NoSchedule";
    /// Somebody paused the Schedule in Temporal, and the policy is to report it.
    pub const PAUSED_EXTERNALLY: &str = "PausedExternally";
    /// The object is being deleted.
    pub const DELETING: &str = "Deleting";
    /// The last run succeeded, and the ledger proves it.
    pub const RUN_SUCCEEDED: &str = "RunSucceeded";
    /// The last run failed.
    pub const RUN_FAILED: &str = "RunFailed";
    /// A run is going on.
    pub const RUN_IN_PROGRESS: &str = "RunInProgress";
    /// An expected run is missing past its grace.
    pub const RUN_MISSED: &str = "RunMissed";
    /// An expected run is past its grace, and the audit could not decide on it yet.
    pub const RUN_UNDECIDED: &str = "RunUndecided";
    /// The run that an annotation asks for could not be started yet (an Event only).
    pub const RUN_NOT_STARTED: &str = "RunNotStarted";
    /// A run ended in Temporal without entering its end; the audit closed its row (an Event only).
    pub const RUN_CLOSED: &str = "RunClosed";
    /// A Schedule and a mirror row that no definition declares were deleted (an Event only).
    pub const ORPHAN_SWEPT: &str = "OrphanSwept";
    /// Nothing was expected yet.
    pub const NO_RUN_EXPECTED: &str = "NoRunExpected";
}
