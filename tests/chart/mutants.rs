//! Changes each rule in one place after the other and expects the tests to notice. A change that
//! nobody notices is a claim that nobody tests.

mod generate;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::alerts::{alert, promtool, rule_files, rules_of, test_files, write};
use generate::Mutant;

/// How many promtools run side by side.
const SIDE_BY_SIDE: usize = 2;

/// Of a hundred changes, how many must be noticed.
const LEAST_KILLED_PERCENT: usize = 95;

#[test]
fn a_rule_that_is_changed_in_any_place_fails_its_tests() {
    let mutants: Vec<(String, Mutant)> = rule_files()
        .into_iter()
        .flat_map(|(file, text)| {
            let mutants = generate::mutants(&rules_of(&text));
            mutants
                .into_iter()
                .map(move |mutant| (file.clone(), mutant))
        })
        .collect();
    assert!(mutants.len() > 300, "only {} mutants", mutants.len());
    let tests = test_files();
    let next = AtomicUsize::new(0);
    let survivors = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                let folder = tempfile::tempdir().unwrap();
                while let Some((file, mutant)) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if survives(folder.path(), file, mutant, &tests) {
                        survivors.lock().unwrap().push(mutant.what.clone());
                    }
                }
            });
        }
    });
    let survivors = survivors.into_inner().unwrap();
    let killed = mutants.len() - survivors.len();
    eprintln!("{killed} of {} changes were noticed", mutants.len());
    for survivor in &survivors {
        eprintln!("not noticed: {survivor}");
    }
    assert!(
        killed * 100 >= mutants.len() * LEAST_KILLED_PERCENT,
        "only {killed} of {} changes were noticed; not noticed:\n{}",
        mutants.len(),
        survivors.join("\n")
    );
}

/// Whether every test of the mutant's alert still passes. Only its own rules and tests are run:
/// nothing else could notice it.
fn survives(folder: &Path, file: &str, mutant: &Mutant, tests: &[(String, String)]) -> bool {
    let name = alert(&mutant.rules[mutant.changed]).to_owned();
    let own: Vec<&Value> = mutant
        .rules
        .iter()
        .filter(|rule| alert(rule) == name)
        .collect();
    let rules = json!({"groups": [{"name": "mutant", "rules": own}]});
    let rules = BTreeMap::from([(file.to_owned(), rules.to_string())]);
    let own: Vec<(String, String)> = tests
        .iter()
        .filter_map(|(test, text)| Some((test.clone(), only_of(text, file, &name)?)))
        .collect();
    assert!(!own.is_empty(), "{name} has no test");
    write(folder, &rules, &own);
    own.iter()
        .all(|(test, _)| promtool(folder, &["test", "rules", test]).is_ok())
}

/// A file of tests with only those of one alert; `None` when it has none, or tests another file.
fn only_of(text: &str, file: &str, name: &str) -> Option<String> {
    let mut tests: Value = serde_norway::from_str(text).unwrap();
    if tests["rule_files"] != json!([format!("rules/{file}")]) {
        return None;
    }
    let all = tests["tests"].as_array_mut().unwrap();
    for test in all.iter_mut() {
        let claims = test["alert_rule_test"].as_array_mut().unwrap();
        claims.retain(|claim| claim["alertname"] == json!(name));
    }
    all.retain(|test| !test["alert_rule_test"].as_array().unwrap().is_empty());
    (!all.is_empty()).then(|| tests.to_string())
}
