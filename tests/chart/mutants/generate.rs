//! Makes the changed rules.

use serde_json::{Value, json};

use crate::alerts::{alert, metrics_of};

/// The rules of a file, of which one is changed.
pub(super) struct Mutant {
    /// All rules.
    pub(super) rules: Vec<Value>,
    /// Which of them is changed.
    pub(super) changed: usize,
    /// How it is changed, for people.
    pub(super) what: String,
}

/// Every change of every rule.
pub(super) fn mutants(rules: &[Value]) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let severity = rule["labels"]["severity"].as_str().unwrap();
        let mut add = |field: &str, changed: Value| {
            let what = format!("{} ({severity}): {field}", alert(rule));
            let mut all = rules.to_vec();
            all[index] = changed;
            mutants.push(Mutant {
                rules: all,
                changed: index,
                what,
            });
        };
        of_durations(rule, &mut add);
        of_words(rule, &mut add);
        let expression = rule["expr"].as_str().unwrap();
        for (what, changed) in of_expression(expression) {
            let mut rule = rule.clone();
            rule["expr"] = json!(changed);
            add(&what, rule);
        }
    }
    mutants
}

fn with(rule: &Value, field: &str, value: Value) -> Value {
    let mut rule = rule.clone();
    rule[field] = value;
    rule
}

fn of_durations(rule: &Value, add: &mut dyn FnMut(&str, Value)) {
    for field in ["for", "keep_firing_for"] {
        let Some(duration) = rule[field].as_str() else {
            continue;
        };
        let minutes = minutes(duration);
        // No finer than the steps of the tests.
        let step = match minutes {
            ..=5 => 1,
            6..=30 => 5,
            _ => 30,
        };
        for changed in [minutes + step, minutes - step] {
            let text = format!("{changed}m");
            add(
                &format!("{field} {duration} → {text}"),
                with(rule, field, json!(text)),
            );
        }
    }
    if rule["for"].is_null() && rule["expr"] != json!("vector(1)") {
        add("for 30m", with(rule, "for", json!("30m")));
    }
}

fn minutes(duration: &str) -> i64 {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let number: i64 = number.parse().unwrap();
    match unit {
        "m" => number,
        "h" => number * 60,
        "d" => number * 24 * 60,
        other => panic!("{other} is no unit of a duration here"),
    }
}

fn of_words(rule: &Value, add: &mut dyn FnMut(&str, Value)) {
    let mut changed = rule.clone();
    let severity = &mut changed["labels"]["severity"];
    *severity = if *severity == json!("warning") {
        json!("info")
    } else {
        json!("warning")
    };
    add("severity", changed);
    // Every test compares all three; one change shows that.
    let mut changed = rule.clone();
    let text = changed["annotations"]["runbook_url"].as_str().unwrap();
    changed["annotations"]["runbook_url"] = json!(format!("{text}x"));
    add("runbook_url", changed);
}

/// Every change of an expression, with a word on it.
fn of_expression(expression: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for metric in metrics_of(expression) {
        found.push((
            format!("{metric} is another metric"),
            expression.replace(&metric, &format!("{metric}_x")),
        ));
    }
    replace_each(expression, &SWAPS, &mut found);
    numbers(expression, &mut found);
    matchers(expression, &mut found);
    groupings(expression, &mut found);
    clauses(expression, &mut found);
    found.retain(|(_, changed)| changed != expression);
    found
}

/// Comparators, aggregations and functions, each with what it is changed into.
const SWAPS: [(&str, &str); 14] = [
    (" > ", " < "),
    (" < ", " > "),
    (" == 0", " != 0"),
    (" == 1", " != 1"),
    ("max by", "min by"),
    ("min by", "max by"),
    ("sum by", "min by"),
    ("count by", "sum by"),
    ("increase(", "delta("),
    ("absent(", "count("),
    ("[1h]", "[30m]"),
    ("[3d]", "[20h]"),
    ("[15m]", "[60m]"),
    ("[30m]", "[5m]"),
];

