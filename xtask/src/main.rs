//! `cargo xtask`: developer commands. Nothing here is needed to run the programs.

use clap::Parser;

#[derive(Parser)]
#[command(about = "Developer commands of activity-core")]
enum Command {
    /// Writes every generated file: the CRD manifests, the references in docs/ and the
    /// description of the REST API.
    Generate,
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Generate => xtask::generate::write_all(),
    }
}
