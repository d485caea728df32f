//! The median and the median absolute deviation. They do not move far even if up to half of the
//! baseline are outliers.

use super::Moments;

/// The factor from the median absolute deviation of a normal distribution to its standard
/// deviation: 1 / Φ⁻¹(3/4). See P. J. Rousseeuw and C. Croux, "Alternatives to the Median Absolute
/// Deviation", 1993.
const MAD_SCALE: f64 = 1.482_602_218_505_602;
/// The factor from the mean absolute deviation to the standard deviation: √(π/2). It is used when
/// more than half of the values are equal, so that the median absolute deviation is 0. See
/// B. Iglewicz and D. C. Hoaglin, "How to Detect and Handle Outliers", 1993.
const MEAN_AD_SCALE: f64 = 1.253_314_137_315_500_3;

/// The baseline of the robust rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RobustStats {
    pub(crate) moments: Moments,
    /// NaN if there are no points.
    pub(crate) median: f64,
    /// The median absolute deviation from the median, not scaled.
    pub(crate) mad: f64,
    /// The unit of a score: the scaled median absolute deviation, or if that is 0 the scaled mean
    /// absolute deviation.
    pub(crate) deviation: f64,
}

impl RobustStats {
    /// Returns the baseline of values in any order.
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

/// Returns the middle value, or the mean of the two middle values; NaN for no values. Reorders the
/// values.
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
