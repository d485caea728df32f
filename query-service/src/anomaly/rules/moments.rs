//! The count, mean and spread of points. Those of two parts combine to those of the whole.

/// The count, mean, spread and range of the values of a baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moments {
    pub(crate) count: u64,
    /// NaN if there are no points.
    pub(crate) mean: f64,
    /// The sum of squared deviations from the mean.
    squares: f64,
    /// Infinity if there are no points, so that any value is smaller.
    pub(crate) min: f64,
    /// Negative infinity if there are no points.
    pub(crate) max: f64,
}

impl Moments {
    pub(crate) const EMPTY: Self =
        Self { count: 0, mean: f64::NAN, squares: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY };

    /// Returns the moments from the columns of a rollup. `variance` is the population variance.
    pub(crate) fn new(count: u64, sum: f64, min: f64, max: f64, variance: f64) -> Self {
        if count == 0 {
            return Self::EMPTY;
        }
        let n = count as f64;
        let (mean, squares) = if min == max {
            (min, 0.0)
        } else {
            (within(sum / n, min, max), (variance * n).max(0.0))
        };
        Self { count, mean, squares, min, max }
    }

    /// Returns the moments of values, computed in two passes.
    pub(crate) fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().map(|value| value / n).sum::<f64>(); // the sum itself may overflow
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match values {
            [] => Self::EMPTY,
            _ if min == max => {
                Self { count: values.len() as u64, mean: min, squares: 0.0, min, max }
            }
            _ => {
                Self { count: values.len() as u64, mean: within(mean, min, max), squares, min, max }
            }
        }
    }

    /// Combines the moments of two parts, by the pairwise formula of Chan, Golub and LeVeque
    /// (1983). The database function `combine_variance` uses the same formula.
    pub(crate) fn combine(self, other: Self) -> Self {
        if self.count == 0 {
            return other;
        }
        if other.count == 0 {
            return self;
        }
        let count = self.count + other.count;
        let min = self.min.min(other.min);
        let max = self.max.max(other.max);
        if min == max {
            return Self { count, mean: min, squares: 0.0, min, max };
        }
        let share = other.count as f64 / count as f64;
        let distance = other.mean - self.mean;
        let squares =
            self.squares + other.squares + distance * distance * share * self.count as f64;
        let mean = match self.mean + distance * share {
            mean if mean.is_finite() => mean,
            // The difference of two finite means may be infinite.
            _ => self.mean * (1.0 - share) + other.mean * share,
        };
        Self { count, mean: within(mean, min, max), squares, min, max }
    }

    /// Returns the population variance; NaN if there are no points.
    pub(crate) fn variance(&self) -> f64 {
        self.squares / self.count as f64
    }

    /// Returns the sample standard deviation; NaN for fewer than two points.
    pub(crate) fn stddev(&self) -> f64 {
        if self.count < 2 { f64::NAN } else { (self.squares / (self.count - 1) as f64).sqrt() }
    }
}

/// Clamps a mean to the range of its values, which rounding may exceed. A NaN bound is ignored.
pub(crate) fn within(mean: f64, min: f64, max: f64) -> f64 {
    mean.max(min).min(max)
}
