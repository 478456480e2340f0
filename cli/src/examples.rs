//! The help texts' examples: every command has one, and every one can be typed as it stands.

use clap::Command;

/// The commands that do something, each with what is typed for it.
fn leaves(command: &Command, found: &mut Vec<(String, Command)>) {
    for subcommand in command.get_subcommands() {
        let path = subcommand.get_bin_name().unwrap_or_default().to_owned();
        if !subcommand.is_subcommand_required_set() {
            found.push((path, subcommand.clone()));
        }
        leaves(subcommand, found);
    }
}

/// The lines of the examples, those that are broken by a backslash in one piece.
fn example_lines(help: &str) -> Vec<String> {
    let Some((_, examples)) = help.split_once("Examples:\n") else {
        return Vec::new();
    };
    let examples = examples.replace("\\\n", " ");
    let lines = examples.lines().map(str::to_owned);
    lines
        .take_while(|line| line.is_empty() || line.starts_with("  "))
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect()
}

/// The words of a shell's line, where what the shell would work out stands for itself. An operator
/// is a word of its own that begins with a zero byte.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None | Some('"'), '$') if letters.peek() == Some(&'(') => {
                let inner = letters.by_ref().take_while(|letter| *letter != ')');
                assert!(inner.count() > 0, "{line}");
                word.get_or_insert_default().push_str("2026-11-24");
            }
            (None, ' ') => words.extend(word.take()),
            (None, ';' | '|' | '&' | '<' | '>' | '(' | ')') => {
                words.extend(word.take());
                words.push(format!("\0{letter}"));
            }
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// The command lines of `actcore` in a shell's line.
fn command_lines(line: &str) -> Vec<Vec<String>> {
    let words = words(line);
    let simple = words.split(|word| word.starts_with('\0'));
    let ours = simple.filter_map(|words| {
        let begin = words.iter().position(|word| word == "actcore")?;
        Some(words[begin..].to_vec())
    });
    ours.collect()
}

#[test]
fn every_command_has_an_example_that_can_be_typed() {
    let mut program = crate::command();
    program.build();
    let mut found = Vec::new();
    leaves(&program, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for (path, command) in found {
        let help = command.get_after_help().map(ToString::to_string);
        let lines = example_lines(&help.unwrap_or_default());
        let typed: Vec<Vec<String>> = lines.iter().flat_map(|line| command_lines(line)).collect();
        let own: Vec<&str> = path.split(' ').collect();
        let is_shown = typed
            .iter()
            .any(|words| words.len() >= own.len() && words[..own.len()] == own[..]);
        assert!(
            is_shown,
            "{path} --help shows no example of itself: {lines:?}"
        );
        for words in typed {
            let parsed = crate::command().try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{words:?}: {}", parsed.unwrap_err());
        }
    }
}

#[test]
fn a_shells_line_is_taken_apart_as_a_shell_would() {
    assert_eq!(
        command_lines("A=b actcore verify --date \"$(date +%F)\" -o json | jq '.[] | x' > f"),
        [["actcore", "verify", "--date", "2026-11-24", "-o", "json"]]
    );
    assert_eq!(
        command_lines("actcore db current || actcore create cron x --expression '0 9 * * *'"),
        [
            vec!["actcore", "db", "current"],
            vec![
                "actcore",
                "create",
                "cron",
                "x",
                "--expression",
                "0 9 * * *"
            ]
        ]
    );
}
