//! The rules by which a point stands out. Pure arithmetic.

mod moments;
mod robust;
mod seasonal;

use shared::proto::v1::{AnomalyDirection, BaselineState};

pub(crate) use moments::{Moments, within};
pub(crate) use robust::RobustStats;
pub(crate) use seasonal::{HOURS_OF_WEEK, HourlyJudges, hour_of_week};

/// Judges points against a baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judge {
    pub(crate) state: BaselineState,
    pub(crate) expected: f64,
    /// What lies in [lower, upper] is no anomaly.
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    /// What a score counts in.
    deviation: f64,
}

impl Judge {
    /// The z-score rule: bounds at `threshold` sample standard deviations around the mean.
    pub(crate) fn z_score(baseline: &Moments, threshold: f64, min_count: u64) -> Self {
        Self::around(baseline, baseline.mean, baseline.stddev(), threshold, min_count)
    }

    /// The robust rule: bounds at `threshold` deviations around the median, which few outliers in the baseline do not move.
    pub(crate) fn robust(baseline: &RobustStats, threshold: f64, min_count: u64) -> Self {
        Self::around(&baseline.moments, baseline.median, baseline.deviation, threshold, min_count)
    }

    /// A baseline whose values are all equal has that value as both bounds; one with fewer than `min_count` points judges
    /// nothing. Bounds and scores are never NaN, however large the values: where a deviation does not fit into a double,
    /// nothing lies outside.
    fn around(
        baseline: &Moments,
        expected: f64,
        deviation: f64,
        threshold: f64,
        min_count: u64,
    ) -> Self {
        let &Moments { count, min, max, .. } = baseline;
        if count < min_count.max(2) {
            let (lower, upper) = (f64::NEG_INFINITY, f64::INFINITY);
            return Self { state: BaselineState::Insufficient, expected, lower, upper, deviation };
        }
        if min == max {
            return Self {
                state: BaselineState::NoSpread,
                expected: min,
                lower: min,
                upper: max,
                deviation: 0.0,
            };
        }
        let reach = threshold * deviation;
        let (lower, upper) = match (expected - reach, expected + reach) {
            (lower, upper) if lower <= upper => (lower, upper),
            _ => (f64::NEG_INFINITY, f64::INFINITY), // NaN: infinity less infinity
        };
        Self { state: BaselineState::Sufficient, expected, lower, upper, deviation }
    }

    /// Whether there was enough to judge by.
    pub(crate) fn judges(&self) -> bool {
        self.state != BaselineState::Insufficient
    }

    /// Score and direction of a value outside the bounds; none within. The score is never negative and never NaN, and
    /// infinite where the baseline has no spread.
    pub(crate) fn judge(&self, value: f64) -> Option<(f64, AnomalyDirection)> {
        let direction = if value > self.upper {
            AnomalyDirection::High
        } else if value < self.lower {
            AnomalyDirection::Low
        } else {
            return None;
        };
        // Halved, for the distance of two finite values need not be one.
        let half_distance = (value / 2.0 - self.expected / 2.0).abs();
        let score = if self.deviation == 0.0 {
            f64::INFINITY
        } else {
            half_distance / self.deviation * 2.0
        };
        Some((if score.is_nan() { f64::INFINITY } else { score }, direction))
    }
}

#[cfg(test)]
mod tests;
