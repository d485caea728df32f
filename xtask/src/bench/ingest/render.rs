//! Encodes points for each path before the clock starts.

use std::fmt::Write as _;

use prost::Message as _;
use prost::bytes::Bytes;
use shared::proto::v1::{Batch, Point, SeriesPoints};
use shared::time;

use super::shape::{METRIC, PointRange, Shape, device_id};
use crate::bench::copy_rows::CopyRows;

/// Form of the points in a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    Series,
    Row,
}

/// Encodes the points of a batch, without producer and sequence.
pub(super) fn batch(shape: &Shape, range: &PointRange, form: Form) -> Bytes {
    let batch = match form {
        Form::Series => Batch { series: series(shape, range), ..Default::default() },
        Form::Row => Batch { points: rows(shape, range), ..Default::default() },
    };
    batch.encode_to_vec().into()
}

fn series(shape: &Shape, range: &PointRange) -> Vec<SeriesPoints> {
    let times = shape.times(range.step);
    let series = |device| SeriesPoints {
        device_id: device_id(device),
        metric_name: METRIC.to_owned(),
        values: Shape::values(device, &times).collect(),
        timestamps_us: times.clone(),
    };
    range.devices.clone().map(series).collect()
}

fn rows(shape: &Shape, range: &PointRange) -> Vec<Point> {
    let times = shape.times(range.step);
    let mut rows = Vec::with_capacity(shape.points_of(range));
    for device in range.devices.clone() {
        rows.extend(times.iter().zip(Shape::values(device, &times)).map(|(&at, value)| Point {
            device_id: device_id(device),
            metric_name: METRIC.to_owned(),
            value: Some(value),
            timestamp: Some(time::to_timestamp(at)),
        }));
    }
    rows
}

/// Encodes the rows of a flush for COPY, sorted by series and then by time, in either direction.
pub(super) fn copy_binary(
    shape: &Shape,
    range: &PointRange,
    series_ids: &[i32],
    newest_first: bool,
) -> Bytes {
    let mut times = shape.times(range.step);
    if newest_first {
        times.reverse();
    }
    let mut devices: Vec<usize> = range.devices.clone().collect();
    devices.sort_unstable_by_key(|&device| series_ids[device]);
    let mut rows = CopyRows::new(shape.points_of(range));
    for device in devices {
        for (&at, value) in times.iter().zip(Shape::values(device, &times)) {
            rows.push(at, series_ids[device], value);
        }
    }
    rows.finish()
}

/// Formats points as line protocol, with timestamps in milliseconds.
pub(super) fn lines(shape: &Shape, range: &PointRange) -> Bytes {
    let times = shape.times(range.step);
    let mut lines = String::with_capacity(64 * shape.points_of(range));
    for device in range.devices.clone() {
        for (at, value) in times.iter().zip(Shape::values(device, &times)) {
            // Writing into a string cannot fail.
            let _ = writeln!(
                lines,
                "{METRIC},device_id={} value={value} {}",
                device_id(device),
                at / 1000
            );
        }
    }
    lines.into()
}

/// Formats points in order of time, one per line, for `bench/seed.py`.
pub(super) fn tab_separated(shape: &Shape) -> String {
    let mut lines = String::with_capacity(64 * shape.points());
    for step in 0..shape.steps {
        let times = shape.times(step);
        let columns: Vec<Vec<f64>> =
            (0..shape.devices).map(|device| Shape::values(device, &times).collect()).collect();
        for (at, time) in times.iter().enumerate() {
            for (device, values) in columns.iter().enumerate() {
                let _ = writeln!(lines, "{}\t{METRIC}\t{time}\t{}", device_id(device), values[at]);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use shared::db::POSTGRES_EPOCH;

    use super::*;

    const SHAPE: Shape = Shape { devices: 2, run: 2, steps: 1, start: POSTGRES_EPOCH, days: 1 };
    const ALL: PointRange = PointRange { step: 0, devices: 0..2 };

    #[test]
    fn both_forms_hold_the_same_points() {
        let series = Batch::decode(batch(&SHAPE, &ALL, Form::Series)).unwrap();
        let rows = Batch::decode(batch(&SHAPE, &ALL, Form::Row)).unwrap();
        let of_series: Vec<f64> =
            series.series.iter().flat_map(|series| series.values.clone()).collect();
        let of_rows: Vec<f64> = rows.points.iter().map(|point| point.value.unwrap()).collect();
        assert_eq!(of_series, of_rows);
        assert_eq!(of_rows.len(), 4);
    }

    #[test]
    fn a_flush_is_sorted_by_series() {
        let bytes = copy_binary(&SHAPE, &ALL, &[9, 7], false);
        assert_eq!(bytes[37..41], [0, 0, 0, 7]);
        let newest_first = copy_binary(&SHAPE, &ALL, &[9, 7], true);
        assert_eq!(
            newest_first[25..33],
            bytes[59..67],
            "the second time of the series comes first"
        );
    }

    #[test]
    fn a_line_has_its_time_in_milliseconds() {
        let lines = String::from_utf8(lines(&SHAPE, &ALL).to_vec()).unwrap();
        let first = lines.lines().next().unwrap();
        assert!(first.starts_with("temperature,device_id=bench-000000 value="), "{first}");
        assert!(first.ends_with(" 946684800000"), "{first}");
    }

    #[test]
    fn the_seed_gets_its_points_in_order_of_time() {
        let lines = tab_separated(&SHAPE);
        let times: Vec<&str> = lines.lines().map(|line| line.split('\t').nth(2).unwrap()).collect();
        assert_eq!(times[0], times[1]);
        assert!(times[1] < times[2]);
    }
}
