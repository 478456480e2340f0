//! The figures of a run, as JSON and as the tables of `docs/reliability.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use testkit::fault::Kind;

use crate::definitions::{self, DEFINITIONS, Operation};
use crate::outages::OUTAGES;
use crate::outcome::{Outcome, Verdict};
use crate::plan::{Plan, program_name};
use crate::planted::{self, Found, PLANTED};
use crate::results;

/// Everything that was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What became of each plan with faults on the wire.
    pub outcomes: Vec<Outcome>,
    /// How many of these plans diverged once, and no longer do.
    pub mended: usize,
    /// What became of each outage.
    pub outages: Vec<Outcome>,
    /// What became of each change of a definition.
    pub operations: Vec<Operation>,
    /// Whether each planted bug was found.
    pub planted: Vec<Found>,
}

const BEGIN: &str = "<!-- figures: written by `actcore-faults`, from here -->";
const END: &str = "<!-- to here -->";

impl Report {
    /// Everything that a folder keeps.
    pub fn read(folder: &Path) -> Result<Self> {
        let on_the_wire: Vec<Outcome> = results::read(folder, results::WIRE)?;
        Ok(Self {
            mended: results::mended(&on_the_wire),
            outcomes: results::latest(on_the_wire),
            outages: results::outcomes(folder, OUTAGES)?,
            operations: results::read(folder, DEFINITIONS)?,
            planted: planted::latest(results::read(folder, PLANTED)?),
        })
    }

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
        let times = times(&run);
        // Writing to a text can't fail.
        let _ = writeln!(
            text,
            "Last run on {}; {:.0} hours of one lane.\n\n| | |\n| --- | --- |\n\
             | plans run | {} |\n\
             | of these, whose call came and was struck | {reached} |\n\
             | divergences | {} |\n\
             | plans that diverged once, and no longer do | {} |\n\
             | plans that the harness could not finish | {} |\n\
             | converged after: p50 · p99 · max | {} · {} · {} |\n\
             | programs started anew | {restarts} |\n\
             | statuses with `Ready=True` compared with the world | {compared} |\n",
            self.date(),
            run.iter().map(|outcome| outcome.took).sum::<f64>() / 3600.0,
            run.len(),
            diverged.len(),
            self.mended,
            broken.len(),
            percentile(&times, 50),
            percentile(&times, 99),
            percentile(&times, 100),
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
        text.push_str(&self.outages());
        if !self.operations.is_empty() {
            text.push_str("Every field of a definition, changed to right and wrong values:\n\n");
            text.push_str(&definitions::figures(&self.operations));
        }
        if !self.planted.is_empty() {
            text.push('\n');
            text.push_str(&planted::figures(&self.planted));
        }
        text
    }

    /// The day of the last plan.
    fn date(&self) -> String {
        let last = self.outcomes.iter().map(|outcome| outcome.at).max();
        let last = last.and_then(|at| chrono::DateTime::from_timestamp(at, 0));
        last.map_or_else(|| "–".to_owned(), |last| last.format("%F").to_string())
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

    fn outages(&self) -> String {
        let mut text = String::new();
        for outcome in &self.outages {
            let after = outcome.converged_after;
            let after = match (outcome.verdict, after) {
                (Verdict::Converged, Some(after)) => format!("{after:.1} s"),
                _ => "**diverged**".to_owned(),
            };
            let Outcome { plan, restarts, .. } = outcome;
            let _ = writeln!(text, "| `{plan}` | {after} | {restarts} |");
        }
        if !text.is_empty() {
            text.insert_str(
                0,
                "Servers and programs that went and came back:\n\n\
                 | outage | converged after its end | programs started anew |\n\
                 | --- | ---: | ---: |\n",
            );
            text.push('\n');
        }
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
pub(crate) fn percentile(times: &[f64], hundredths: usize) -> String {
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
