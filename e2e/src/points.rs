//! Points to send, and selectors for queries.

use prost_types::Timestamp;
use shared::proto::v1::{Batch, Point, Producer, SeriesPoints, SeriesSelector, series_selector};
use shared::time;

/// Returns a device id that no other test and no other run uses.
#[must_use]
pub fn unique(name: &str) -> String {
    format!("{name}-{:016x}", rand::random::<u64>())
}

/// Returns the current time, in microseconds since 1970.
#[must_use]
pub fn now() -> i64 {
    time::now_micros()
}

/// Converts microseconds to a time of the contract.
#[must_use]
pub fn at(micros: i64) -> Option<Timestamp> {
    Some(time::to_timestamp(micros))
}

/// Returns a temperature in row form.
#[must_use]
pub fn point(device_id: &str, timestamp: i64, value: f64) -> Point {
    named(device_id, "temperature", timestamp, value)
}

/// Returns a point of any metric in row form.
#[must_use]
pub fn named(device_id: &str, metric_name: &str, timestamp: i64, value: f64) -> Point {
    let device_id = device_id.to_owned();
    let metric_name = metric_name.to_owned();
    Point { device_id, metric_name, value: Some(value), timestamp: at(timestamp) }
}

/// Returns temperatures in series form.
#[must_use]
pub fn series(device_id: &str, timestamps_us: Vec<i64>, values: Vec<f64>) -> SeriesPoints {
    SeriesPoints {
        device_id: device_id.to_owned(),
        metric_name: "temperature".to_owned(),
        timestamps_us,
        values,
    }
}

/// Returns an unnumbered batch in row form.
#[must_use]
pub fn batch(points: Vec<Point>) -> Batch {
    Batch { points, ..Default::default() }
}

/// Returns a numbered batch in row form.
#[must_use]
pub fn numbered(producer_id: &str, epoch: u64, sequence: u64, points: Vec<Point>) -> Batch {
    Batch {
        producer: Some(Producer { producer_id: producer_id.to_owned(), epoch }),
        sequence,
        ..batch(points)
    }
}

/// Returns a selector of one device's temperature.
#[must_use]
pub fn selector(device_id: &str) -> SeriesSelector {
    let device = Some(series_selector::Device::DeviceId(device_id.to_owned()));
    SeriesSelector { device, metric_name: "temperature".to_owned() }
}
