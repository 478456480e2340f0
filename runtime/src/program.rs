//! How a program begins and ends.

use std::process::ExitCode;

/// Runs the program called `name` to its end, on a Tokio runtime of its own. An error becomes one
/// line on stderr, without a backtrace: it is for whoever has to change something.
pub fn run_program(name: &str, program: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    crate::install_cryptography();
    let ended = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(program),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
