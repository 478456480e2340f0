//! The program `actcore-event-router`.

use std::process::ExitCode;

use clap::Parser as _;
use router::Arguments;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, without a backtrace: it is for whoever has to change something.
            eprintln!("actcore-event-router: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn start(arguments: Arguments) -> anyhow::Result<()> {
    runtime::install_cryptography();
    runtime::initialize(&arguments.log)?;
    router::run(arguments, runtime::Shutdown::on_signals()?).await
}
