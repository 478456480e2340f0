//! `actcore-worker`: carries out runs.

fn main() -> std::process::ExitCode {
    worker::main()
}
