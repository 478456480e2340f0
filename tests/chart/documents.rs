//! The runbooks: one page for each alert, each with commands that exist.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use crate::alerts::{alert, documented_metrics, family, metrics_of, rules};
use crate::helm::repository;

const HEADINGS: [&str; 5] = [
    "## Meaning",
    "## Impact",
    "## Diagnosis",
    "## Mitigation",
    "## Verification",
];

/// Rows of the table at the head of each page.
const FACTS: [&str; 5] = [
    "Severity",
    "Policy",
    "Respond within",
    "Dashboard",
    "Metrics",
];

/// Commands that change something.
const WRITES: [&str; 14] = [
    "actcore backfill",
    "actcore create",
    "actcore db upgrade",
    "actcore disable",
    "actcore dlq redrive",
    "actcore enable",
    "actcore sync",
    "actcore trigger",
    "helm upgrade",
    "helm rollback",
    "kubectl -n activity-core rollout restart",
    "kubectl -n activity-core scale",
    "kubectl annotate",
    "kubectl apply",
];

struct Page {
    name: String,
    text: String,
}

fn pages() -> Vec<Page> {
    let entries = std::fs::read_dir(repository().join("docs/runbooks")).unwrap();
    let mut pages: Vec<Page> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_stem().is_some_and(|stem| stem != "README"))
        .map(|path| Page {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            text: std::fs::read_to_string(&path).unwrap(),
        })
        .collect();
    pages.sort_by(|one, other| one.name.cmp(&other.name));
    pages
}

impl Page {
    fn section(&self, heading: &str) -> &str {
        let start = self.text.find(&format!("\n{heading}\n"));
        let start = start.unwrap_or_else(|| panic!("{} has no \"{heading}\"", self.name));
        let rest = &self.text[start + heading.len() + 2..];
        &rest[..rest.find("\n## ").unwrap_or(rest.len())]
    }

