//! `actcore`, also `kubectl actcore`: operate and verify activities.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::install_cryptography();
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let code = runtime.block_on(cli::main(std::env::args_os()));
            // A look that was given up, at a hung network drive for one, is not waited for.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            eprintln!("error: failed to start: {error}");
            cli::Exit::Failed.into()
        }
    }
}
