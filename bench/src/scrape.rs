//! Reads Prometheus metrics of programs that are measured.

use anyhow::Result;

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

    /// A quantile of what a histogram counted since `before`: linear inside of a bucket, as
    /// Prometheus' `histogram_quantile` has it; the highest finite bound when it lies beyond.
    pub(crate) fn quantile_since(&self, before: &Self, metric: &str, share: f64) -> f64 {
        let earlier = before.buckets(metric);
        let buckets = self.buckets(metric).into_iter().map(|(bound, count)| {
            let same = earlier
                .iter()
                .find(|(other, _)| other.total_cmp(&bound).is_eq());
            (bound, count - same.map_or(0.0, |(_, count)| *count))
        });
        let buckets: Vec<(f64, f64)> = buckets.collect();
        let rank = share * buckets.last().map_or(0.0, |(_, count)| *count);
        let mut below = (0.0, 0.0);
        for (bound, count) in buckets {
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

    /// The cumulative counts of a histogram by bound, over all of its series.
    fn buckets(&self, metric: &str) -> Vec<(f64, f64)> {
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
        buckets
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
        let half = after.quantile_since(&before, "t", 0.5);
        assert!((half - 1.5).abs() < 1e-9, "{half}");
    }
}
