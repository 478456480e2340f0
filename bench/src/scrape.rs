//! Reads Prometheus metrics of programs that are measured.

use anyhow::Result;

use crate::figures::to_f64;

/// One reading of `/metrics`.
#[derive(Debug, Clone)]
pub(crate) struct Scrape {
    text: String,
}

impl From<String> for Scrape {
    fn from(text: String) -> Self {
        Self { text }
    }
}

impl Scrape {
    /// Reads `url`.
    pub(crate) async fn of(url: &str) -> Result<Self> {
        let text = reqwest::get(url).await?.error_for_status()?.text().await?;
        Ok(Self { text })
    }

    /// The sum of a metric's series that have all of `labels` (as `name="value"`).
    pub(crate) fn sum(&self, metric: &str, labels: &[&str]) -> f64 {
        self.series(metric, labels).map(|(_, value)| value).sum()
    }

    fn series<'a>(
        &'a self,
        metric: &'a str,
        labels: &'a [&str],
    ) -> impl Iterator<Item = (&'a str, f64)> + 'a {
        self.text.lines().filter_map(move |line| {
            let rest = line.strip_prefix(metric)?;
            if !rest.starts_with(['{', ' ']) {
                return None;
            }
            let (set, value) = rest.rsplit_once(' ')?;
            let fits = labels.iter().all(|label| set.contains(label));
            fits.then_some(())?;
            Some((set, value.parse().ok()?))
        })
    }

    /// A histogram, over all of its series.
    pub(crate) fn histogram(&self, metric: &str) -> Histogram {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (set, count) in self.series(&format!("{metric}_bucket"), &[]) {
            let bound = set
                .split("le=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            let Some(bound) = bound.and_then(|bound| bound.parse::<f64>().ok()) else {
                continue;
            };
            match buckets
                .iter_mut()
                .find(|(other, _)| other.total_cmp(&bound).is_eq())
            {
                Some((_, sum)) => *sum += count,
                None => buckets.push((bound, count)),
            }
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        Histogram { buckets }
    }
}

/// How many values were at most so large.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    /// By their bounds, in ascending order: the cumulative counts.
    buckets: Vec<(f64, f64)>,
}

impl Histogram {
    /// What was counted since `before`, which is the same histogram earlier.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let buckets = self.buckets.iter().map(|(bound, count)| {
            let same = |(other, _): &&(f64, f64)| other.total_cmp(bound).is_eq();
            let earlier = before.buckets.iter().find(same);
            (*bound, count - earlier.map_or(0.0, |(_, count)| *count))
        });
        Self {
            buckets: buckets.collect(),
        }
    }

    /// Other values in the same buckets, so that both are known as exactly.
    pub(crate) fn alike(&self, values: &[f64]) -> Self {
        let buckets = self.buckets.iter().map(|(bound, _)| {
            let count = values.iter().filter(|value| *value <= bound).count();
            (*bound, to_f64(count))
        });
        Self {
            buckets: buckets.collect(),
        }
    }

    /// A quantile: linear inside of a bucket, as Prometheus' `histogram_quantile` has it; the
    /// highest finite bound when it lies beyond.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let rank = share * self.buckets.last().map_or(0.0, |(_, count)| *count);
        let mut below = (0.0, 0.0);
        for &(bound, count) in &self.buckets {
            if bound.is_infinite() {
                break;
            }
            if count >= rank && count > below.1 {
                return below.0 + (bound - below.0) * (rank - below.1) / (count - below.1);
            }
            below = (bound, count);
        }
        below.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(text: &str) -> Scrape {
        Scrape {
            text: text.to_owned(),
        }
    }

    #[test]
    fn series_are_added_up_by_their_labels() {
        let scrape = scrape(
            "calls{operation=\"a\",x=\"1\"} 2\ncalls{operation=\"b\"} 3\ncalls_other 9\ncalls 1\n",
        );
        assert_eq!(scrape.sum("calls", &[]).to_string(), "6");
        assert_eq!(scrape.sum("calls", &["operation=\"a\""]).to_string(), "2");
    }

    #[test]
    fn a_quantile_counts_only_what_came_since() {
        let before =
            scrape("t_bucket{le=\"1\"} 100\nt_bucket{le=\"2\"} 100\nt_bucket{le=\"+Inf\"} 100\n");
        let after =
            scrape("t_bucket{le=\"1\"} 100\nt_bucket{le=\"2\"} 110\nt_bucket{le=\"+Inf\"} 110\n");
        let since = after.histogram("t").since(&before.histogram("t"));
        let half = since.quantile(0.5);
        assert!((half - 1.5).abs() < 1e-9, "{half}");
        let others = since.alike(&[1.1, 1.2, 1.9]).quantile(0.5);
        assert!((others - half).abs() < 1e-9, "{others}");
    }
}
