//! Reads `examples/weather.csv`, real readings of 2013. They are moved forward by whole days, so
//! that ingest-service accepts their times.

use anyhow::Context as _;
use chrono::DateTime;
use shared::proto::v1::Point;
use shared::time;

use crate::programs::root;

/// A day in microseconds.
const DAY: i64 = 86_400_000_000;

/// The readings as points.
pub(super) struct Weather {
    pub(super) points: Vec<Point>,
    /// By how many days the readings were moved.
    pub(super) moved_days: i64,
    first: i64,
}

impl Weather {
    /// Returns the earliest time, in microseconds since 1970.
    pub(super) fn first(&self) -> i64 {
        self.first
    }
}

/// Reads the file, and moves the readings so that the last one is less than a day before `now`.
pub(super) fn read(now: i64) -> anyhow::Result<Weather> {
    let mut rows: Vec<(i64, Point)> = Vec::new();
    for row in csv::Reader::from_path(root().join("examples/weather.csv"))?.deserialize() {
        let (timestamp, device_id, metric_name, value): (String, String, String, f64) = row?;
        let micros = DateTime::parse_from_rfc3339(&timestamp)?.timestamp_micros();
        rows.push((micros, Point { device_id, metric_name, value: Some(value), timestamp: None }));
    }
    let first = rows.iter().map(|(micros, _)| *micros).min().context("the file has no rows")?;
    let last = rows.iter().map(|(micros, _)| *micros).max().context("the file has no rows")?;
    let moved_days = (now - last).div_euclid(DAY);
    let point = |(micros, point)| Point {
        timestamp: Some(time::to_timestamp(micros + moved_days * DAY)),
        ..point
    };
    Ok(Weather {
        points: rows.into_iter().map(point).collect(),
        moved_days,
        first: first + moved_days * DAY,
    })
}
