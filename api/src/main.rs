//! `actcore-api`: the REST façade.

fn main() -> std::process::ExitCode {
    api::main()
}
