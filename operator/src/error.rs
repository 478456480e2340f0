//! What can go wrong in a reconcile, and what it leads to.

/// A failed step of a reconcile. Bad specs are no errors: they end in the status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or could not be reached.
    #[error("failed to {operation} of {object}")]
    Kubernetes {
        /// What was to be done.
        operation: &'static str,
        /// The object, as namespace/name.
        object: String,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// The Schedule could not be removed.
    #[error(
        "unable to delete the Schedule of {object}; annotate it with \
         activity-core.io/abandon-schedule=true if Temporal is gone for good"
    )]
    DeleteSchedule {
        /// The object, as namespace/name.
        object: String,
        /// Why it failed.
        #[source]
        source: temporal::Error,
    },
    /// The mirror row could not be removed.
    #[error("unable to delete the mirror row of {object}")]
    DeleteMirror {
        /// The object, as namespace/name.
        object: String,
        /// Why it failed.
        #[source]
        source: store::Error,
    },
    /// The run that the annotation asks for could not be started.
    #[error("unable to start the run that the annotation of {object} asks for")]
    StartRun {
        /// The object, as namespace/name.
        object: String,
        /// Why it failed.
        #[source]
        source: temporal::Error,
    },
    /// The whole took too long: something was asked that does not answer.
    #[error("the reconcile was given up after {seconds} s")]
    Deadline {
        /// How long it was given.
        seconds: u64,
    },
    /// This replica must not write any more.
    #[error("this replica is not the leader any more")]
    LeadershipLost,
    /// The finalizer could not be put on or taken off, or what it guards failed.
    #[error("failed to keep the finalizer")]
    Finalizer(#[source] Box<kube::runtime::finalizer::Error<Error>>),
}

impl Error {
    /// The label of the metric.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Kubernetes { .. } => "kubernetes",
            Self::DeleteSchedule { .. } => "delete_schedule",
            Self::DeleteMirror { .. } => "delete_mirror",
            Self::StartRun { .. } => "start_run",
            Self::Deadline { .. } => "deadline",
            Self::LeadershipLost => "leadership_lost",
            Self::Finalizer(_) => "finalizer",
        }
    }

    /// Names the operation and the object that a Kubernetes call was about.
    pub(crate) fn kubernetes(
        operation: &'static str,
        object: &str,
    ) -> impl FnOnce(kube::Error) -> Self + use<> {
        let object = object.to_owned();
        move |source| Self::Kubernetes {
            operation,
            object,
            source: Box::new(source),
        }
    }
}
