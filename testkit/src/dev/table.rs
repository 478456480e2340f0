//! Two columns for people.

use std::fmt::Display;

/// The rows, the second column aligned.
pub fn table(rows: impl IntoIterator<Item = (impl Display, impl Display)>) -> String {
    let rows: Vec<(String, String)> = rows
        .into_iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let lines = rows
        .iter()
        .map(|(name, value)| format!("  {name:<width$}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}
