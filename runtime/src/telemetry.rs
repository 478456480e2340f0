//! Logs: one line per event, as text for people or JSON for collectors.

use std::error::Error;
use std::fmt::Write as _;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors: one JSON object per line.
    Json,
}

/// The settings of the log.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "log-arguments")]
pub struct LogArguments {
    /// What is logged: a level (error, warn, info, debug, trace) or directives such as
    /// info,operator=debug.
    #[arg(
        long,
        env = "RUST_LOG",
        default_value = "info",
        help_heading = "Logging"
    )]
    pub log_filter: String,

    /// How log lines look.
    #[arg(
        long,
        env = "LOG_FORMAT",
        value_enum,
        default_value_t = LogFormat::Json,
        help_heading = "Logging"
    )]
    pub log_format: LogFormat,
}

/// Starts logging to standard error. An invalid filter is an error that says so. Only the first
/// call in a process has an effect.
pub fn initialize(arguments: &LogArguments) -> Result<(), crate::Error> {
    let filter = EnvFilter::try_new(&arguments.log_filter).map_err(|error| {
        crate::Error::InvalidSetting {
            variable: "RUST_LOG",
            value: arguments.log_filter.clone(),
            problem: error.to_string(),
        }
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Both answer an error when logging is on already, which is as good.
    let _ = match arguments.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// An error with all its causes, on one line. A cause that the text before it ends in is not said
/// twice: many libraries put it into their own.
pub fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}
