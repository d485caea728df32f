//! One bucket, and several that are one.

use super::Point;
use crate::anomaly::{Moments, within};

/// One bucket. What was not asked for is NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    /// The series; 0 where several were combined.
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
    /// What a counter counted; NaN where no point of the bucket has a predecessor.
    pub(crate) increase: f64,
}

impl Bucket {
    /// A raw point as a bucket.
    pub(super) fn of((series_id, point): (i32, Point)) -> Self {
        let Point { timestamp: start, value } = point;
        let (sum, min, max, first, last) = (value, value, value, value, value);
        Self {
            series_id,
            start,
            count: 1,
            sum,
            min,
            max,
            first,
            last,
            variance: 0.0,
            increase: f64::NAN,
        }
    }

    /// Arithmetic mean: sum / count. Rounding may take that past the smallest or the largest value, where the mean cannot be; it
    /// is moved back then.
    pub(crate) fn avg(&self) -> f64 {
        within(self.sum / self.count as f64, self.min, self.max)
    }

    /// Sample standard deviation; NaN for a single point.
    pub(crate) fn stddev(&self) -> f64 {
        let n = self.count as f64;
        if self.count < 2 { f64::NAN } else { (self.variance * n / (n - 1.0)).max(0.0).sqrt() }
    }

    /// Makes one bucket of two parts of it, of which the other is the later one.
    fn combine(self, later: Self) -> Self {
        let moments =
            |part: Self| Moments::new(part.count, part.sum, part.min, part.max, part.variance);
        let asked = !self.variance.is_nan();
        Self {
            count: self.count + later.count,
            sum: self.sum + later.sum,
            min: self.min.min(later.min),
            max: self.max.max(later.max),
            last: later.last,
            variance: if asked {
                moments(self).combine(moments(later)).variance()
            } else {
                f64::NAN
            },
            ..self // increases are read from points alone, never in parts
        }
    }
}

/// Sorts buckets by series and time and makes one of each that comes in several parts. The parts of a bucket must come the
/// earliest first.
pub(crate) fn whole(mut parts: Vec<Bucket>) -> Vec<Bucket> {
    parts.sort_by_key(|bucket| (bucket.series_id, bucket.start)); // keeps the order of parts
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
    fn a_mean_is_never_outside_the_values_it_is_of() {
        // Both are what ten and a hundred times 0.1 add up to.
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
        let found = whole(parts);
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
    fn other_buckets_and_other_series_stay_apart() {
        let one = bucket(&[1.0]);
        let later = Bucket { start: 60, ..one };
        let other = Bucket { series_id: 2, ..one };
        let keys: Vec<(i32, i64)> = whole(vec![other, later, one, later])
            .iter()
            .map(|bucket| (bucket.series_id, bucket.start))
            .collect();
        assert_eq!(keys, [(1, 0), (1, 60), (2, 0)]);
    }

    #[test]
    fn what_was_not_asked_for_stays_unknown_in_parts() {
        let unknown = Bucket {
            min: f64::NAN,
            max: f64::NAN,
            variance: f64::NAN,
            sum: f64::NAN,
            ..bucket(&[1.0])
        };
        let both = whole(vec![unknown, unknown])[0];
        assert_eq!(both.count, 2);
        assert!([both.min, both.max, both.variance, both.sum].iter().all(|value| value.is_nan()));
    }
}
