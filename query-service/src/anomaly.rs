//! The rules by which a point stands out. Pure arithmetic.

use shared::proto::v1::{AnomalyDirection, BaselineState};

/// What is known of a baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BaselineStats {
    pub(crate) count: u64,
    /// NaN where there is no point.
    pub(crate) mean: f64,
    /// Sample standard deviation; NaN below two points.
    pub(crate) stddev: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl BaselineStats {
    /// From what the rollup keeps: count, sum, smallest, largest, population variance.
    pub(crate) fn new(count: u64, sum: f64, min: f64, max: f64, variance: f64) -> Self {
        let n = count as f64;
        let mean = if min == max { min } else { sum / n };
        let stddev = if count < 2 { f64::NAN } else { (variance * n / (n - 1.0)).max(0.0).sqrt() };
        Self { count, mean, stddev, min, max }
    }

    pub(crate) const EMPTY: Self = Self { count: 0, mean: f64::NAN, stddev: f64::NAN, min: f64::NAN, max: f64::NAN };
}

/// Judges points against a baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judge {
    pub(crate) state: BaselineState,
    pub(crate) expected: f64,
    /// What lies in [lower, upper] is no anomaly.
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    stddev: f64,
}

impl Judge {
    /// The z-score rule: bounds at `threshold` standard deviations around the mean. A baseline whose values are all equal
    /// has that value as both bounds; one with fewer than `min_count` points judges nothing.
    pub(crate) fn z_score(baseline: &BaselineStats, threshold: f64, min_count: u64) -> Self {
        let BaselineStats { count, mean, stddev, min, max } = *baseline;
        if count < min_count.max(2) {
            let (lower, upper) = (f64::NEG_INFINITY, f64::INFINITY);
            return Self { state: BaselineState::Insufficient, expected: mean, lower, upper, stddev };
        }
        if min == max {
            let state = BaselineState::NoSpread;
            return Self { state, expected: mean, lower: min, upper: max, stddev: 0.0 };
        }
        let reach = threshold * stddev;
        let state = BaselineState::Sufficient;
        Self { state, expected: mean, lower: mean - reach, upper: mean + reach, stddev }
    }

    /// Score and direction of a value outside the bounds; none within. The score is never negative, and infinite where the
    /// baseline has no spread.
    pub(crate) fn judge(&self, value: f64) -> Option<(f64, AnomalyDirection)> {
        let direction = if value > self.upper {
            AnomalyDirection::High
        } else if value < self.lower {
            AnomalyDirection::Low
        } else {
            return None;
        };
        Some(((value - self.expected).abs() / self.stddev, direction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(count: u64, mean: f64, stddev: f64) -> BaselineStats {
        BaselineStats { count, mean, stddev, min: mean - stddev, max: mean + stddev }
    }

    #[test]
    fn what_lies_beyond_the_threshold_stands_out_on_its_side() {
        let judge = Judge::z_score(&baseline(100, 20.0, 2.0), 3.0, 30);
        assert_eq!(judge.state, BaselineState::Sufficient);
        assert_eq!((judge.lower, judge.upper), (14.0, 26.0));
        assert_eq!(judge.judge(26.0), None);
        assert_eq!(judge.judge(30.0), Some((5.0, AnomalyDirection::High)));
        assert_eq!(judge.judge(12.0), Some((4.0, AnomalyDirection::Low)));
    }

    #[test]
    fn too_few_points_judge_nothing() {
        let judge = Judge::z_score(&baseline(29, 20.0, 2.0), 3.0, 30);
        assert_eq!(judge.state, BaselineState::Insufficient);
        assert_eq!(judge.judge(1e300), None);
        assert_eq!(Judge::z_score(&BaselineStats::EMPTY, 3.0, 30).judge(0.0), None);
    }

    #[test]
    fn a_baseline_without_spread_has_its_one_value_as_bounds() {
        // 0.1 summed up a hundred times is not 10: the mean comes from the value, not from the sum.
        let sum = (0..100).fold(0.0, |sum, _| sum + 0.1);
        let judge = Judge::z_score(&BaselineStats::new(100, sum, 0.1, 0.1, 1e-33), 3.0, 30);
        assert_eq!(judge.state, BaselineState::NoSpread);
        assert_eq!(judge.judge(0.1), None);
        assert_eq!(judge.judge(0.2), Some((f64::INFINITY, AnomalyDirection::High)));
    }

    #[test]
    fn the_sample_standard_deviation_comes_from_the_population_variance() {
        let stats = BaselineStats::new(4, 10.0, 1.0, 4.0, 1.25);
        assert_eq!(stats.mean, 2.5);
        assert!((stats.stddev - (5.0_f64 / 3.0).sqrt()).abs() < 1e-15);
        assert!(BaselineStats::new(1, 1.0, 1.0, 1.0, 0.0).stddev.is_nan());
    }
}
