//! Simulated points, the same on every path. They are computed from device and time whenever they
//! are encoded, so none are kept in memory.

use std::ops::Range;

use crate::bench::values::value;

/// Points per batch, and per request in line protocol.
pub(super) const BATCH_POINTS: usize = 12_500;
/// Points per transaction, the same as the service's default.
pub(super) const FLUSH_POINTS: usize = 100_000;
/// The metric of every device.
pub(super) const METRIC: &str = "temperature";

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const DAY: i64 = 86_400 * SECOND;

/// Devices that measure once per second. Their points come in steps: in each step, every device has
/// `run` consecutive points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) devices: usize,
    /// Consecutive points of a series in a step.
    pub(super) run: usize,
    pub(super) steps: usize,
    /// Time of the first point, in microseconds since the Unix epoch.
    pub(super) start: i64,
    /// Number of days between which the steps alternate: the day of `start` and the days before it.
    pub(super) days: usize,
}

/// Devices whose points of one step are written together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PointRange {
    pub(super) step: usize,
    pub(super) devices: Range<usize>,
}

impl Shape {
    pub(super) fn points(&self) -> usize {
        self.devices * self.run * self.steps
    }

    /// Returns fewer points of the same kind, one hour earlier. They create chunks and fill caches.
    pub(super) fn warm_up(&self) -> Self {
        let start = self.start - 3_600 * SECOND;
        let few = self.devices * self.run <= 10 * FLUSH_POINTS;
        let (run, steps) = if few { (self.run, 2 * self.days) } else { (1, 1) };
        Self { run, steps, start, ..*self }
    }

    /// Splits all points into ranges of about `points` points, in order of time.
    pub(super) fn split(&self, points: usize) -> impl Iterator<Item = PointRange> + use<> {
        let all = self.devices;
        let devices = (points / self.run).max(1);
        (0..self.steps).flat_map(move |step| {
            (0..all)
                .step_by(devices)
                .map(move |first| PointRange { step, devices: first..all.min(first + devices) })
        })
    }

    pub(super) fn points_of(&self, range: &PointRange) -> usize {
        range.devices.len() * self.run
    }

    /// Returns the times of a step, which all devices share.
    pub(super) fn times(&self, step: usize) -> Vec<i64> {
        let round = step / self.days;
        let day = step % self.days;
        let first = self.start - day as i64 * DAY + (round * self.run) as i64 * SECOND;
        (0..self.run).map(|at| first + at as i64 * SECOND).collect()
    }

    /// Returns the values of a device at the given times.
    pub(super) fn values(device: usize, times: &[i64]) -> impl Iterator<Item = f64> {
        times.iter().map(move |&time| value(device, time))
    }
}

pub(super) fn device_id(device: usize) -> String {
    format!("bench-{device:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { devices: 10, run: 4, steps: 3, start: 20 * DAY, days: 2 };

    #[test]
    fn ranges_hold_every_point_once() {
        for points in [1, 8, 12, 40, 1_000] {
            let held: usize = SHAPE.split(points).map(|range| SHAPE.points_of(&range)).sum();
            assert_eq!(held, SHAPE.points());
        }
        assert_eq!(SHAPE.split(12).nth(3), Some(PointRange { step: 0, devices: 9..10 }));
    }

    #[test]
    fn steps_follow_each_other_on_each_day() {
        assert_eq!(SHAPE.times(0)[0], 20 * DAY);
        assert_eq!(SHAPE.times(1)[0], 19 * DAY);
        assert_eq!(SHAPE.times(2)[0], 20 * DAY + 4 * SECOND);
    }
}