    /// The commands of a section, one a line, without comments and without what continues one.
    fn commands(&self, heading: &str) -> Vec<String> {
        let section = self.section(heading);
        let blocks = section.split("```sh\n").skip(1);
        blocks
            .flat_map(|block| {
                block
                    .split("```")
                    .next()
                    .unwrap()
                    .replace("\\\n", " ")
                    .lines()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect()
    }
}

#[test]
fn every_alert_has_a_page_and_every_page_an_alert() {
    let alerts: BTreeSet<String> = rules().iter().map(|rule| alert(rule).to_owned()).collect();
    let pages: BTreeSet<String> = pages().into_iter().map(|page| page.name).collect();
    assert_eq!(pages, alerts);
}

#[test]
fn every_page_has_its_facts_and_its_five_sections() {
    for page in pages() {
        assert!(
            page.text.starts_with(&format!("# {}\n", page.name)),
            "{}",
            page.name
        );
        for fact in FACTS {
            assert!(
                page.text.contains(&format!("\n| {fact} | ")),
                "{} does not say \"{fact}\"",
                page.name
            );
        }
        for heading in HEADINGS {
            let words = page.section(heading).split_whitespace().count();
            assert!(words >= 6, "{}: \"{heading}\" says nothing", page.name);
        }
    }
}

#[test]
fn every_page_says_what_the_alert_says() {
    for page in pages() {
        let severities: BTreeSet<String> = rules()
            .iter()
            .filter(|rule| alert(rule) == page.name)
            .map(|rule| rule["labels"]["severity"].as_str().unwrap().to_owned())
            .collect();
        let line = page
            .text
            .lines()
            .find(|line| line.starts_with("| Severity |"));
        for severity in severities {
            assert!(
                line.unwrap().contains(&severity),
                "{}: {severity}",
                page.name
            );
        }
        for rule in rules().iter().filter(|rule| alert(rule) == page.name) {
            for metric in metrics_of(rule["expr"].as_str().unwrap()) {
                assert!(
                    page.text.contains(&metric),
                    "{} does not name {metric}",
                    page.name
                );
            }
        }
        let known = documented_metrics();
        for metric in metrics_of(&page.text) {
            assert!(
                known.contains_key(family(&metric)),
                "{}: no {metric}",
                page.name
            );
        }
    }
}

#[test]
fn every_section_that_asks_to_do_something_has_commands_and_looks_before_it_writes() {
    for page in pages() {
        for heading in ["## Diagnosis", "## Mitigation", "## Verification"] {
            assert!(
                !page.commands(heading).is_empty(),
                "{}: \"{heading}\" has no command",
                page.name
            );
        }
        for heading in ["## Diagnosis", "## Verification"] {
            for command in page.commands(heading) {
                assert!(
                    !WRITES.iter().any(|write| command.starts_with(write)),
                    "{}: \"{heading}\" writes: {command}",
                    page.name
                );
            }
        }
    }
}

/// Every command of every page and of the documents that tell what to type.
fn all_commands() -> Vec<(String, String)> {
    let mut commands = Vec::new();
    for page in pages() {
        for heading in HEADINGS {
            let own = page.commands(heading).into_iter();
            commands.extend(own.map(|command| (page.name.clone(), command)));
        }
    }
    for name in ["install", "upgrade", "operate"] {
        let text = std::fs::read_to_string(repository().join(format!("docs/{name}.md"))).unwrap();
        let page = Page {
            name: name.to_owned(),
            text: format!("\n## All\n{}", text.replace("\n## ", "\n### ")),
        };
        let own = page.commands("## All").into_iter();
        commands.extend(own.map(|command| (name.to_owned(), command)));
    }
    commands
}

#[test]
fn every_command_of_ours_is_one_that_it_understands() {
    let program = testkit::binary("actcore").unwrap();
    let mut checked = BTreeSet::new();
    for (page, command) in all_commands() {
        for part in command.split([';', '|', '&', '(']) {
            let words: Vec<&str> = part.split_whitespace().collect();
            let Some(at) = words.iter().position(|word| *word == "actcore") else {
                continue;
            };
            // Only where it is the program: at the beginning, or in a pod.
            let before = &words[..at];
            let is_program = before.is_empty() || before.last() == Some(&"--");
            let rest = &words[at + 1..];
            if !is_program || rest.is_empty() {
                continue;
            }
            let subcommands: Vec<&str> = rest
                .iter()
                .take_while(|word| {
                    word.chars()
                        .all(|letter| letter.is_ascii_lowercase() || letter == '-')
                        && !word.starts_with('-')
                })
                .copied()
                .collect();
            let options: BTreeSet<String> = rest
                .iter()
                .filter(|word| word.starts_with("--") && word.len() > 2)
                .map(|word| word.split('=').next().unwrap().to_owned())
                .collect();
            let help = help_of(&program, &subcommands);
            let help = help.unwrap_or_else(|| panic!("{page}: no such command: {command}"));
            for option in options {
                assert!(
                    help.contains(&option),
                    "{page}: {option} is unknown in: {command}"
                );
            }
            checked.insert(command.clone());
        }
    }
    assert!(
        checked.len() >= 20,
        "only {} commands were checked",
        checked.len()
    );
}

/// The help of the longest command that the words name; names of objects may follow it.
fn help_of(program: &PathBuf, words: &[&str]) -> Option<String> {
    (1..=words.len().min(2)).rev().find_map(|length| {
        let output = Command::new(program)
            .args(&words[..length])
            .arg("--help")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    })
}

#[test]
fn every_object_that_a_command_names_is_one_that_is_installed() {
    let installed: BTreeSet<String> = crate::helm::objects("values-dev.yaml")
        .iter()
        .map(crate::helm::name)
        .collect();
    for (page, command) in all_commands() {
        for (prefix, kind) in [
            ("deploy/", "Deployment"),
            ("svc/", "Service"),
            ("secret/", "Secret"),
            ("lease/", "Lease"),
        ] {
            for part in command.split(prefix).skip(1) {
                let name: String = part
                    .chars()
                    .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '-')
                    .collect();
                let is_example = name.is_empty() || name.chars().any(char::is_uppercase);
                assert!(
                    is_example || installed.contains(&format!("{kind} {name}")),
                    "{page}: there is no {kind} {name}: {command}"
                );
            }
        }
    }
}
