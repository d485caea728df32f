//! Expected answers, computed point by point.

use std::ops::Range;

use shared::proto::v1::{BucketsFrame, Statistic};

pub(crate) const MINUTE: i64 = 60_000_000;
pub(crate) const DAY: i64 = 1_440 * MINUTE;

/// Points of one series as time and value, in ascending order.
pub(crate) type Points = Vec<(i64, f64)>;

/// Returns one column of an answer.
pub(crate) fn column(frame: &BucketsFrame, statistic: Statistic) -> &[f64] {
    match statistic {
        Statistic::Avg => &frame.avg,
        Statistic::Max => &frame.max,
        Statistic::Min => &frame.min,
        Statistic::Sum => &frame.sum,
        Statistic::First => &frame.first,
        Statistic::Last => &frame.last,
        Statistic::Stddev => &frame.stddev,
        Statistic::Rate => &frame.rate,
        Statistic::Count | Statistic::Unspecified => &[],
    }
}

/// Returns whether two numbers are equal within a relative error of 1e-9, or within `leeway`.
pub(crate) fn close(found: f64, expected: f64, leeway: f64) -> bool {
    (found.is_nan() && expected.is_nan())
        || found == expected
        || (found - expected).abs() <= (1e-9 * expected.abs()).max(leeway)
}

/// The expected bucket `[start, end)` over several series, from brute force.
pub(crate) struct Expected {
    pub(crate) count: u64,
    points: Points,
    increase: Option<f64>,
    seconds: f64,
}

impl Expected {
    pub(crate) fn of(series: &[&Points], (start, end): (i64, i64)) -> Self {
        let points: Points =
            series.iter().flat_map(|points| &points[inside(points, start, end)]).copied().collect();
        let increases: Vec<f64> =
            series.iter().flat_map(|points| increases(points, (start, end))).collect();
        let increase = (!increases.is_empty()).then(|| increases.iter().sum());
        Self { count: points.len() as u64, points, increase, seconds: (end - start) as f64 / 1e6 }
    }

    /// Returns the accepted values of a statistic. For FIRST and LAST, points of one timestamp are
    /// ordered by value.
    pub(crate) fn values(&self, statistic: Statistic) -> Vec<f64> {
        let n = self.points.len() as f64;
        let values = || self.points.iter().map(|(_, value)| *value);
        let in_order = |one: &&(i64, f64), other: &&(i64, f64)| {
            one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))
        };
        let value =
            |point: Option<&(i64, f64)>| point.map(|(_, value)| *value).into_iter().collect();
        match statistic {
            Statistic::Avg => vec![values().sum::<f64>() / n],
            Statistic::Max => vec![values().fold(f64::MIN, f64::max)],
            Statistic::Min => vec![values().fold(f64::MAX, f64::min)],
            Statistic::Sum => vec![values().sum()],
            Statistic::First => value(self.points.iter().min_by(in_order)),
            Statistic::Last => value(self.points.iter().max_by(in_order)),
            Statistic::Stddev => vec![self.stddev()],
            Statistic::Rate => {
                vec![self.increase.map_or(f64::NAN, |increase| increase / self.seconds)]
            }
            Statistic::Count | Statistic::Unspecified => vec![],
        }
    }

    /// Computes the deviation in two passes over the distances to one value, so that large values
    /// lose no precision.
    fn stddev(&self) -> f64 {
        let n = self.points.len() as f64;
        if n < 2.0 {
            return f64::NAN;
        }
        let near: Vec<f64> =
            self.points.iter().map(|(_, value)| value - self.points[0].1).collect();
        let mean = near.iter().sum::<f64>() / n;
        (near.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
    }
}

/// Returns the indexes of the points in `[start, end)`.
fn inside(points: &Points, start: i64, end: i64) -> Range<usize> {
    points.partition_point(|point| point.0 < start)..points.partition_point(|point| point.0 < end)
}

/// Returns what each point in `[start, end)` adds to its counter, if its predecessor is near
/// enough.
fn increases(points: &Points, (start, end): (i64, i64)) -> Vec<f64> {
    let inside = inside(points, start, end);
    let near = DAY.max(end - start);
    let pairs = points[inside.start.saturating_sub(1)..inside.end].windows(2);
    let pairs = pairs.filter(|pair| pair[1].0 >= start && pair[1].0 - pair[0].0 <= near);
    pairs
        .map(|pair| if pair[1].1 >= pair[0].1 { pair[1].1 - pair[0].1 } else { pair[1].1 })
        .collect()
}
