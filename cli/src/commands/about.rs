//! `actcore version` and `actcore completion`: about the program itself.

use clap::Args;
use clap_complete::Shell;
use serde_json::json;

use crate::exit::{Exit, Problem};
use crate::output::{self, Format};

/// The options of `actcore version`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  actcore version
  actcore version -o json")]
pub(crate) struct VersionArguments {
    /// How the answer is printed.
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    output: Format,
}

/// The shells that completions are written for.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SupportedShell {
    /// bash
    Bash,
    /// fish
    Fish,
    /// zsh
    Zsh,
}

/// The options of `actcore completion`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  # bash, for this shell
  source <(actcore completion bash)

  # zsh, for all (the folder must be in fpath)
  actcore completion zsh > ~/.zfunc/_actcore

  # fish, for all
  actcore completion fish > ~/.config/fish/completions/actcore.fish")]
pub(crate) struct CompletionArguments {
    /// The shell.
    #[arg(value_enum)]
    shell: SupportedShell,
}

/// Carries out `actcore version`.
pub(crate) fn version(arguments: &VersionArguments) -> anyhow::Result<Exit> {
    let about = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "apiVersion": format!("{}/v1alpha1", crds::GROUP),
    });
    match arguments.output {
        Format::Table => output::line(format!("actcore {}", env!("CARGO_PKG_VERSION")))?,
        Format::Json => output::json(&about)?,
        Format::Yaml => output::yaml(&about)?,
    }
    Ok(Exit::Done)
}

/// Carries out `actcore completion`.
pub(crate) fn completion(arguments: &CompletionArguments) -> anyhow::Result<Exit> {
    let shell = match arguments.shell {
        SupportedShell::Bash => Shell::Bash,
        SupportedShell::Fish => Shell::Fish,
        SupportedShell::Zsh => Shell::Zsh,
    };
    // Into memory first: the generator panics when its writer fails, and a pipe may.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::command(), "actcore", &mut script);
    let script = String::from_utf8(script)
        .map_err(|_| Problem::failed("the completion script is no UTF-8"))?;
    output::line(script.trim_end())?;
    Ok(Exit::Done)
}
