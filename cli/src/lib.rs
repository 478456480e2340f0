//! The command line `actcore`, also usable as `kubectl actcore`.
//!
//! [`arguments`] says what can be typed, [`commands`] carries it out, one file per noun, and
//! [`output`] prints. What is decided about runs is decided by `domain` and `audit`; here it is
//! only asked for and shown.

mod api;
mod arguments;
mod catalogue;
mod cluster;
mod commands;
mod connections;
#[cfg(test)]
mod examples;
mod exit;
mod find;
mod history;
mod manifests;
mod moment;
mod nats;
mod output;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use arguments::Arguments;
pub use exit::Exit;
use exit::Problem;

/// Everything that can be typed, for the generated reference.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// The program `actcore`, also `kubectl actcore`. Its exit codes are documented in `actcore --help`.
pub fn main() -> ExitCode {
    runtime::install_cryptography();
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let code = runtime.block_on(carry_out(std::env::args_os()));
            // A look that was given up, at a hung network drive for one, is not waited for.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            eprintln!("error: failed to start: {error}");
            Exit::Failed.into()
        }
    }
}

async fn carry_out(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.into_iter().collect();
    let parsed = command_called(words.first())
        .try_get_matches_from(words)
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(usage) => return explain(&usage).into(),
    };
    match Box::pin(commands::run(arguments)).await {
        Ok(exit) => exit.into(),
        Err(error) => report(&error).into(),
    }
}

/// The command under the name by which it was called, so that usage lines can be typed as shown.
fn command_called(program: Option<&OsString>) -> clap::Command {
    let stem = program.and_then(|program| std::path::Path::new(program).file_stem());
    match stem {
        Some(stem) if stem == "kubectl-actcore" => command().bin_name("kubectl actcore"),
        Some(_) | None => command(),
    }
}

/// Prints help, the version or what is wrong with the command line.
fn explain(usage: &clap::Error) -> Exit {
    match usage.print() {
        Ok(()) if !usage.use_stderr() => Exit::Done,
        // A terminal that is gone can't be told anything.
        Ok(()) | Err(_) => Exit::Usage,
    }
}

/// One line on standard error, unless it is standard output itself that is gone.
fn report(error: &anyhow::Error) -> Exit {
    let gone = error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe);
    if !gone {
        eprintln!("error: {}", output::on_one_line(&format!("{error:#}")));
    }
    error
        .downcast_ref::<Problem>()
        .map_or(Exit::Failed, |problem| problem.exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn usage_lines_can_be_typed_as_shown() {
        let plugin = OsString::from("/usr/local/bin/kubectl-actcore");
        let help = command_called(Some(&plugin)).render_help().to_string();
        assert!(help.contains("Usage: kubectl actcore "), "{help}");
    }

    #[test]
    fn everything_that_can_be_typed_is_explained() {
        fn assert_explained(command: &clap::Command, path: &str) {
            assert!(command.get_about().is_some(), "{path} has no description");
            for argument in command.get_arguments() {
                let id = argument.get_id();
                assert!(
                    argument.get_help().is_some(),
                    "{path} {id} has no description"
                );
            }
            for subcommand in command.get_subcommands() {
                assert_explained(subcommand, &format!("{path} {}", subcommand.get_name()));
            }
        }
        let mut command = command();
        command.build();
        assert_explained(&command, "actcore");
    }

    #[test]
    fn the_runbooks_command_lines_are_understood_and_contradictions_are_not() {
        let id = "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f";
        let understood = [
            format!("verify --activity-id {id} --date 2026-11-24"),
            format!("verify --activity-id {id} --working-memory-dir /srv --live -o json"),
            "verify --all --live -n activity-core".to_owned(),
            "db upgrade".to_owned(),
            "db current".to_owned(),
            "db history".to_owned(),
            "get -A -o yaml".to_owned(),
            "trigger daily -n activity-core --request-id r1 --wait --timeout 60".to_owned(),
            "runs daily --limit 100".to_owned(),
            format!("run show {id}"),
            "next daily --count 3".to_owned(),
            "create cron daily --expression @daily".to_owned(),
            "create -f file.yaml".to_owned(),
            "sync -f activities --dry-run".to_owned(),
            "sync --context prod --timeout 5 -o json".to_owned(),
            "backfill daily --from 2026-11-24 --to 2026-11-25T00:00:00Z --only-missing".to_owned(),
            format!("backfill --activity-id {id} --from 2026-11-24 --yes --wait"),
            format!("feedback {id} --kind too-long --comment x"),
            format!("feedback list {id}"),
            "import -f rows.json --apply -n activity-core".to_owned(),
            "dlq list --reason ConditionError --type user.created --since 2h -o yaml".to_owned(),
            "dlq show 17".to_owned(),
            "dlq redrive 17 18".to_owned(),
            "dlq redrive --all --reason ConditionError --dry-run".to_owned(),
            "dlq discard --all --since 7d --yes".to_owned(),
            "events test event.json -f activities -o json".to_owned(),
            "events replay --from 2026-11-24 --definition onboarding --yes".to_owned(),
            "completion zsh".to_owned(),
        ];
        for line in understood {
            let words = ["actcore"].into_iter().chain(line.split(' '));
            let parsed = command().try_get_matches_from(words);
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
        for line in [
            "",
            "verify daily --all",
            "verify daily --date yesterday",
            "get daily -A",
            "trigger daily --timeout 60",
            "runs daily --limit 0",
            "run show daily",
            "create cron daily",
            "sync --dry-run",
            "backfill daily",
            "backfill --from 2026-11-24",
            "backfill daily --from 2026-11-24 --wait",
            "backfill daily --from 2026-11-24 --dry-run --yes",
            "import",
            "feedback",
            "feedback 0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f",
            "feedback list",
        ] {
            let words = ["actcore"].into_iter().chain(line.split_whitespace());
            assert!(command().try_get_matches_from(words).is_err(), "{line}");
        }
    }
}
