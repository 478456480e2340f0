//! House rules that a machine can check: who may name which outside crate, what must stay pure,
//! and how large a file may be. It reads text, so it is a guard rail and no proof.

#![expect(
    clippy::unwrap_used,
    reason = "a checkout that can't be read fails the test"
)]

use std::path::{Path, PathBuf};

use xtask::generate::repository;

const LARGEST_FILE: usize = 600;

/// Outside crates, and the only members that may name them.
const OWNERS: [(&str, &[&str]); 6] = [
    (
        "sqlx::",
        &[
            "store", "runtime", "operator", "router", "bench", "testkit", "tests",
        ],
    ),
    (
        "temporalio_",
        &["temporal", "router", "runtime", "worker", "bench", "tests"],
    ),
    (
        "async_nats::",
        &[
            "runtime", "router", "api", "cli", "bench", "faults", "testkit", "tests",
        ],
    ),
    ("axum::", &["runtime", "api", "operator", "testkit"]),
    (
        "kube::",
        &[
            "crds", "operator", "api", "cli", "bench", "faults", "testkit", "tests",
        ],
    ),
    (
        "reqwest::",
        &[
            "runtime", "audit", "worker", "cli", "bench", "faults", "testkit", "tests",
        ],
    ),
];

/// Files that decide, and therefore do nothing else.
const PURE: [&str; 10] = [
    "domain/src/",
    "routing/src/",
    "worker/src/workflows/",
    "worker/src/plan.rs",
    "operator/src/activity_definition/plan.rs",
    "operator/src/activity_definition/validate.rs",
    "operator/src/activity_definition/status.rs",
    "cli/src/commands/backfill/plan.rs",
    "cli/src/commands/import/predecessor.rs",
    "cli/src/commands/events/standing.rs",
];

/// What has no place in a file that decides.
const IMPURE: [&str; 5] = ["::now()", "std::env", "std::fs", "tokio::", "sqlx::"];

fn rust_files() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = members();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(repository()).unwrap().to_owned();
                files.push((path, text));
            }
        }
    }
    assert!(files.len() > 50, "found only {} files", files.len());
    files
}

fn members() -> Vec<PathBuf> {
    std::fs::read_dir(repository())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .collect()
}

/// A file's code without its tests, its comments and its documentation.
fn code(path: &Path, text: &str) -> String {
    let is_test_file = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().ends_with("tests.rs"));
    if is_test_file || path.components().any(|part| part.as_os_str() == "tests") {
        return String::new();
    }
    let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = before_tests.lines();
    lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn no_file_is_too_large() {
    for (path, text) in rust_files() {
        let lines = text.lines().count();
        assert!(
            lines <= LARGEST_FILE,
            "{} has {lines} lines; at most {LARGEST_FILE} are readable",
            path.display()
        );
    }
}

#[test]
fn outside_crates_are_named_only_by_their_owners() {
    for (path, text) in rust_files() {
        let member = path.iter().next().unwrap().to_str().unwrap().to_owned();
        // This file names them all.
        if member == "xtask" {
            continue;
        }
        let code = code(&path, &text);
        for (name, owners) in OWNERS {
            let used = code.match_indices(name).any(|(at, _)| {
                let before = code[..at].chars().next_back();
                before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_')
            });
            assert!(
                !used || owners.contains(&member.as_str()),
                "{} names {name}, which belongs to {owners:?}",
                path.display()
            );
        }
    }
}

#[test]
fn what_decides_does_nothing_else() {
    for (path, text) in rust_files() {
        let name = path.display().to_string();
        if !PURE.iter().any(|pure| name.starts_with(pure)) {
            continue;
        }
        let code = code(&path, &text);
        for impure in IMPURE {
            assert!(!code.contains(impure), "{name} decides, and names {impure}");
        }
    }
}
