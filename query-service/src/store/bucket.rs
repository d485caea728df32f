//! A bucket, and how parts of a bucket are combined.

use super::Point;
use crate::anomaly::rules::{Moments, within};

/// One bucket. Statistics that were not queried are NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    /// The id of the series; 0 for several combined series.
    pub(crate) series_id: i32,
    /// Microseconds since the Unix epoch.
    pub(crate) start: i64,
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) first: f64,
    pub(crate) last: f64,
    /// Population variance.
    pub(crate) variance: f64,
    /// The increase of a counter; NaN if no point of the bucket has a predecessor.
    pub(crate) increase: f64,
}

impl Bucket {
    /// Returns a bucket of one raw point.
    pub(super) fn of((series_id, point): (i32, Point)) -> Self {
        let Point { timestamp: start, value } = point;
        Self {
            series_id,
            start,
            count: 1,
            sum: value,
            min: value,
            max: value,
            first: value,
            last: value,
            variance: 0.0,
            increase: f64::NAN,
        }
    }

    /// Returns the arithmetic mean: sum / count, clamped to [min, max], which rounding may exceed.
    pub(crate) fn avg(&self) -> f64 {
        within(self.sum / self.count as f64, self.min, self.max)
    }

    /// Returns the sample standard deviation; NaN for a single point.
    pub(crate) fn stddev(&self) -> f64 {
        let n = self.count as f64;
        if self.count < 2 { f64::NAN } else { (self.variance * n / (n - 1.0)).max(0.0).sqrt() }
    }

    /// Combines two parts of a bucket. `later` is the later part.
    fn combine(self, later: Self) -> Self {
        let moments =
            |part: Self| Moments::new(part.count, part.sum, part.min, part.max, part.variance);
        let is_queried = !self.variance.is_nan();
        Self {
            count: self.count + later.count,
            sum: self.sum + later.sum,
            min: self.min.min(later.min),
            max: self.max.max(later.max),
            last: later.last,
            variance: if is_queried {
                moments(self).combine(moments(later)).variance()
            } else {
                f64::NAN
            },
            ..self // a bucket with an increase has one part only, computed from points
        }
    }
}

/// Sorts buckets by series and time, and combines the parts of each bucket. The parts of a bucket
/// must be in time order.
pub(crate) fn combine_parts(mut parts: Vec<Bucket>) -> Vec<Bucket> {
    parts.sort_by_key(|bucket| (bucket.series_id, bucket.start)); // stable: keeps parts in order
    let mut buckets: Vec<Bucket> = Vec::with_capacity(parts.len());
    for part in parts {
        match buckets.last_mut() {
            Some(last) if (last.series_id, last.start) == (part.series_id, part.start) => {
                *last = last.combine(part)
            }
            _ => buckets.push(part),
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(values: &[f64]) -> Bucket {
        let n = values.len() as f64;
        let sum: f64 = values.iter().sum();
        Bucket {
            series_id: 1,
            start: 0,
            count: values.len() as u64,
            sum,
            min: values.iter().copied().fold(f64::MAX, f64::min),
            max: values.iter().copied().fold(f64::MIN, f64::max),
            first: values[0],
            last: values[values.len() - 1],
            variance: values.iter().map(|value| (value - sum / n).powi(2)).sum::<f64>() / n,
            increase: f64::NAN,
        }
    }

    #[test]
    fn a_mean_is_never_outside_the_range_of_its_values() {
        // The sums of 0.1 added up 10, 100 and 3 times.
        for (count, sum) in [
            (10, 0.999_999_999_999_999_9),
            (100, 10.000_000_000_000_007),
            (3, 0.300_000_000_000_000_04),
        ] {
            let constant = Bucket { count, sum, min: 0.1, max: 0.1, ..bucket(&[0.1]) };
            assert_eq!(constant.avg(), 0.1, "{count} times");
        }
        assert_eq!(bucket(&[1.0, 2.0, 6.0]).avg(), 3.0);
        assert_eq!(Bucket { min: f64::NAN, max: f64::NAN, ..bucket(&[1.0, 2.0]) }.avg(), 1.5);
    }

    #[test]
    fn parts_of_a_bucket_become_one() {
        let parts = vec![bucket(&[1.0, 5.0]), bucket(&[2.0]), bucket(&[-4.0, 9.0, 3.0])];
        let found = combine_parts(parts);
        let expected = bucket(&[1.0, 5.0, 2.0, -4.0, 9.0, 3.0]);
        assert_eq!(found.len(), 1);
        assert!((found[0].variance - expected.variance).abs() < 1e-12);
        assert!(found[0].increase.is_nan());
        let exact = |bucket: &Bucket| {
            (bucket.count, bucket.sum, bucket.min, bucket.max, bucket.first, bucket.last)
        };
        assert_eq!(exact(&found[0]), exact(&expected));
    }

    #[test]
    fn different_buckets_and_series_are_not_combined() {
        let one = bucket(&[1.0]);
        let later = Bucket { start: 60, ..one };
        let other = Bucket { series_id: 2, ..one };
        let keys: Vec<(i32, i64)> = combine_parts(vec![other, later, one, later])
            .iter()
            .map(|bucket| (bucket.series_id, bucket.start))
            .collect();
        assert_eq!(keys, [(1, 0), (1, 60), (2, 0)]);
    }

    #[test]
    fn statistics_that_were_not_queried_stay_nan_in_combined_parts() {
        let unknown = Bucket {
            min: f64::NAN,
            max: f64::NAN,
            variance: f64::NAN,
            sum: f64::NAN,
            ..bucket(&[1.0])
        };
        let both = combine_parts(vec![unknown, unknown])[0];
        assert_eq!(both.count, 2);
        assert!([both.min, both.max, both.variance, both.sum].iter().all(|value| value.is_nan()));
    }
}
