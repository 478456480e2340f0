//! `actcore-operator`: declared is what is.

fn main() -> std::process::ExitCode {
    operator::main()
}