/// Replaces each occurrence of each pattern alone.
fn replace_each(expression: &str, swaps: &[(&str, &str)], found: &mut Vec<(String, String)>) {
    for (from, to) in swaps {
        for (at, _) in expression.match_indices(from) {
            let changed = format!(
                "{}{to}{}",
                &expression[..at],
                &expression[at + from.len()..]
            );
            found.push((
                format!("\"{}\" → \"{}\" at {at}", from.trim(), to.trim()),
                changed,
            ));
        }
    }
}

/// Makes each threshold larger and smaller.
fn numbers(expression: &str, found: &mut Vec<(String, String)>) {
    for comparator in ["> ", "< "] {
        for (at, _) in expression.match_indices(comparator) {
            let start = at + comparator.len();
            let rest = &expression[start..];
            let length = rest
                .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
                .unwrap_or(rest.len());
            let Ok(number) = rest[..length].parse::<f64>() else {
                continue;
            };
            let neighbours = match number {
                0.0 => vec![9.0],
                number if number < 1.0 => vec![number * 2.0, number / 2.0],
                number if number < 30.0 => vec![number + 3.0, number - 3.0],
                number => vec![number * 1.2, number * 0.8],
            };
            for neighbour in neighbours {
                let changed = format!("{}{neighbour}{}", &expression[..start], &rest[length..]);
                found.push((format!("{number} → {neighbour} at {at}"), changed));
            }
        }
    }
}

/// Drops each label matcher.
fn matchers(expression: &str, found: &mut Vec<(String, String)>) {
    for (open, _) in expression.match_indices('{') {
        let close = open + expression[open..].find('}').unwrap();
        let list: Vec<&str> = expression[open + 1..close].split(", ").collect();
        for dropped in &list {
            let kept: Vec<&str> = list
                .iter()
                .copied()
                .filter(|kept| kept != dropped)
                .collect();
            let changed = format!(
                "{}{{{}}}{}",
                &expression[..open],
                kept.join(", "),
                &expression[close + 1..]
            );
            found.push((format!("without {dropped} at {open}"), changed));
        }
    }
}

/// Drops each label that is grouped or matched by.
fn groupings(expression: &str, found: &mut Vec<(String, String)>) {
    for keyword in [" by (", "on ("] {
        for (at, _) in expression.match_indices(keyword) {
            let start = at + keyword.len();
            let end = start + expression[start..].find(')').unwrap();
            let list: Vec<&str> = expression[start..end].split(", ").collect();
            for dropped in &list {
                let kept: Vec<&str> = list
                    .iter()
                    .copied()
                    .filter(|kept| kept != dropped)
                    .collect();
                let changed = format!(
                    "{}{}{}",
                    &expression[..start],
                    kept.join(", "),
                    &expression[end..]
                );
                found.push((format!("not{keyword}{dropped}) at {at}"), changed));
            }
        }
    }
}

/// Drops what is on either side of a set operator that stands alone between two lines.
fn clauses(expression: &str, found: &mut Vec<(String, String)>) {
    let lines: Vec<&str> = expression.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let word = line.trim();
        let depth = |lines: &[&str]| -> i64 {
            let text = lines.concat();
            let opened = i64::try_from(text.matches('(').count()).unwrap();
            opened - i64::try_from(text.matches(')').count()).unwrap()
        };
        let operator = ["unless", "and", "or"]
            .into_iter()
            .find(|operator| word == *operator || word.starts_with(&format!("{operator} on (")));
        let Some(operator) = operator else {
            continue;
        };
        // Within brackets, only what is between them and the operator goes.
        let inside = depth(&lines[..index]);
        let first = (0..=index)
            .rev()
            .find(|from| depth(&lines[..*from]) < inside);
        let first = first.map_or(0, |from| from + 1);
        let last = (index + 1..=lines.len()).find(|to| depth(&lines[..*to]) < inside);
        let last = last.map_or(lines.len(), |to| to - 1);
        let before = [&lines[..index], &lines[last..]].concat().join("\n");
        found.push((
            format!("without what follows {operator} on line {index}"),
            before,
        ));
        if operator != "unless" {
            let after = [&lines[..first], &lines[index + 1..]].concat().join("\n");
            found.push((
                format!("without what precedes {operator} on line {index}"),
                after,
            ));
        }
    }
}
