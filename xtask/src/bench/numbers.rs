//! Medians and percentiles, and number formats.

/// Returns the smallest value that is not exceeded by `share` (0 to 1) of all values: the
/// nearest-rank percentile. Returns 0 if there are no values.
pub(super) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let below =
        sorted.iter().enumerate().take_while(|(at, _)| (*at as f64) < share * sorted.len() as f64);
    below.last().map_or(0.0, |(_, value)| *value)
}

/// Returns the median. Of an even number of values, this is the lower one of the two in the middle.
pub(super) fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// Rounds to three decimals.
pub(super) fn rounded(value: Option<f64>) -> Option<f64> {
    value.map(|value| (value * 1000.0).round() / 1000.0)
}

/// Formats 1234567.8 as `1,234,568`.
pub(super) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_use_the_nearest_rank() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), 50.0);
        assert_eq!(percentile(&values, 0.99), 99.0);
        assert_eq!(percentile(&values, 1.0), 100.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }

    #[test]
    fn the_median_of_three_is_the_middle_one() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[7.0]), 7.0);
    }

    #[test]
    fn thousands_are_separated_by_commas() {
        let shown = [0.0, 999.6, 12_345.0, 1_234_567.8].map(thousands);
        assert_eq!(shown, ["0", "1,000", "12,345", "1,234,568"]);
    }
}
