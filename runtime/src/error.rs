//! What can go wrong before a program does its work.

/// A setting that is needed and not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is required: {hint}")]
pub struct MissingSetting {
    variable: &'static str,
    hint: &'static str,
}

/// The value of a setting, or an error that names its environment variable and a right value.
pub fn require<T>(
    value: Option<T>,
    variable: &'static str,
    hint: &'static str,
) -> Result<T, MissingSetting> {
    value.ok_or(MissingSetting { variable, hint })
}

/// A failure of the plumbing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A needed setting is missing.
    #[error(transparent)]
    MissingSetting(#[from] MissingSetting),
    /// A setting has a value of the wrong form.
    #[error("{variable} is \"{value}\": {problem}")]
    InvalidSetting {
        /// The environment variable.
        variable: &'static str,
        /// Its value, without anything secret.
        value: String,
        /// What would be right.
        problem: String,
    },
    /// An address can't be listened on.
    #[error("unable to listen on {address} (set {variable} to another address)")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The environment variable that sets it.
        variable: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A connection can't be set up.
    #[error("unable to connect to {service} at {address}")]
    Connect {
        /// What was to be connected to.
        service: &'static str,
        /// Where, without credentials.
        address: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The process is to stop; nothing is wrong.
    #[error("stopped while waiting for {waiting_for}")]
    Stopped {
        /// What was waited for.
        waiting_for: &'static str,
    },
}
