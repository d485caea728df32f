//! Median and median absolute deviation, which up to half of the baseline can be outliers without moving far.

use super::Moments;

/// Makes the median absolute deviation of a normal distribution its standard deviation: 1 / Φ⁻¹(3/4). P. J. Rousseeuw and
/// C. Croux, "Alternatives to the Median Absolute Deviation", 1993.
const MAD_SCALE: f64 = 1.482_602_218_505_602;
/// The same for the mean absolute deviation: √(π/2). B. Iglewicz and D. C. Hoaglin, "How to Detect and Handle Outliers",
/// 1993, take it where more than half of the values are equal, so that the median deviation is 0.
const MEAN_AD_SCALE: f64 = 1.253_314_137_315_500_3;

/// What the robust rule knows of a baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RobustStats {
    pub(crate) moments: Moments,
    /// NaN where there is no point.
    pub(crate) median: f64,
    /// Median distance from the median, not scaled.
    pub(crate) mad: f64,
    /// What a score counts in: the scaled median deviation, or the scaled mean deviation where that is 0.
    pub(crate) deviation: f64,
}

impl RobustStats {
    /// From the values, in any order.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        let moments = Moments::of(&values);
        let center = median(&mut values);
        for value in &mut values {
            *value = (*value - center).abs();
        }
        let mad = median(&mut values);
        let deviation = match mad {
            0.0 => MEAN_AD_SCALE * values.iter().sum::<f64>() / values.len() as f64,
            mad => MAD_SCALE * mad,
        };
        Self { moments, median: center, mad, deviation }
    }
}

/// The middle value, or the mean of the two middle ones; NaN of none. Leaves the values in another order.
fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let even = values.len().is_multiple_of(2);
    let (below, &mut middle, _) = values.select_nth_unstable_by(values.len() / 2, f64::total_cmp);
    if even {
        below.iter().copied().fold(f64::NEG_INFINITY, f64::max).midpoint(middle)
    } else {
        middle
    }
}
