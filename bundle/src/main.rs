//! All programs in one file, for the image: the name by which it is called says which one it is.
//! Most of each program is what it shares with the others, so the image is a third of five files.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called)
        .file_name()
        .and_then(|name| name.to_str());
    match name {
        Some("actcore-operator") => operator::main(),
        Some("actcore-worker") => worker::main(),
        Some("actcore-event-router") => router::main(),
        Some("actcore-api") => api::main(),
        // It has no other names than `actcore` and `kubectl-actcore`, and explains itself.
        Some(_) | None => cli::main(),
    }
}
