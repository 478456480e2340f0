//! The program `actcore-api`.

use api::Arguments;
use clap::Parser as _;
use runtime::Shutdown;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    runtime::install_cryptography();
    runtime::initialize(&arguments.log)?;
    api::run(arguments, Shutdown::on_signals()?).await?;
    Ok(())
}
