//! The points that are measured with: the same for every way of storing them, made anew from their place whenever they are
//! rendered, so that none of them has to be kept.

use std::ops::Range;

use crate::bench::values::value;

/// Points of one batch, of one body of line protocol likewise.
pub(super) const BATCH_POINTS: usize = 12_500;
/// Points that one transaction writes, as in the service's own configuration.
pub(super) const FLUSH_POINTS: usize = 100_000;
/// Every device has this one.
pub(super) const METRIC: &str = "temperature";

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const DAY: i64 = 86_400 * SECOND;

/// Devices that measure once a second. Their points come in steps: in one step every device has `run` consecutive points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) devices: usize,
    /// Consecutive points of a series.
    pub(super) run: usize,
    pub(super) steps: usize,
    /// Time of the first point, in microseconds since the Unix epoch.
    pub(super) start: i64,
    /// Steps go back and forth between so many days, from the start back.
    pub(super) days: usize,
}

/// Some devices' points of one step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) step: usize,
    pub(super) devices: Range<usize>,
}

impl Shape {
    pub(super) fn points(&self) -> usize {
        self.devices * self.run * self.steps
    }

    /// A little of the same kind, before the first point: makes chunks and fills caches.
    pub(super) fn warm_up(&self) -> Self {
        let start = self.start - 3_600 * SECOND;
        let few = self.devices * self.run <= 10 * FLUSH_POINTS;
        let (run, steps) = if few { (self.run, 2 * self.days) } else { (1, 1) };
        Self { run, steps, start, ..*self }
    }

    /// All points in the order of time, in parts of about so many points.
    pub(super) fn parts(&self, points: usize) -> impl Iterator<Item = Part> + use<> {
        let (all, devices) = (self.devices, (points / self.run).max(1));
        (0..self.steps).flat_map(move |step| {
            (0..all)
                .step_by(devices)
                .map(move |first| Part { step, devices: first..all.min(first + devices) })
        })
    }

    pub(super) fn points_of(&self, part: &Part) -> usize {
        part.devices.len() * self.run
    }

    /// Times of a step, which all devices share.
    pub(super) fn times(&self, step: usize) -> Vec<i64> {
        let (round, day) = (step / self.days, step % self.days);
        let first = self.start - day as i64 * DAY + (round * self.run) as i64 * SECOND;
        (0..self.run).map(|at| first + at as i64 * SECOND).collect()
    }

    /// Values of a device at some times: the same in whatever part.
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
    fn parts_hold_every_point_once() {
        for points in [1, 8, 12, 40, 1_000] {
            let held: usize = SHAPE.parts(points).map(|part| SHAPE.points_of(&part)).sum();
            assert_eq!(held, SHAPE.points());
        }
        assert_eq!(SHAPE.parts(12).nth(3), Some(Part { step: 0, devices: 9..10 }));
    }

    #[test]
    fn steps_follow_each_other_on_each_day() {
        assert_eq!(SHAPE.times(0)[0], 20 * DAY);
        assert_eq!(SHAPE.times(1)[0], 19 * DAY);
        assert_eq!(SHAPE.times(2)[0], 20 * DAY + 4 * SECOND);
    }
}
