//! docs/cli.md: everything that can be typed after `actcore`, as its own help says it.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::cell;

const INTRODUCTION: &str = "\
# The command line

`actcore` operates and verifies activities. Installed as `kubectl-actcore` on the `PATH` it is also
`kubectl actcore`. `actcore COMMAND --help` prints what is here; `actcore completion SHELL` prints a
completion script.
";

/// The reference.
pub(super) fn reference() -> String {
    let mut program = cli::command();
    program.build();
    let mut text = INTRODUCTION.to_owned();
    if let Some(after) = program.get_after_help() {
        push(&mut text, format_args!("\n```text\n{after}\n```\n"));
    }
    let mut leaves = Vec::new();
    collect_leaves(&program, &mut leaves);
    text.push_str("\n| Command | What it does |\n|---|---|\n");
    for (path, command) in &leaves {
        let anchor = path.replace(' ', "-");
        let about = command.get_about().map(ToString::to_string);
        push(
            &mut text,
            format_args!(
                "| [`{path}`](#{anchor}) | {} |\n",
                cell(&about.unwrap_or_default())
            ),
        );
    }
    for (path, command) in &mut leaves {
        describe(&mut text, path, command);
    }
    text
}

/// Writing into a text can't fail.
fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

/// The commands that do something, each with what is typed for it.
fn collect_leaves(command: &Command, leaves: &mut Vec<(String, Command)>) {
    for subcommand in command.get_subcommands() {
        let path = subcommand.get_bin_name().unwrap_or(subcommand.get_name());
        if subcommand.get_subcommands().next().is_none() || does_something_itself(subcommand) {
            leaves.push((path.to_owned(), subcommand.clone()));
        }
        collect_leaves(subcommand, leaves);
    }
}

fn does_something_itself(command: &Command) -> bool {
    !command.is_subcommand_required_set()
}

fn describe(text: &mut String, path: &str, command: &mut Command) {
    push(text, format_args!("\n## {path}\n\n"));
    let about = command.get_long_about().or_else(|| command.get_about());
    if let Some(about) = about.cloned() {
        push(text, format_args!("{}\n", prose(&about.to_string())));
    }
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    push(text, format_args!("\n```text\n{usage}\n```\n"));
    if let Some(after) = command.get_after_help() {
        push(text, format_args!("\n```text\n{after}\n```\n"));
    }
    text.push_str("\n| Option | Environment | Default | What it says |\n|---|---|---|---|\n");
    let arguments = command.get_arguments().filter(|argument| {
        let id = argument.get_id();
        id != "help" && id != "version" && !argument.is_hide_set()
    });
    for argument in arguments {
        text.push_str(&row(argument));
    }
}

/// Indented lines of a long text are lists or code; Markdown wants a blank line before them, and
/// has it, because the help texts have one too.
fn prose(text: &str) -> String {
    text.lines()
        .map(|line| match line.strip_prefix("  ") {
            Some(indented) => format!("    {}", indented.trim_start()),
            None => line.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn row(argument: &Arg) -> String {
    let environment = argument.get_env().map(|name| name.display().to_string());
    let defaults = argument.get_default_values().iter();
    let defaults: Vec<String> = defaults
        .map(|value| format!("`{}`", value.display()))
        .collect();
    let help = argument.get_help().map(ToString::to_string);
    format!(
        "| {} | {} | {} | {}{} |\n",
        cell(&typed(argument)),
        environment.map_or_else(String::new, |name| format!("`{name}`")),
        defaults.join(", "),
        cell(&help.unwrap_or_default()),
        possible(argument),
    )
}

/// What is typed for an argument: `-n`, `--namespace NAMESPACE`, or `NAME` for one by position.
pub(super) fn typed(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let names: Vec<&str> = names.iter().map(clap::builder::Str::as_str).collect();
    let takes_value = argument.get_action().takes_values();
    let value = if takes_value {
        names.join(" ")
    } else {
        String::new()
    };
    let long = argument.get_long().map(|long| format!("--{long}"));
    let short = argument.get_short().map(|short| format!("-{short}"));
    let flags: Vec<String> = [short, long].into_iter().flatten().collect();
    if flags.is_empty() {
        return format!("`{value}`");
    }
    let last = flags.len() - 1;
    let flags = flags.iter().enumerate().map(|(index, flag)| {
        if index == last && !value.is_empty() {
            format!("`{flag} {value}`")
        } else {
            format!("`{flag}`")
        }
    });
    flags.collect::<Vec<_>>().join(", ")
}

/// The values that an argument may have, if they are a few.
pub(super) fn possible(argument: &Arg) -> String {
    if !argument.get_action().takes_values() {
        return String::new();
    }
    let possible = argument.get_possible_values();
    let values = possible.iter().filter(|value| !value.is_hide_set());
    let values: Vec<String> = values
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if values.is_empty() {
        String::new()
    } else {
        format!(" One of {}.", values.join(", "))
    }
}
