//! `actcore-operator`: declared is what is.

use clap::Parser;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    runtime::install_cryptography();
    let arguments = operator::Arguments::parse();
    match Box::pin(operator::run(arguments)).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("actcore-operator: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
