//! `status`: how each process of the stack is, and where it answers.

use anyhow::Result;

use super::DevFolder;
use super::stack_file::{StackFile, State};

/// How a stack is.
#[derive(Debug, Clone)]
pub struct Status {
    /// Name and state of each process.
    pub processes: Vec<(String, &'static str)>,
    /// What is up, and where.
    pub stack: StackFile,
    /// False if the supervisor was killed and its files are all that is left.
    pub supervised: bool,
    /// True if every process is well and the endpoints are known.
    pub well: bool,
}

/// Looks at the stack of `folder`; `None` if none is up.
pub async fn status(folder: &DevFolder) -> Result<Option<Status>> {
    let Some(stack) = StackFile::read(folder)? else {
        return Ok(None);
    };
    let states = stack.states().await;
    let well = stack.endpoints.is_some() && states.iter().all(|(_, state)| *state == State::Well);
    let processes = states
        .into_iter()
        .map(|(name, state)| (name, state.describe()))
        .collect();
    let supervised = stack.supervisor.is_running();
    Ok(Some(Status {
        processes,
        stack,
        supervised,
        well,
    }))
}
