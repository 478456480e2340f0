//! The figures as JSON, as the tables of `docs/performance.md`, and as a plot.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use crate::benchmarks::Benchmark;
use crate::figures::{Figure, Limit, number, quantile};

/// The figures as data.
const JSON: &str = "performance.json";

/// Where the tables stand in the document.
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// The height of one bar of the plot, in pixels.
const BAR: u32 = 34;

/// What the benchmarks found, each when it was run last.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// What was measured, by subject.
    pub(crate) subjects: Vec<Subject>,
}

/// One subject with its figures.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// Which.
    pub(crate) benchmark: Benchmark,
    /// When, as a date.
    pub(crate) date: String,
    /// On what.
    pub(crate) machine: String,
    /// Its figures.
    pub(crate) figures: Vec<Figure>,
}

impl Report {
    /// What is written already; nothing where there is nothing.
    pub(crate) fn read(documents: &Path) -> Result<Self> {
        let path = documents.join(JSON);
        if !path.exists() {
            return Ok(Self::default());
        }
        let json = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&json).with_context(|| format!("parse {}", path.display()))
    }

    /// Puts a subject in the place of its earlier figures.
    pub(crate) fn enter(&mut self, subject: Subject) {
        self.subjects
            .retain(|one| one.benchmark != subject.benchmark);
        self.subjects.push(subject);
        let place = |one: &Subject| Benchmark::ALL.iter().position(|all| *all == one.benchmark);
        self.subjects.sort_by_key(place);
    }

    /// Writes the JSON, and replaces the tables and the plot of the document.
    pub(crate) fn write(&self, documents: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        fs::write(documents.join(JSON), json + "\n")?;
        let path = documents.join("performance.md");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let (before, rest) = text.split_once(BEGIN).context("no place for the tables")?;
        let (_, after) = rest.split_once(END).context("no end of the tables")?;
        let text = format!("{before}{BEGIN}\n{}{END}{after}", self.tables());
        fs::write(&path, text)?;
        fs::create_dir_all(documents.join("images"))?;
        self.plot(&documents.join("images/performance.svg"))
    }

    /// The tables in Markdown.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::new();
        for subject in &self.subjects {
            // Writing to a String can't fail.
            let _ = writeln!(
                text,
                "\n### {}\n\nMeasured on {}, {}.\n\n| what | ours | against | peer | ratio (spread) | limit | |\n\
                 | --- | ---: | --- | ---: | ---: | ---: | --- |",
                subject.benchmark.title(),
                subject.date,
                subject.machine,
            );
            for figure in &subject.figures {
                let _ = writeln!(text, "{}", line(figure));
            }
        }
        text.push('\n');
        text
    }

    /// Each ratio beside its limit, as bars.
    fn plot(&self, path: &Path) -> Result<()> {
        let bars: Vec<(&Figure, f64)> = self
            .subjects
            .iter()
            .flat_map(|subject| &subject.figures)
            .filter_map(|figure| Some((figure, share_of_limit(figure)?)))
            .collect();
        let height = BAR * u32::try_from(bars.len())? + 60;
        let area = SVGBackend::new(path, (980, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let label = ("sans-serif", 13).into_font().color(&BLACK);
        let widest = 1.5;
        let (left, width) = (560, 380.0);
        #[expect(clippy::cast_possible_truncation, reason = "pixels of a picture")]
        let x = |value: f64| left + (value.min(widest) / widest * width).round() as i32;
        let title = "Share of the limit that is used (left of the line: kept)";
        area.draw(&Text::new(title, (20, 14), &label))?;
        for (index, (figure, share)) in bars.iter().enumerate() {
            let top = 44 + i32::try_from(index)? * i32::try_from(BAR)?;
            area.draw(&Text::new(figure.what.as_str(), (20, top + 4), &label))?;
            let color = if *share <= 1.0 {
                RGBColor(46, 125, 50)
            } else {
                RGBColor(198, 40, 40)
            };
            let bar = [(left, top), (x(*share), top + 20)];
            area.draw(&Rectangle::new(bar, color.filled()))?;
            area.draw(&Text::new(number(*share), (x(*share) + 6, top + 4), &label))?;
        }
        let bottom = i32::try_from(height)? - 16;
        area.draw(&PathElement::new([(x(1.0), 36), (x(1.0), bottom)], BLACK))?;
        area.present()?;
        Ok(())
    }
}

/// How much of its limit a figure uses: 1 is just kept.
fn share_of_limit(figure: &Figure) -> Option<f64> {
    match figure.limit {
        Limit::AtMost(limit) if limit > 0.0 => Some(figure.judged() / limit),
        Limit::AtLeast(limit) => Some(limit / figure.judged()),
        Limit::AtMost(_) | Limit::Stated => None,
    }
}

fn line(figure: &Figure) -> String {
    let ratios = figure.ratios();
    let ratio = if ratios.is_empty() {
        "–".to_owned()
    } else {
        format!(
            "{} ({}–{})",
            number(figure.judged()),
            number(quantile(ratios.clone(), 0.0)),
            number(quantile(ratios, 1.0))
        )
    };
    let unit = &figure.unit;
    let peer = figure
        .peer()
        .map_or_else(|| "–".to_owned(), |peer| format!("{} {unit}", number(peer)));
    let verdict = match (figure.limit, figure.holds()) {
        (Limit::Stated, _) => "",
        (_, true) => "kept",
        (_, false) => "**missed**",
    };
    format!(
        "| {} | {} {unit} | {} | {peer} | {ratio} | {} | {verdict} |",
        figure.what,
        number(figure.ours()),
        figure.against,
        figure.limit.show(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_was_kept_and_what_was_missed() {
        let mut kept = Figure::against("starts", "raw", "1/s", Limit::AtLeast(0.95));
        kept.round(96.0, 100.0);
        let missed = Figure::plain("memory", "MiB", 41.0, Limit::AtMost(40.0));
        assert!(
            line(&kept).ends_with("| ≥ 0.950 | kept |"),
            "{}",
            line(&kept)
        );
        assert!(
            line(&missed).ends_with("| ≤ 40 | **missed** |"),
            "{}",
            line(&missed)
        );
    }
}
