//! What can go wrong with Temporal.

use temporalio_client::tonic::{Code, Status};

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused or could not be reached.
    #[error("failed to {operation} in Temporal: {}", .status.message())]
    Call {
        /// What was to be done.
        operation: &'static str,
        /// The server's answer.
        status: Box<Status>,
    },
    /// The server's answer lacks something that it always has.
    #[error("Temporal's answer to {operation} has no {missing}")]
    Malformed {
        /// What was to be done.
        operation: &'static str,
        /// What is missing.
        missing: &'static str,
    },
    /// A search attribute exists with another type, and can't be used.
    #[error(
        "the search attribute {name} exists as {found}, it must be Keyword; remove it or use \
         another Temporal namespace"
    )]
    SearchAttributeType {
        /// Its name.
        name: &'static str,
        /// The type that it has.
        found: String,
    },
}

impl Error {
    pub(crate) const fn call(operation: &'static str) -> impl Fn(Status) -> Self {
        move |status| Self::Call {
            operation,
            status: Box::new(status),
        }
    }

    /// Whether the server says that the thing does not exist. That the Temporal namespace is not there
    /// says nothing about what may be in it, and is another error.
    pub fn is_not_found(&self) -> bool {
        self.has_code(Code::NotFound) && !self.is_about_namespace()
    }

    /// Whether the server says that the thing exists already.
    pub fn is_already_exists(&self) -> bool {
        self.has_code(Code::AlreadyExists)
    }

    /// Whether it is the Temporal namespace that the server does not find.
    fn is_about_namespace(&self) -> bool {
        // The name of the protobuf message among the answer's details.
        const NAMESPACE_NOT_FOUND: &[u8] = b"errordetails.v1.NamespaceNotFoundFailure";
        matches!(self, Self::Call { status, .. }
            if status
                .details()
                .windows(NAMESPACE_NOT_FOUND.len())
                .any(|name| name == NAMESPACE_NOT_FOUND))
    }

    /// Whether the Temporal namespace has lost our search attributes, as an emptied one has.
    pub fn is_missing_search_attribute(&self) -> bool {
        matches!(self, Self::Call { status, .. }
            if status.code() == Code::InvalidArgument
                && status.message().contains("no mapping defined for search attribute"))
    }

    /// Whether trying the same again is of no use: the request itself is wrong.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Call { .. } if self.is_missing_search_attribute() => false,
            Self::Call { status, .. } => {
                matches!(
                    status.code(),
                    Code::InvalidArgument | Code::PermissionDenied
                )
            }
            Self::Malformed { .. } => false,
            Self::SearchAttributeType { .. } => true,
        }
    }

    fn has_code(&self, code: Code) -> bool {
        matches!(self, Self::Call { status, .. } if status.code() == code)
    }
}
