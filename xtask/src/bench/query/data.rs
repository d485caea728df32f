//! The queried points: machines that measure often, and fleets of devices that measure rarely.
//! Points are computed from series and time, so all paths store the same ones and none are kept in
//! memory.

use std::iter;

use prost::bytes::Bytes;

use crate::bench::values;

pub(super) const METRIC: &str = "temperature";

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// Time between two points of a machine. A machine has more than a million points in 31 days.
pub(super) const MACHINE_STEP: i64 = 2_500_000;
/// Time between two points of a fleet device.
const FLEET_STEP: i64 = 10 * MINUTE;
/// Number of devices in a fleet.
pub(super) const FLEET_DEVICES: usize = 1_000;
/// One in this many points of a machine is an outlier.
const SPIKE_EVERY: i64 = 997;
/// Number of the first fleet device in the generator of values.
const FIRST_FLEET_NUMBER: usize = 1_000;
/// Points per request in line protocol.
const BODY_POINTS: usize = 12_500;

/// Amount of data, relative to the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scale {
    Once,
    /// Ten times the devices.
    TenTimes,
    /// Ten times the devices and ten times the days.
    HundredTimes,
}

/// All points of an amount of data, up to a whole minute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dataset {
    scale: Scale,
    /// First instant without points, in microseconds since the Unix epoch.
    pub(super) end: i64,
}

impl Dataset {
    pub(super) fn new(scale: Scale, now: i64) -> Self {
        Self { scale, end: now - now.rem_euclid(MINUTE) }
    }

    /// Returns the number of machines, which is also the number of fleets.
    pub(super) fn groups(self) -> usize {
        if self.scale == Scale::Once { 1 } else { 10 }
    }

    fn periods(self) -> i64 {
        if self.scale == Scale::HundredTimes { 10 } else { 1 }
    }

    /// Returns the number of series. The machines come first, then the fleets one after the other.
    pub(super) fn series(self) -> usize {
        self.groups() * (1 + FLEET_DEVICES)
    }

    /// Returns the time of the machines' first points.
    pub(super) fn start(self) -> i64 {
        self.whole_hour() - self.periods() * 31 * DAY
    }

    /// Returns the start of the hour in which the data ends.
    pub(super) fn whole_hour(self) -> i64 {
        self.end - self.end.rem_euclid(HOUR)
    }

    /// Returns the device id of a series.
    pub(super) fn device_id(self, series: usize) -> String {
        match series.checked_sub(self.groups()) {
            None => machine_id(series),
            Some(device) => {
                format!("{}{:04}", fleet_prefix(device / FLEET_DEVICES), device % FLEET_DEVICES)
            }
        }
    }

    /// Returns the times of a series in [start, end), the earliest first.
    pub(super) fn times(
        self,
        series: usize,
        start: i64,
        end: i64,
    ) -> impl DoubleEndedIterator<Item = i64> + Send {
        let (first, step) = match series < self.groups() {
            true => (self.start(), MACHINE_STEP),
            false => (self.whole_hour() - self.periods() * 30 * HOUR, FLEET_STEP),
        };
        let at_or_after = |time: i64| (time + step - 1).div_euclid(step);
        (at_or_after(start.max(first))..at_or_after(end.min(self.end))).map(move |at| at * step)
    }

    /// Returns the value of a series at one of its times.
    pub(super) fn value(self, series: usize, time: i64) -> f64 {
        match series.checked_sub(self.groups()) {
            None if (time / MACHINE_STEP) % SPIKE_EVERY == 0 => values::value(series, time) + 15.0,
            None => values::value(series, time),
            Some(device) => values::value(FIRST_FLEET_NUMBER + device, time),
        }
    }

    /// Returns the UTC days that contain points, each as [start, end).
    pub(super) fn days(self) -> impl DoubleEndedIterator<Item = (i64, i64)> + Send {
        (self.start().div_euclid(DAY)..=(self.end - 1).div_euclid(DAY))
            .map(|day| (day * DAY, (day + 1) * DAY))
    }

    /// Counts all points.
    pub(super) fn points(self) -> u64 {
        let count = |series| self.times(series, i64::MIN / 2, i64::MAX / 2).count() as u64;
        self.groups() as u64 * (count(0) + FLEET_DEVICES as u64 * count(self.groups()))
    }

    /// Formats all points as line protocol, day by day, with timestamps in milliseconds.
    pub(super) fn lines(self) -> impl Iterator<Item = Bytes> + Send + 'static {
        let series = move |(start, end)| (0..self.series()).map(move |series| (series, start, end));
        let line = move |(series, start, end)| {
            let device_id = self.device_id(series);
            self.times(series, start, end).map(move |time| {
                let value = self.value(series, time);
                format!("{METRIC},device_id={device_id} value={value} {}\n", time / 1_000)
            })
        };
        let mut lines = self.days().flat_map(series).flat_map(line);
        iter::from_fn(move || {
            let body: String = lines.by_ref().take(BODY_POINTS).collect();
            (!body.is_empty()).then(|| body.into())
        })
    }
}

pub(super) fn machine_id(machine: usize) -> String {
    format!("machine-{machine:02}")
}

/// Returns the common prefix of the device ids of a fleet.
pub(super) fn fleet_prefix(fleet: usize) -> String {
    format!("fleet-{fleet:02}-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 20_000 * DAY + 5 * HOUR + 30 * MINUTE + 7;

    #[test]
    fn a_machine_has_more_than_a_million_points_and_each_scale_ten_times_the_last() {
        let [once, ten, hundred] = [Scale::Once, Scale::TenTimes, Scale::HundredTimes]
            .map(|scale| Dataset::new(scale, NOW).points());
        assert!(once > 1_100_000, "{once}");
        assert_eq!(ten, 10 * once);
        assert!((9.9..10.1).contains(&(hundred as f64 / ten as f64)), "{hundred}");
    }

    #[test]
    fn days_hold_every_point_once() {
        let data = Dataset::new(Scale::Once, NOW);
        for series in [0, data.groups()] {
            let all: Vec<i64> = data.times(series, data.start(), data.end).collect();
            let by_day: Vec<i64> =
                data.days().flat_map(|(start, end)| data.times(series, start, end)).collect();
            assert_eq!(all, by_day);
        }
    }

    #[test]
    fn lines_hold_every_point_once() {
        let data = Dataset::new(Scale::Once, NOW);
        let lines = |body: Bytes| body.iter().filter(|&&byte| byte == b'\n').count() as u64;
        assert_eq!(data.lines().map(lines).sum::<u64>(), data.points());
    }
}
