//! The histogram of lateness: quantiles within 1 %, the largest value exact.

use hdrhistogram::Histogram;

/// Lateness of every start, in nanoseconds.
#[derive(Debug)]
pub struct Lateness {
    // Two significant digits: 0.8 % wide buckets, 60 KB in all.
    buckets: Histogram<u64>,
    sum: u128,
    max: u64,
}

/// What a [`Lateness`] says, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// How many starts were counted.
    pub count: u64,
    /// The exact mean.
    pub mean: f64,
    /// The quantiles 0.5, 0.9, 0.99 and 0.999.
    pub quantiles: [f64; 4],
    /// The largest, exact.
    pub max: u64,
}

impl Default for Lateness {
    fn default() -> Self {
        let buckets = Histogram::new_with_bounds(1, i64::MAX as u64, 2)
            .expect("the bounds are constants that the histogram takes");
        Lateness {
            buckets,
            sum: 0,
            max: 0,
        }
    }
}

impl Lateness {
    /// Count one start.
    #[inline]
    pub fn record(&mut self, lateness: u64) {
        self.buckets.saturating_record(lateness);
        self.sum += u128::from(lateness);
        self.max = self.max.max(lateness);
    }

    /// Count what another has counted, too.
    pub fn add(&mut self, other: &Lateness) {
        // Both have the same bounds.
        let _ = self.buckets.add(&other.buckets);
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// Summarise what was counted.
    pub fn summary(&self) -> Summary {
        let count = self.buckets.len();
        if count == 0 {
            return Summary::default();
        }
        let quantiles = [0.5, 0.9, 0.99, 0.999].map(|q| {
            let value = self.buckets.value_at_quantile(q);
            // The middle of the bucket halves the error; never above what was really seen.
            (self.buckets.median_equivalent(value).min(self.max)) as f64
        });
        Summary {
            count,
            mean: self.sum as f64 / count as f64,
            quantiles,
            max: self.max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_one_percent() {
        let mut lateness = Lateness::default();
        for value in 1..=100_000u64 {
            lateness.record(value * 37);
        }
        let summary = lateness.summary();
        for (quantile, found) in [0.5, 0.9, 0.99, 0.999].iter().zip(summary.quantiles) {
            let exact = quantile * 3_700_000.0;
            assert!(
                (found - exact).abs() <= exact / 100.0,
                "{quantile}: {found} for {exact}"
            );
        }
        assert_eq!(summary.max, 3_700_000);
        assert_eq!(summary.mean, 37.0 * 50_000.5);
    }
}
