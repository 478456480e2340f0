//! The chart's rules with all their times shortened by one factor.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The units of Prometheus's durations, in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
    ("y", 31_536_000_000),
];

/// Divides every waiting time and every range of a file of rules.
pub(crate) fn shorten(file: &mut Value, factor: u64) -> Result<()> {
    let groups = file["groups"].as_array_mut().context("no groups")?;
    for group in groups {
        for rule in group["rules"].as_array_mut().context("no rules")? {
            for key in ["for", "keep_firing_for"] {
                if let Some(time) = rule[key].as_str() {
                    rule[key] = shorter(time, factor)?.into();
                }
            }
            let expression = rule["expr"].as_str().context("no expression")?;
            rule["expr"] = shorten_expression(expression, factor)?.into();
        }
    }
    Ok(())
}

/// Divides what stands between brackets or after `offset`.
fn shorten_expression(expression: &str, factor: u64) -> Result<String> {
    let mut shortened = String::new();
    let mut rest = expression;
    loop {
        let range = rest.find('[').map(|start| start + 1);
        let offset = rest.find("offset ").map(|start| start + "offset ".len());
        let Some(start) = range.into_iter().chain(offset).min() else {
            break;
        };
        let (before, after) = rest.split_at(start);
        let end = after
            .find(|letter: char| !letter.is_ascii_alphanumeric())
            .unwrap_or(after.len());
        let (time, after) = after.split_at(end);
        shortened.push_str(before);
        shortened.push_str(&shorter(time, factor)?);
        rest = after;
    }
    shortened.push_str(rest);
    Ok(shortened)
}

fn shorter(time: &str, factor: u64) -> Result<String> {
    Ok(format!("{}ms", milliseconds(time)? / factor))
}

/// A duration of one number and one unit, which is all that the rules have.
fn milliseconds(time: &str) -> Result<u64> {
    let digits = time.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = time.strip_prefix(digits).unwrap_or_default();
    let number: u64 = digits
        .parse()
        .with_context(|| format!("{time} is no duration"))?;
    let (_, length) = UNITS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .with_context(|| format!("{time} has no unit"))?;
    Ok(number * length)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_time_is_divided_and_nothing_else() {
        let mut file = json!({"groups": [{"rules": [{
            "alert": "A",
            "expr": "increase(a_total[30m]) > 2.5 unless b{c=\"5m\"} offset 15m",
            "for": "5m",
            "keep_firing_for": "1h",
            "labels": {"severity": "critical"},
        }]}]});
        shorten(&mut file, 20).unwrap();
        assert_eq!(
            file["groups"][0]["rules"][0],
            json!({
                "alert": "A",
                "expr": "increase(a_total[90000ms]) > 2.5 unless b{c=\"5m\"} offset 45000ms",
                "for": "15000ms",
                "keep_firing_for": "180000ms",
                "labels": {"severity": "critical"},
            })
        );
    }

    #[test]
    fn what_is_no_duration_is_told() {
        assert!(milliseconds("5x").is_err());
        assert!(milliseconds("m").is_err());
        assert_eq!(milliseconds("3d").unwrap(), 259_200_000);
    }
}
