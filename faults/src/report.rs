//! The figures of a run, as JSON and as the tables of `docs/reliability.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use testkit::fault::Kind;

use crate::outcome::{Outcome, Verdict};
use crate::plan::{Plan, program_name};

/// Everything that one run found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// When.
    pub date: String,
    /// The seed.
    pub seed: u64,
    /// How long the run took, in seconds.
    pub took: f64,
    /// What became of each plan.
    pub outcomes: Vec<Outcome>,
}

const BEGIN: &str = "<!-- figures: written by `actcore-faults`, from here -->";
const END: &str = "<!-- to here -->";

impl Report {
    /// Replaces what stands between the markers of a document.
    pub fn replace_figures(&self, document: &str) -> Result<String> {
        let begin = document.find(BEGIN).context("the document has no marker")? + BEGIN.len();
        let end = document
            .find(END)
            .context("the document has no end marker")?;
        anyhow::ensure!(begin <= end, "the markers are in the wrong order");
        Ok(format!(
            "{}\n\n{}\n{}",
            &document[..begin],
            self.figures(),
            &document[end..]
        ))
    }

    /// The tables.
    pub fn figures(&self) -> String {
        let mut text = String::new();
        let run: Vec<&Outcome> = self.of(|_| true);
        let reached = run
            .iter()
            .filter(|outcome| outcome.verdict != Verdict::NotReached)
            .count();
        let diverged = self.of(|outcome| outcome.verdict == Verdict::Diverged);
        let broken = self.of(|outcome| outcome.verdict == Verdict::Broken);
        let compared: usize = run.iter().map(|outcome| outcome.statuses_compared).sum();
        let restarts: usize = run.iter().map(|outcome| outcome.restarts).sum();
        // Writing to a text can't fail.
        let _ = writeln!(
            text,
            "Run on {}, seed {}, {:.0} minutes.\n\n| | |\n| --- | --- |\n\
             | plans run | {} |\n\
             | of these, whose call came and was struck | {reached} |\n\
             | divergences | {} |\n\
             | plans that the harness could not finish | {} |\n\
             | programs started anew | {restarts} |\n\
             | statuses with `Ready=True` compared with the world | {compared} |\n",
            self.date,
            self.seed,
            self.took / 60.0,
            run.len(),
            diverged.len(),
            broken.len(),
        );
        text.push_str(&self.by_kind());
        text.push_str(&self.by("workload", |plan| {
            format!("`{}` ({})", plan.workload, program_name(plan.program))
        }));
        text.push_str(&self.by("server", |plan| {
            let fault = plan.faults.first();
            fault.map_or_else(|| "none".to_owned(), |fault| fault.server.to_string())
        }));
        text.push_str(&Self::open(&diverged, &broken));
        text
    }

    fn of(&self, which: impl Fn(&Outcome) -> bool) -> Vec<&Outcome> {
        self.outcomes
            .iter()
            .filter(|outcome| which(outcome))
            .collect()
    }

    fn by_kind(&self) -> String {
        self.by("fault", |plan| match plan.faults.as_slice() {
            [fault] => {
                let position = Kind::ALL.iter().position(|kind| *kind == fault.kind);
                // In the order of the kinds, not of their letters.
                format!("{:02}`{}`", position.unwrap_or_default(), fault.kind)
            }
            [] => "98none".to_owned(),
            _ => "99two faults".to_owned(),
        })
    }

    fn by(&self, heading: &str, key: impl Fn(&Plan) -> String) -> String {
        let mut groups: BTreeMap<String, Vec<&Outcome>> = BTreeMap::new();
        for outcome in &self.outcomes {
            if let Ok(plan) = outcome.plan.parse::<Plan>() {
                groups.entry(key(&plan)).or_default().push(outcome);
            }
        }
        let mut text = format!(
            "| {heading} | plans | struck | divergences | converged after: p50 | p99 | max |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        );
        for (name, outcomes) in groups {
            let count = |verdict: Verdict| {
                let of = outcomes.iter().filter(|outcome| outcome.verdict == verdict);
                of.count()
            };
            let struck = outcomes.len() - count(Verdict::NotReached);
            let times = times(&outcomes);
            let _ = writeln!(
                text,
                "| {} | {} | {struck} | {} | {} | {} | {} |",
                name.trim_start_matches(|letter: char| letter.is_ascii_digit()),
                outcomes.len(),
                count(Verdict::Diverged),
                percentile(&times, 50),
                percentile(&times, 99),
                percentile(&times, 100),
            );
        }
        text.push('\n');
        text
    }

    fn open(diverged: &[&Outcome], broken: &[&Outcome]) -> String {
        let mut text = String::new();
        for outcome in diverged.iter().chain(broken) {
            let problem = outcome.problems.first().map_or("", String::as_str);
            let problem: String = problem.chars().take(300).collect();
            let _ = writeln!(text, "- `{}`: {problem}", outcome.plan);
        }
        if !text.is_empty() {
            text.insert_str(0, "Divergences of this run:\n\n");
        }
        text
    }
}

fn times(outcomes: &[&Outcome]) -> Vec<f64> {
    let converged = outcomes
        .iter()
        .filter(|outcome| outcome.verdict == Verdict::Converged);
    let mut times: Vec<f64> = converged
        .filter_map(|outcome| outcome.converged_after)
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The smallest time that so many of a hundred do not exceed.
fn percentile(times: &[f64], hundredths: usize) -> String {
    let rank = (times.len() * hundredths).div_ceil(100).max(1);
    times
        .get(rank - 1)
        .map_or_else(|| "–".to_owned(), |time| format!("{time:.1} s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(percentile(&times, 50), "100.0 s");
        assert_eq!(percentile(&times, 99), "198.0 s");
        assert_eq!(percentile(&times, 100), "200.0 s");
        assert_eq!(percentile(&[], 50), "–");
    }

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let document = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let replaced = Report::default().replace_figures(&document).unwrap();
        assert!(replaced.starts_with("before\n") && replaced.ends_with("\nafter\n"));
        assert!(!replaced.contains("old"));
    }
}
