//! `actcore`, also `kubectl actcore`: operate and verify activities.

fn main() -> std::process::ExitCode {
    cli::main()
}
