//! What people say about a report: material for the next tuning, never a reason to page anybody.

use std::fmt;
use std::str::FromStr;

/// What is wrong with a report that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedbackKind {
    /// It recommends what nobody needs to do.
    Noisy,
    /// It says too much.
    TooLong,
    /// It leaves out what should have been told.
    UnderSensitive,
    /// Something else; the comment says what.
    Other,
}

impl FeedbackKind {
    /// Every kind, in the order in which they are offered.
    pub const ALL: [Self; 4] = [
        Self::Noisy,
        Self::TooLong,
        Self::UnderSensitive,
        Self::Other,
    ];

    /// The name in the ledger and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Noisy => "Noisy",
            Self::TooLong => "TooLong",
            Self::UnderSensitive => "UnderSensitive",
            Self::Other => "Other",
        }
    }

    /// The same in a sentence: "the report was …".
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Noisy => "noisy",
            Self::TooLong => "too long",
            Self::UnderSensitive => "under-sensitive",
            Self::Other => "commented on",
        }
    }
}

impl fmt::Display for FeedbackKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for FeedbackKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("\"{text}\" is no kind of feedback"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_read_back_from_its_name() {
        for kind in FeedbackKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("noisy".parse::<FeedbackKind>().is_err());
    }
}
