//! A definition after validation: what every program works with.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{
    ActivityId, CelCondition, CronSchedule, Filters, InvalidCondition, InvalidFilter,
    InvalidPrompt, InvalidSchedule, OutputSchema, PromptTemplate,
};

/// Why a definition is refused. The text names the field and what would be right.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidDefinition {
    /// The cron trigger.
    #[error(transparent)]
    Schedule(#[from] InvalidSchedule),
    /// The event filters.
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    /// The event condition.
    #[error(transparent)]
    Condition(#[from] InvalidCondition),
    /// The instruction.
    #[error(transparent)]
    Prompt(#[from] InvalidPrompt),
    /// The steps together take longer than one run may.
    #[error(transparent)]
    TimeBudget(#[from] TimeBudgetExceeded),
    /// Anything else about one field.
    #[error("{field}: {problem}")]
    Field {
        /// The field's path below `spec`.
        field: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// Who is paged when a run is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Somebody is woken up.
    Critical,
    /// Somebody looks in working hours.
    Standard,
}

impl Tier {
    /// The name in specs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "Critical",
            Self::Standard => "Standard",
        }
    }
}

/// What happens when a scheduled time comes while the run before is still going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OverlapPolicy {
    /// The new run is left out.
    Skip,
    /// One new run waits for the end of the present one.
    BufferOne,
    /// Every new run waits.
    BufferAll,
    /// The present run is asked to cancel, then the new one starts.
    CancelOther,
    /// The present run is ended at once, then the new one starts.
    TerminateOther,
    /// Both go on side by side.
    AllowAll,
}

impl OverlapPolicy {
    /// Every policy.
    pub const ALL: [Self; 6] = [
        Self::Skip,
        Self::BufferOne,
        Self::BufferAll,
        Self::CancelOther,
        Self::TerminateOther,
        Self::AllowAll,
    ];

    /// The name in specs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "Skip",
            Self::BufferOne => "BufferOne",
            Self::BufferAll => "BufferAll",
            Self::CancelOther => "CancelOther",
            Self::TerminateOther => "TerminateOther",
            Self::AllowAll => "AllowAll",
        }
    }
}

/// What becomes of times that passed while Temporal could not fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// They are left out; the next time is the next authoritative run.
    Skip,
    /// They are made up for if they are younger than the window.
    Within(Duration),
}

impl CatchUp {
    /// The shortest window that Temporal accepts.
    pub const MINIMUM_WINDOW: Duration = Duration::from_secs(10);

    /// The window of `Skip`. A start that is late by a moment is still that start: Temporal begins
    /// 30 scheduled runs a second in a namespace, so where a thousand are due at once the last is
    /// half a minute late. With a narrower window it would never run. A minute is also from when
    /// on Quartz takes a fire for missed (`misfireThreshold`).
    pub const SKIP_WINDOW: Duration = Duration::from_mins(1);

    /// The window to set on the Schedule. Never left to Temporal's default of one year.
    pub fn window(self) -> Duration {
        match self {
            Self::Skip => Self::SKIP_WINDOW,
            Self::Within(window) => window.max(Self::MINIMUM_WINDOW),
        }
    }
}

/// What starts an activity.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one per definition, and most definitions have the large one"
)]
pub enum Trigger {
    /// The clock.
    Cron(CronTrigger),
    /// Events of one type.
    Event(EventTrigger),
    /// Nothing but a request.
    Manual,
}

/// A start by the clock.
#[derive(Debug, Clone, PartialEq)]
pub struct CronTrigger {
    /// The expected times.
    pub schedule: CronSchedule,
    /// What becomes of missed times.
    pub catch_up: CatchUp,
    /// What happens on overlap.
    pub overlap: OverlapPolicy,
    /// The most by which a start is put off at random.
    pub jitter: Duration,
}

/// A start by events.
#[derive(Debug, Clone, PartialEq)]
pub struct EventTrigger {
    /// The type that is subscribed to.
    pub event_type: String,
    /// What the payload must contain.
    pub filters: Filters,
    /// What must hold besides.
    pub condition: Option<CelCondition>,
    /// In which order the runs of several events start.
    pub ordering: EventOrdering,
}

/// In which order the runs of several events start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventOrdering {
    /// In any: an event whose start fails holds up no other.
    None,
    /// For events of one subject, in the order in which the stream took them in.
    BySubject,
}

/// A named input to the prompt, fetched before it is rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextSource {
    /// The name under `context` in the prompt.
    pub name: String,
    /// Where it comes from.
    pub kind: ContextKind,
}

/// Where a context source comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextKind {
    /// State Hub's latest progress entries.
    StateHub(StateHubQuery),
    /// The JSON or text at a URL.
    Http {
        /// The URL; its host must be allowed by the worker's egress list.
        url: String,
        /// What is sent along.
        headers: Vec<HttpHeader>,
    },
    /// The report of the last run that succeeded.
    PreviousReport,
}

/// One header of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpHeader {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub value: HeaderSource,
}

/// Where a header's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderSource {
    /// The definition itself; it is no secret.
    Plain(String),
    /// A secret that the worker has been given.
    Secret(SecretReference),
}

/// One value of a Secret that is mounted into the worker. Never the value itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretReference {
    /// The Secret's name.
    pub name: String,
    /// The key in it.
    pub key: String,
}

impl SecretReference {
    /// Whether both parts are single file names: letters, digits, dots, dashes and underscores,
    /// not beginning with a dot.
    pub fn is_well_formed(&self) -> bool {
        [&self.name, &self.key].into_iter().all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
        })
    }
}

