//! `actcore-event-router`: starts runs from events.

fn main() -> std::process::ExitCode {
    router::main()
}
