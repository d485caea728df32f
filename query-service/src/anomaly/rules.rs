//! The rules that decide whether a point is an anomaly. Pure arithmetic.

mod moments;
mod robust;
mod seasonal;

use shared::proto::v1::{AnomalyDirection, BaselineState};

pub(crate) use moments::{Moments, within};
pub(crate) use robust::RobustStats;
pub(crate) use seasonal::{HOURS_OF_WEEK, HourlyJudges, hour_of_week};

/// A judge of points, derived from a baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judge {
    pub(crate) state: BaselineState,
    pub(crate) expected: f64,
    /// Values in [lower, upper] are no anomalies.
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    /// The unit of a score.
    deviation: f64,
}

impl Judge {
    /// Returns the judge of the z-score rule: bounds at `threshold` sample standard deviations
    /// around the mean.
    pub(crate) fn z_score(baseline: &Moments, threshold: f64, min_count: u64) -> Self {
        Self::around(baseline, baseline.mean, baseline.stddev(), threshold, min_count)
    }

    /// Returns the judge of the robust rule: bounds at `threshold` deviations around the median. A
    /// few outliers in the baseline do not move the median.
    pub(crate) fn robust(baseline: &RobustStats, threshold: f64, min_count: u64) -> Self {
        Self::around(&baseline.moments, baseline.median, baseline.deviation, threshold, min_count)
    }

    /// Returns a judge with bounds at `threshold` deviations around `expected`. If all values of
    /// the baseline are equal, that value is both bounds. With fewer than `min_count` points,
    /// nothing is judged. Bounds and scores are never NaN. If a deviation exceeds the range of a
    /// double, no value is outside the bounds.
    fn around(
        baseline: &Moments,
        expected: f64,
        deviation: f64,
        threshold: f64,
        min_count: u64,
    ) -> Self {
        let &Moments { count, min, max, .. } = baseline;
        if count < min_count.max(2) {
            return Self {
                state: BaselineState::Insufficient,
                expected,
                lower: f64::NEG_INFINITY,
                upper: f64::INFINITY,
                deviation,
            };
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
            _ => (f64::NEG_INFINITY, f64::INFINITY), // NaN: infinity minus infinity
        };
        Self { state: BaselineState::Sufficient, expected, lower, upper, deviation }
    }

    /// Returns whether the baseline has enough points to judge by.
    pub(crate) fn judges(&self) -> bool {
        self.state != BaselineState::Insufficient
    }

    /// Returns the score and the direction of a value outside the bounds, or `None` for a value
    /// within them. The score is never negative or NaN. It is infinite if the baseline has no
    /// spread.
    pub(crate) fn judge(&self, value: f64) -> Option<(f64, AnomalyDirection)> {
        let direction = if value > self.upper {
            AnomalyDirection::High
        } else if value < self.lower {
            AnomalyDirection::Low
        } else {
            return None;
        };
        // Halved, because the difference of two finite values may be infinite.
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
