//! Downsamples a series while keeping its shape, by the algorithm Largest Triangle Three Buckets.
//! See Sveinn Steinarsson, "Downsampling Time Series for Visual Representation", University of
//! Iceland,
//! 2013. Pure. Only two buckets are in memory at a time, not the series.

use crate::columns::PointColumns;

/// The minimum number of points to keep: the first, the last and one between them.
pub(crate) const MIN_POINTS: usize = 3;

#[derive(Clone, Copy)]
struct TimedValue {
    timestamp: i64,
    value: f64,
}

/// A downsampler that takes the points of one series in time order. It keeps the first, the last,
/// and one point of each bucket between them. That is the point that makes the largest triangle
/// with the previously kept point and the mean of the next bucket.
pub(crate) struct Downsampler {
    /// The expected number of points between the first and the last.
    between: usize,
    /// The number of buckets that these points are divided into.
    buckets: usize,
    /// The number of points that were put into buckets.
    taken: usize,
    /// The index of the bucket `next`.
    filling: usize,
    /// The point that was kept last.
    kept: Option<TimedValue>,
    /// The newest point. It is not in a bucket yet, because the last point of all belongs to none.
    newest: Option<TimedValue>,
    /// The bucket to keep a point of.
    current: Vec<TimedValue>,
    /// The bucket after `current`, which is being filled.
    next: Vec<TimedValue>,
    /// The kept points that were not taken away yet.
    chosen: PointColumns,
}

impl Downsampler {
    /// Returns a downsampler for `count` points that keeps `max_points` of them, and at least
    /// [`MIN_POINTS`]. Points in excess of `count` go into the last bucket.
    pub(crate) fn new(count: usize, max_points: usize) -> Self {
        let buckets = max_points.max(MIN_POINTS) - 2;
        Self {
            between: count.saturating_sub(2).max(buckets),
            buckets,
            taken: 0,
            filling: 0,
            kept: None,
            newest: None,
            current: Vec::new(),
            next: Vec::new(),
            chosen: PointColumns::default(),
        }
    }

    /// Adds the next point.
    pub(crate) fn take(&mut self, timestamp: i64, value: f64) {
        let arrived = TimedValue { timestamp, value };
        if self.kept.is_none() {
            self.keep(arrived);
        } else if let Some(point) = self.newest.replace(arrived) {
            self.put(point);
        }
    }

    /// Removes and returns the points kept so far, so that they can be sent before the end.
    pub(crate) fn take_chosen(&mut self) -> PointColumns {
        std::mem::take(&mut self.chosen)
    }

    /// Returns the number of points that `take_chosen` would return.
    pub(crate) fn chosen_len(&self) -> usize {
        self.chosen.len()
    }

    /// Returns the remaining kept points. Call this after the last point.
    pub(crate) fn finish(mut self) -> PointColumns {
        let Some(last) = self.newest else { return self.chosen };
        let next = std::mem::take(&mut self.next);
        self.choose(&next);
        self.current = next;
        self.choose(&[last]);
        self.keep(last);
        self.chosen
    }

    /// Puts a point that is neither the first nor the last into its bucket.
    fn put(&mut self, point: TimedValue) {
        // As in the thesis, buckets are equal except for rounding. Integer arithmetic makes the
        // last bucket end exactly at the last point.
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

    /// Keeps one point of the current bucket, if it has any. `following` is the bucket after it.
    fn choose(&mut self, following: &[TimedValue]) {
        let Some(kept) = self.kept else { return };
        let Some(&(mut best)) = self.current.first() else { return };
        let count = following.len().max(1) as f64;
        // Differences of timestamps keep the precision of microseconds.
        let since = |timestamp: i64| timestamp.wrapping_sub(kept.timestamp) as f64;
        let mean_time = following.iter().map(|point| since(point.timestamp)).sum::<f64>() / count;
        let mean_value = following.iter().map(|point| point.value).sum::<f64>() / count;
        let mut largest = -1.0;
        for &point in &self.current {
            let area = (mean_time * (point.value - kept.value)
                - since(point.timestamp) * (mean_value - kept.value))
                .abs();
            if area > largest {
                largest = area;
                best = point;
            }
        }
        self.keep(best);
    }

    fn keep(&mut self, point: TimedValue) {
        self.kept = Some(point);
        let _ = self.chosen.push(0, point.timestamp, point.value); // points come in time order
    }
}

#[cfg(test)]
mod tests;
