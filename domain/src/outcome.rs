//! How runs and deliveries end, as the ledger and every view of it name them.

use std::fmt;
use std::str::FromStr;

/// The state of one expected or actual run in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunOutcome {
    /// Started, not yet ended.
    Running,
    /// Every step that was asked for is done.
    Succeeded,
    /// Ended without doing all that was asked for; the row says why.
    Failed,
    /// Not started, because the run before was still going and the overlap policy says Skip.
    SkippedOverlap,
    /// Not started, because a maintenance window was open.
    SkippedMaintenance,
    /// Not started, because the definition was disabled.
    SkippedDisabled,
    /// Expected, past its grace, and nothing shows that it ran.
    Missed,
}

impl RunOutcome {
    /// Every outcome, in the order in which reports list them.
    pub const ALL: [Self; 7] = [
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::SkippedOverlap,
        Self::SkippedMaintenance,
        Self::SkippedDisabled,
        Self::Missed,
    ];

    /// The name in the ledger, in status and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::SkippedOverlap => "SkippedOverlap",
            Self::SkippedMaintenance => "SkippedMaintenance",
            Self::SkippedDisabled => "SkippedDisabled",
            Self::Missed => "Missed",
        }
    }

    /// Whether the run is over, so that the row will not change by itself.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Running)
    }
}

impl fmt::Display for RunOutcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for RunOutcome {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or_else(|| format!("\"{text}\" is no run outcome"))
    }
}

/// The state of one delivery of one run to one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryResult {
    /// Intended or being retried; not known to have arrived.
    Pending,
    /// Arrived by this delivery.
    Delivered,
    /// Had arrived already: the sink was asked first and knew the run.
    Exists,
    /// The contract was checked without creating anything.
    DryRun,
    /// Given up; the row holds the last error.
    Failed,
}

impl DeliveryResult {
    /// Every result.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Delivered,
        Self::Exists,
        Self::DryRun,
        Self::Failed,
    ];

    /// The name in the ledger, in metrics and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Delivered => "Delivered",
            Self::Exists => "Exists",
            Self::DryRun => "DryRun",
            Self::Failed => "Failed",
        }
    }

    /// Whether the run is known to be at the sink.
    pub const fn is_present(self) -> bool {
        matches!(self, Self::Delivered | Self::Exists)
    }
}

impl fmt::Display for DeliveryResult {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for DeliveryResult {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|result| result.as_str() == text)
            .ok_or_else(|| format!("\"{text}\" is no delivery result"))
    }
}
