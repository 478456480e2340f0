//! The program `actcore-worker`.

use std::process::ExitCode;

use clap::Parser as _;
use runtime::Shutdown;
use worker::Arguments;

#[tokio::main]
async fn main() -> ExitCode {
    runtime::install_cryptography();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let shutdown = Shutdown::on_signals()?;
    worker::run(arguments, shutdown).await
}
