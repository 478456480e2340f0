//! docs/settings.md: the settings of each program, as its own flags say them.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory};

use super::cell;
use super::commands::{possible, typed};

const INTRODUCTION: &str = "\
# Settings

Each setting is an environment variable and a flag; the flag wins. What is required and missing is
named when the program starts. The settings of `actcore` are in [cli.md](cli.md).
";

/// The reference.
pub(super) fn reference() -> String {
    let programs = [
        ("actcore-operator", operator::Arguments::command()),
        ("actcore-worker", worker::Arguments::command()),
        ("actcore-event-router", router::Arguments::command()),
        ("actcore-api", api::Arguments::command()),
    ];
    let mut text = INTRODUCTION.to_owned();
    for (name, mut program) in programs {
        program.build();
        describe(&mut text, name, &program);
    }
    text
}

fn describe(text: &mut String, name: &str, program: &Command) {
    // Writing into a text can't fail.
    let _ = write!(text, "\n## {name}\n");
    let mut headings: Vec<Option<&str>> = Vec::new();
    let arguments: Vec<&Arg> = program
        .get_arguments()
        .filter(|argument| argument.get_env().is_some() || argument.get_long().is_some())
        .filter(|argument| argument.get_id() != "help" && argument.get_id() != "version")
        .collect();
    for argument in &arguments {
        if !headings.contains(&argument.get_help_heading()) {
            headings.push(argument.get_help_heading());
        }
    }
    for heading in headings {
        let _ = write!(text, "\n### {}\n\n", heading.unwrap_or("The program's own"));
        text.push_str("| Environment | Flag | Default | What it says |\n|---|---|---|---|\n");
        for argument in &arguments {
            if argument.get_help_heading() == heading {
                text.push_str(&row(argument));
            }
        }
    }
}

fn row(argument: &Arg) -> String {
    let environment = argument.get_env().map(|name| name.display().to_string());
    let defaults = argument.get_default_values().iter();
    let defaults: Vec<String> = defaults
        .map(|value| format!("`{}`", value.display()))
        .collect();
    let help = argument.get_long_help().or_else(|| argument.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    format!(
        "| {} | {} | {} | {}{} |\n",
        environment.map_or_else(String::new, |name| format!("`{name}`")),
        cell(&typed(argument)),
        defaults.join(", "),
        cell(&help),
        possible(argument),
    )
}
