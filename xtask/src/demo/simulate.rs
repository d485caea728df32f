//! Simulates devices: plausible values with noise, and a few injected faults at known times.

use std::f64::consts::TAU;

use anyhow::ensure;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::StandardNormal;
use shared::proto::v1::SeriesPoints;

/// An hour in microseconds.
const HOUR: i64 = 3_600_000_000;
/// A day in microseconds.
const DAY: f64 = 24.0 * HOUR as f64;
/// Length of the simulated past, in hours. Anomaly detection compares the last hour with the ones
/// before.
const HOURS: i64 = 6;
/// Each series needs this many points for a baseline. Fewer points in total mean fewer devices.
const MIN_POINTS_PER_SERIES: usize = 48;
/// Number of faulty points, each on another device.
const INJECTED_FAULTS: usize = 10;

/// How the values of a metric are simulated. All numbers are in the metric's unit.
struct Metric {
    name: &'static str,
    /// Average over devices and time.
    mean: f64,
    /// Amplitude of the daily cycle.
    amplitude: f64,
    /// Standard deviation of the noise.
    noise: f64,
    /// Distance of a faulty value from the regular one.
    fault: f64,
}

const METRICS: [Metric; 2] = [
    Metric { name: "temperature", mean: 21.0, amplitude: 1.5, noise: 0.25, fault: 18.0 },
    Metric { name: "humidity", mean: 48.0, amplitude: -4.0, noise: 0.8, fault: -40.0 },
];

/// A faulty point that the demo sends on purpose. Anomaly detection must find it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InjectedFault {
    pub(super) device_id: String,
    pub(super) metric_name: &'static str,
    /// In microseconds since 1970.
    pub(super) timestamp: i64,
}

/// Simulated devices. Each series has points at regular times in [start, end), which are in
/// microseconds since 1970.
pub(super) struct Fleet {
    devices: usize,
    points: usize,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) faults: Vec<InjectedFault>,
}

impl Fleet {
    /// Plans `points` points of at most `devices` devices for the hours before `now`. Fails if one
    /// device would get too few points.
    pub(super) fn new(points: usize, devices: usize, now: i64) -> anyhow::Result<Self> {
        let metrics = METRICS.len();
        let minimum = metrics * MIN_POINTS_PER_SERIES;
        ensure!(
            points >= minimum,
            "--points is {points}, but one device with a baseline needs at least {minimum}"
        );
        ensure!(devices > 0, "--devices is 0, but must be at least 1");
        let devices = devices.min(points / minimum);
        let end = now - now.rem_euclid(60_000_000);
        let mut fleet =
            Self { devices, points, start: end - HOURS * HOUR, end, faults: Vec::new() };
        fleet.faults = fleet.choose_faults();
        Ok(fleet)
    }

    pub(super) fn points(&self) -> usize {
        self.points
    }

    pub(super) fn devices(&self) -> usize {
        self.devices
    }

    /// Returns the start and end of the last hour, which contains all faults.
    pub(super) fn window(&self) -> (i64, i64) {
        (self.end - HOUR, self.end)
    }

    pub(super) fn device_id(&self, device: usize) -> String {
        format!("sensor-{device:06}")
    }

    /// Returns all series of a device with their points.
    pub(super) fn series_of(&self, device: usize) -> Vec<SeriesPoints> {
        (0..METRICS.len()).map(|metric| self.series(device, metric)).collect()
    }

    fn series(&self, device: usize, metric: usize) -> SeriesPoints {
        let Metric { name, mean, amplitude, noise, fault } = METRICS[metric];
        let device_id = self.device_id(device);
        let mut random = SmallRng::seed_from_u64((device * METRICS.len() + metric) as u64);
        let mut normal = |spread: f64| spread * random.sample::<f64, _>(StandardNormal);
        let device_mean = mean + normal(1.0);
        let timestamps_us: Vec<i64> =
            (0..self.count(device, metric)).map(|at| self.time(device, metric, at)).collect();
        let value = |&timestamp: &i64| {
            let regular =
                device_mean + amplitude * (TAU * timestamp as f64 / DAY).sin() + normal(noise);
            let is_faulty = self.faults.iter().any(|known| {
                known.timestamp == timestamp
                    && known.metric_name == name
                    && known.device_id == device_id
            });
            let value = if is_faulty { regular + fault } else { regular };
            (value * 1000.0).round() / 1000.0 // Sensors report few decimals.
        };
        let values = timestamps_us.iter().map(value).collect();
        SeriesPoints { device_id, metric_name: name.to_owned(), timestamps_us, values }
    }

    /// Returns the number of points of a series. All series together have `points` points.
    fn count(&self, device: usize, metric: usize) -> usize {
        let series = self.devices * METRICS.len();
        let index = device * METRICS.len() + metric;
        self.points / series + usize::from(index < self.points % series)
    }

    /// Returns the time of the point at index `at` of a series.
    fn time(&self, device: usize, metric: usize, at: usize) -> i64 {
        let step = (self.end - self.start) / self.count(device, metric) as i64;
        self.start + step * at as i64 + step / 2
    }

    /// Places the faults evenly over the devices, with alternating metrics, in the last hour.
    fn choose_faults(&self) -> Vec<InjectedFault> {
        let faulty = INJECTED_FAULTS.min(self.devices);
        let fault = |index: usize| {
            let device = index * self.devices / faulty;
            let metric = index % METRICS.len();
            let last = self.count(device, metric) - 1;
            let in_last_hour =
                (0..=last).filter(|&at| self.time(device, metric, at) >= self.window().0).count();
            let timestamp = self.time(device, metric, last - in_last_hour / 2);
            InjectedFault {
                device_id: self.device_id(device),
                metric_name: METRICS[metric].name,
                timestamp,
            }
        };
        (0..faulty).map(fault).collect()
    }
}
