//! Simulated devices: believable values, noise, and a few faults whose place is known.

use std::f64::consts::TAU;

use anyhow::ensure;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::StandardNormal;
use shared::proto::v1::SeriesPoints;

const HOUR: i64 = 3_600_000_000;
const DAY: f64 = 24.0 * HOUR as f64;
/// The simulated past; its last hour is judged against the hours before.
const HOURS: i64 = 6;
/// A series needs enough points for a baseline, so few points mean few devices.
const LEAST_POINTS_PER_SERIES: usize = 48;
/// Points that are made faulty.
const FAULTS: usize = 10;

/// A metric: where it lies, how it swings over a day, how much it trembles, and how far off a fault is.
struct Metric {
    name: &'static str,
    centre: f64,
    swing: f64,
    noise: f64,
    fault: f64,
}

const METRICS: [Metric; 2] = [
    Metric { name: "temperature", centre: 21.0, swing: 1.5, noise: 0.25, fault: 18.0 },
    Metric { name: "humidity", centre: 48.0, swing: -4.0, noise: 0.8, fault: -40.0 },
];

/// A faulty point that was sent on purpose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fault {
    pub(super) device_id: String,
    pub(super) metric_name: &'static str,
    pub(super) timestamp: i64,
}

/// Devices with points at regular times in [start, end).
pub(super) struct Fleet {
    devices: usize,
    points: usize,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) faults: Vec<Fault>,
}

impl Fleet {
    pub(super) fn new(points: usize, devices: usize, now: i64) -> anyhow::Result<Self> {
        let metrics = METRICS.len();
        let least = metrics * LEAST_POINTS_PER_SERIES;
        ensure!(
            points >= least,
            "--points is {points}; at least {least} are needed for one device with a baseline"
        );
        ensure!(devices > 0, "--devices is 0; at least 1 is needed");
        let devices = devices.min(points / least);
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

    /// The window in which the faults lie: the last hour.
    pub(super) fn window(&self) -> (i64, i64) {
        (self.end - HOUR, self.end)
    }

    pub(super) fn device_id(&self, device: usize) -> String {
        format!("sensor-{device:06}")
    }

    /// All series of a device, with their points.
    pub(super) fn series_of(&self, device: usize) -> Vec<SeriesPoints> {
        (0..METRICS.len()).map(|metric| self.series(device, metric)).collect()
    }

    fn series(&self, device: usize, metric: usize) -> SeriesPoints {
        let Metric { name, centre, swing, noise, fault } = METRICS[metric];
        let device_id = self.device_id(device);
        let mut random = SmallRng::seed_from_u64((device * METRICS.len() + metric) as u64);
        let mut normal = |spread: f64| spread * random.sample::<f64, _>(StandardNormal);
        let own = centre + normal(1.0);
        let timestamps_us: Vec<i64> =
            (0..self.count(device, metric)).map(|at| self.time(device, metric, at)).collect();
        let value = |&timestamp: &i64| {
            let regular = own + swing * (TAU * timestamp as f64 / DAY).sin() + normal(noise);
            let is_faulty = self.faults.iter().any(|known| {
                known.timestamp == timestamp
                    && known.metric_name == name
                    && known.device_id == device_id
            });
            let value = if is_faulty { regular + fault } else { regular };
            (value * 1000.0).round() / 1000.0 // what a sensor's decimals look like
        };
        let values = timestamps_us.iter().map(value).collect();
        SeriesPoints { device_id, metric_name: name.to_owned(), timestamps_us, values }
    }

    /// Points of a series: all together are exactly as many as were asked for.
    fn count(&self, device: usize, metric: usize) -> usize {
        let series = self.devices * METRICS.len();
        let index = device * METRICS.len() + metric;
        self.points / series + usize::from(index < self.points % series)
    }

    fn time(&self, device: usize, metric: usize, at: usize) -> i64 {
        let step = (self.end - self.start) / self.count(device, metric) as i64;
        self.start + step * at as i64 + step / 2
    }

    /// Spread over the devices, metrics in turn, somewhere in the last hour.
    fn choose_faults(&self) -> Vec<Fault> {
        let faulty = FAULTS.min(self.devices);
        let fault = |index: usize| {
            let (device, metric) = (index * self.devices / faulty, index % METRICS.len());
            let last = self.count(device, metric) - 1;
            let in_last_hour =
                (0..=last).filter(|&at| self.time(device, metric, at) >= self.window().0).count();
            let timestamp = self.time(device, metric, last - in_last_hour / 2);
            Fault {
                device_id: self.device_id(device),
                metric_name: METRICS[metric].name,
                timestamp,
            }
        };
        (0..faulty).map(fault).collect()
    }
}