impl std::fmt::Display for SecretReference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.name, self.key)
    }
}

/// A question to State Hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateHubQuery {
    /// Only entries of this type; all when `None`.
    pub event_type: Option<String>,
    /// At most so many entries.
    pub limit: u32,
}

/// What a language model is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Instruction {
    /// The model's name at the endpoint.
    pub model: String,
    /// The question.
    pub prompt: PromptTemplate,
    /// The most tokens that an answer may take.
    pub maximum_tokens: u32,
    /// How long one try may take.
    pub timeout: Duration,
    /// The shape of the answer.
    pub output_schema: Option<OutputSchema>,
}

/// Where a report goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSink {
    /// The name in the ledger, unique in the definition.
    pub name: String,
    /// What kind of place it is.
    pub kind: ReportSinkKind,
    /// How long one try may take.
    pub timeout: Duration,
}

/// The kinds of places that a report can go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportSinkKind {
    /// A progress entry in State Hub.
    StateHub {
        /// The entry's `event_type`.
        event_type: String,
    },
    /// A Markdown file `<prefix>-YYYY-MM-DD-<run>.md`.
    WorkingMemory {
        /// The file name's beginning.
        prefix: String,
    },
    /// A CloudEvent by HTTP POST.
    Webhook {
        /// The URL; its host must be allowed by the worker's egress list.
        url: String,
        /// The secret that its requests are signed with; unsigned when `None`.
        signing_secret: Option<SecretReference>,
    },
}

impl ReportSinkKind {
    /// The name in metrics and in the ledger.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::StateHub { .. } => "stateHub",
            Self::WorkingMemory { .. } => "workingMemory",
            Self::Webhook { .. } => "webhook",
        }
    }
}

/// Where tasks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskSink {
    /// Nowhere.
    Null,
    /// To issue-core.
    IssueCore {
        /// Check the contract without creating anything.
        dry_run: bool,
    },
}

/// Whose word counts when somebody pauses a Schedule in Temporal by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExternalPausePolicy {
    /// The pause stays and is reported.
    Report,
    /// The pause is undone.
    Repair,
}

/// The steps of one run take longer than it may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the timeouts add up to {sum_seconds} s ({arithmetic}), more than the {limit_seconds} s of \
     ACTIVITY_TIMEOUT_SECONDS; shorten instruction.timeoutSeconds or a report's timeoutSeconds"
)]
pub struct TimeBudgetExceeded {
    sum_seconds: u64,
    arithmetic: String,
    limit_seconds: u64,
}

/// How long the steps of one run may take together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeBudget {
    /// Each step's name and time.
    pub steps: BTreeMap<String, Duration>,
}

impl TimeBudget {
    /// The sum over all steps.
    pub fn total(&self) -> Duration {
        self.steps.values().sum()
    }

    /// Holds the sum against the limit (`ACTIVITY_TIMEOUT_SECONDS`).
    pub fn check(&self, limit: Duration) -> Result<(), TimeBudgetExceeded> {
        if self.total() <= limit {
            return Ok(());
        }
        Err(TimeBudgetExceeded {
            sum_seconds: self.total().as_secs(),
            arithmetic: self.to_string(),
            limit_seconds: limit.as_secs(),
        })
    }
}

impl std::fmt::Display for TimeBudget {
    /// The arithmetic: `instruction 300 + reports[hub] 30`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let terms: Vec<String> = self
            .steps
            .iter()
            .map(|(name, time)| format!("{name} {}", time.as_secs()))
            .collect();
        formatter.write_str(&terms.join(" + "))
    }
}

/// A validated definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// The activity's identity.
    pub id: ActivityId,
    /// The name that people use: `spec.displayName`, or the object's name.
    pub name: String,
    /// Whether runs are started.
    pub enabled: bool,
    /// Who is paged.
    pub tier: Tier,
    /// What starts a run.
    pub trigger: Trigger,
    /// The inputs of the prompt.
    pub context: Vec<ContextSource>,
    /// What a language model is asked, if anything.
    pub instruction: Option<Instruction>,
    /// Where reports go.
    pub reports: Vec<ReportSink>,
    /// Where tasks go.
    pub tasks: TaskSink,
    /// The retry window after which a missing run counts as missed.
    pub grace: Duration,
    /// Whose word counts on a pause by hand.
    pub external_pause: ExternalPausePolicy,
}

impl Definition {
    /// The time that each step of a run may take.
    pub fn time_budget(&self) -> TimeBudget {
        let instruction = self
            .instruction
            .iter()
            .map(|instruction| ("instruction".to_owned(), instruction.timeout));
        let reports = self
            .reports
            .iter()
            .map(|report| (format!("reports[{}]", report.name), report.timeout));
        TimeBudget {
            steps: instruction.chain(reports).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_budget_shows_its_arithmetic() {
        let budget = TimeBudget {
            steps: [
                ("instruction".to_owned(), Duration::from_secs(890)),
                ("reports[hub]".to_owned(), Duration::from_secs(30)),
            ]
            .into(),
        };
        let refused = budget.check(Duration::from_mins(15)).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("920 s (instruction 890 + reports[hub] 30)"),
            "{refused}"
        );
        assert!(budget.check(Duration::from_secs(920)).is_ok());
    }

    #[test]
    fn skip_is_never_temporals_default_window() {
        assert_eq!(CatchUp::Skip.window(), Duration::from_mins(1));
        let short = CatchUp::Within(Duration::from_secs(1));
        assert_eq!(short.window(), Duration::from_secs(10));
    }
}
