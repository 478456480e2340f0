//! How a command ends: the exit codes, and errors that choose one.

use std::process::ExitCode;

/// How a command ends. The numbers are documented in `actcore --help` and do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done; for `verify`, every condition agrees that the run happened.
    Done,
    /// 1: it was looked at, and it is not as it should be.
    Failed,
    /// 2: a system could not be looked at or reached, so nobody knows.
    Unknown,
    /// 3: the command line is wrong, or what it names does not exist or is not unique.
    Usage,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Unknown => 2,
            Self::Usage => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that knows how the command ends. Every other error is [`Exit::Failed`].
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    pub(crate) exit: Exit,
    message: String,
}

impl Problem {
    /// Something was looked at and is wrong.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            message: message.into(),
        }
    }

    /// A system could not be reached.
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Unknown,
            message: message.into(),
        }
    }

    /// What was named does not exist, is not unique, or makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
        }
    }
}
