//! Printing: tables like kubectl's, JSON, YAML.

use std::io::{self, IsTerminal as _, Write as _};

use chrono::{DateTime, Utc};
use comfy_table::{ColumnConstraint, Table, presets};
use serde::Serialize;

/// How lists and objects are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns, for people.
    Table,
    /// JSON, one document.
    Json,
    /// YAML, one document.
    Yaml,
}

/// `-o`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct OutputArguments {
    /// How the answer is printed. The keys in JSON and YAML do not change.
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) output: Format,
}

/// Prints one line.
pub(crate) fn line(text: impl AsRef<str>) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", text.as_ref())
}

/// Prints columns without borders.
pub(crate) fn table(headers: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
    line(render(headers, rows))
}

fn render(headers: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headers.to_vec());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
        // Lines are never broken: they are searched with grep.
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table.trim_fmt()
}

/// Prints names and values, one pair a line.
pub(crate) fn fields(pairs: &[(&str, String)]) -> io::Result<()> {
    for (name, value) in pairs {
        line(format!("{:<16} {value}", format!("{name}:")))?;
    }
    Ok(())
}

/// Tells a person something beside the answer, on standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

/// Prints one JSON document.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(line(serde_json::to_string_pretty(value)?)?)
}

/// Prints one YAML document.
pub(crate) fn yaml(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_norway::to_string(value)?;
    Ok(line(text.trim_end())?)
}

/// A colour of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// None.
    Plain,
    /// Good.
    Green,
    /// Bad.
    Red,
    /// Uncertain.
    Yellow,
}

/// Whether standard output shows colours: a terminal does, unless NO_COLOR is set.
pub(crate) fn use_colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stdout().is_terminal()
}

/// The text in a colour, if colours are shown.
pub(crate) fn paint(text: &str, colour: Colour, shown: bool) -> String {
    let code = match colour {
        Colour::Green => "32",
        Colour::Red => "1;31",
        Colour::Yellow => "33",
        Colour::Plain => return text.to_owned(),
    };
    if shown {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// A text with its line breaks turned into spaces.
pub(crate) fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text on one line, cut after so many characters.
pub(crate) fn shortened(text: &str, length: usize) -> String {
    let text = on_one_line(text);
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// How far away an instant is, in the largest fitting unit, as kubectl shows ages.
pub(crate) fn distance(one: DateTime<Utc>, other: DateTime<Utc>) -> String {
    let seconds = (one - other).num_seconds().abs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Says what is left to say when runs were to be started: that there is nothing to do, or what would
/// do it.
pub(crate) fn runs_to_start(to_start: usize, done: bool) -> std::io::Result<()> {
    match (to_start, done) {
        (0, _) => line("nothing to do"),
        (_, true) => Ok(()),
        (1, false) => line("1 run would be started; add --yes to start it"),
        (many, false) => line(format!(
            "{many} runs would be started; add --yes to start them"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("a\nb", 10), "a b");
        assert_eq!(shortened("äöü", 2), "äö…");
    }

    #[test]
    fn tables_look_like_kubectls() {
        let rows = vec![
            vec!["daily-triage".to_owned(), "ok".to_owned()],
            vec!["x".to_owned(), String::new()],
        ];
        assert_eq!(
            render(&["NAME", "STATE"], rows),
            "NAME           STATE\ndaily-triage   ok\nx"
        );
    }
}
