//! What is measured, and how rounds become one figure.
//!
//! Absolute times of one machine mean little on another. So a figure stands against a peer that
//! did the bare work in the same run, round by round in turn, and what counts is the ratio.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a figure must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "value")]
pub(crate) enum Limit {
    /// Ours is at most so many times the peer's, or at most this value where there is no peer.
    AtMost(f64),
    /// Ours is at least so many times the peer's.
    AtLeast(f64),
    /// Only stated.
    Stated,
}

impl Limit {
    /// Whether `value` keeps to it.
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
            Self::Stated => true,
        }
    }

    /// As tables show it.
    pub(crate) fn show(self) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {}", number(limit)),
            Self::AtLeast(limit) => format!("≥ {}", number(limit)),
            Self::Stated => "stated".to_owned(),
        }
    }
}

/// One round: ours, and the peer's where there is one, in the figure's unit.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Round {
    /// Ours.
    pub(crate) ours: f64,
    /// The bare work's.
    pub(crate) peer: Option<f64>,
}

/// One line of the tables.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// What it is held against.
    pub(crate) against: String,
    /// The unit of both.
    pub(crate) unit: String,
    /// What it must keep to.
    pub(crate) limit: Limit,
    /// Every round.
    pub(crate) rounds: Vec<Round>,
}

impl Figure {
    /// A figure against a peer.
    pub(crate) fn against(
        what: impl Into<String>,
        peer: impl Into<String>,
        unit: &'static str,
        limit: Limit,
    ) -> Self {
        Self {
            what: what.into(),
            against: peer.into(),
            unit: unit.to_owned(),
            limit,
            rounds: Vec::new(),
        }
    }

    /// A figure against a fixed limit, measured once.
    pub(crate) fn plain(
        what: impl Into<String>,
        unit: &'static str,
        value: f64,
        limit: Limit,
    ) -> Self {
        Self {
            rounds: vec![Round {
                ours: value,
                peer: None,
            }],
            ..Self::against(what, "–", unit, limit)
        }
    }

    /// Adds a round.
    pub(crate) fn round(&mut self, ours: f64, peer: f64) {
        self.rounds.push(Round {
            ours,
            peer: Some(peer),
        });
    }

    /// The median of ours.
    pub(crate) fn ours(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.ours).collect())
    }

    /// The median of the peer's.
    pub(crate) fn peer(&self) -> Option<f64> {
        let peers: Option<Vec<f64>> = self.rounds.iter().map(|round| round.peer).collect();
        peers.map(median)
    }

    /// Each round's ratio; empty without a peer.
    pub(crate) fn ratios(&self) -> Vec<f64> {
        let ratio = |round: &Round| round.peer.map(|peer| round.ours / peer);
        self.rounds.iter().filter_map(ratio).collect()
    }

    /// What the limit is about: the median ratio, or ours where there is no peer.
    pub(crate) fn judged(&self) -> f64 {
        let ratios = self.ratios();
        if ratios.is_empty() {
            self.ours()
        } else {
            median(ratios)
        }
    }

    /// Whether the limit holds.
    pub(crate) fn holds(&self) -> bool {
        self.limit.holds(self.judged())
    }
}

/// The middle of some values; 0 of none.
pub(crate) fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

/// A quantile by the nearest rank; 0 of none.
pub(crate) fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let index = (share * to_f64(last)).round();
    // Between 0 and the last index, as `share` is between 0 and 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in range"
    )]
    let index = index as usize;
    values.get(index).copied().unwrap_or_default()
}

/// A count as a figure. Exact below 2⁵³.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are small"
)]
pub(crate) fn to_f64(count: usize) -> f64 {
    count as f64
}

/// Milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Three significant digits.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    match text.split_once('.') {
        Some((whole, part)) if part.bytes().all(|digit| digit == b'0') => whole.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_judged_by_the_median_of_its_rounds_ratios() {
        let mut figure = Figure::against("starts", "raw starts", "1/s", Limit::AtLeast(0.95));
        for (ours, peer) in [(98.0, 100.0), (10.0, 100.0), (96.0, 100.0)] {
            figure.round(ours, peer);
        }
        assert!((figure.judged() - 0.96).abs() < 1e-9);
        assert!(figure.holds());
        assert!((figure.ours() - 96.0).abs() < 1e-9);
    }

    #[test]
    fn a_figure_without_a_peer_is_judged_by_its_value() {
        assert!(!Figure::plain("memory", "MiB", 41.0, Limit::AtMost(40.0)).holds());
        assert!(Figure::plain("memory", "MiB", 40.0, Limit::AtMost(40.0)).holds());
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(values.clone(), 0.99).to_string(), "99");
        assert_eq!(quantile(values, 0.0).to_string(), "1");
        assert_eq!(quantile(Vec::new(), 0.5).to_string(), "0");
    }

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.0, 0.1234, 1.0, 1.256, 12.34, 1234.5].map(number);
        assert_eq!(shown, ["0", "0.123", "1", "1.26", "12.3", "1234"]);
    }
}
