//! Fewer points with the same shape: Largest Triangle Three Buckets, from Sveinn Steinarsson, "Downsampling Time Series for
//! Visual Representation", University of Iceland, 2013. Pure; holds two buckets at a time, not the series.

use crate::columns::Columns;

/// Fewest points that have a first, a last and something between.
pub(crate) const FEWEST: usize = 3;

#[derive(Clone, Copy)]
struct Point {
    timestamp: i64,
    value: f64,
}

/// Takes the points of one series in time order and keeps the first, the last, and of each bucket between them the one that
/// makes the largest triangle with the point kept before it and the mean of the next bucket.
pub(crate) struct Downsampler {
    /// Points expected between the first and the last, and the buckets that share them.
    between: usize,
    buckets: usize,
    /// Points of buckets that are taken, which is the index of the next one.
    taken: usize,
    /// Of which bucket `next` is.
    filling: usize,
    kept: Option<Point>,
    /// The newest point: the last one of all is kept and belongs to no bucket.
    newest: Option<Point>,
    /// The bucket to choose from, and the one after it.
    current: Vec<Point>,
    next: Vec<Point>,
    chosen: Columns,
}

impl Downsampler {
    /// For `count` points, of which `max_points` are kept, at least [`FEWEST`]. Where more points come, they belong to the last
    /// bucket.
    pub(crate) fn new(count: usize, max_points: usize) -> Self {
        let buckets = max_points.max(FEWEST) - 2;
        Self {
            between: count.saturating_sub(2).max(buckets),
            buckets,
            taken: 0,
            filling: 0,
            kept: None,
            newest: None,
            current: Vec::new(),
            next: Vec::new(),
            chosen: Columns::default(),
        }
    }

    /// Takes the next point.
    pub(crate) fn take(&mut self, timestamp: i64, value: f64) {
        let arrived = Point { timestamp, value };
        if self.kept.is_none() {
            self.keep(arrived);
        } else if let Some(point) = self.newest.replace(arrived) {
            self.put(point);
        }
    }

    /// What is kept so far; for those who send it on while more comes.
    pub(crate) fn take_chosen(&mut self) -> Columns {
        std::mem::take(&mut self.chosen)
    }

    /// How many points wait to be taken away.
    pub(crate) fn chosen_len(&self) -> usize {
        self.chosen.len()
    }

    /// The rest of what is kept, once the last point is taken.
    pub(crate) fn finish(mut self) -> Columns {
        let Some(last) = self.newest else { return self.chosen };
        let next = std::mem::take(&mut self.next);
        self.choose(&next);
        self.current = next;
        self.choose(&[last]);
        self.keep(last);
        self.chosen
    }

    /// Puts a point that is neither the first nor the last into its bucket.
    fn put(&mut self, point: Point) {
        // As in the thesis, buckets are equal but for rounding; in whole numbers, so that the last one ends where it should.
        let end = (self.filling + 1) * self.between / self.buckets;
        if self.taken >= end && self.filling + 1 < self.buckets {
            let next = std::mem::take(&mut self.next);
            self.choose(&next);
            self.current = next;
            self.filling += 1;
        }
        self.next.push(point);
        self.taken += 1;
    }

    /// Keeps one point of the current bucket, if there is any; `following` is the bucket after it.
    fn choose(&mut self, following: &[Point]) {
        let (Some(kept), Some(&(mut best))) = (self.kept, self.current.first()) else { return };
        let count = following.len().max(1) as f64;
        let since = |timestamp: i64| timestamp.wrapping_sub(kept.timestamp) as f64; // keeps the digits of microseconds
        let mean_time = following.iter().map(|point| since(point.timestamp)).sum::<f64>() / count;
        let mean_value = following.iter().map(|point| point.value).sum::<f64>() / count;
        let mut largest = -1.0;
        for &point in &self.current {
            let area = (mean_time * (point.value - kept.value)
                - since(point.timestamp) * (mean_value - kept.value))
                .abs();
            if area > largest {
                (largest, best) = (area, point);
            }
        }
        self.keep(best);
    }

    fn keep(&mut self, point: Point) {
        self.kept = Some(point);
        let _ = self.chosen.push(0, point.timestamp, point.value); // points come in time order
    }
}

#[cfg(test)]
mod tests;
