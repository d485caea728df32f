//! Batches of points with current timestamps. A template is encoded once. Each batch is a copy of
//! it with new timestamps, so that the sender costs little.

use std::ops::Range;

use prost::Message as _;
use prost::bytes::Bytes;
use shared::proto::v1::{Batch, SeriesPoints};
use shared::time;

use crate::bench::ingest::shape::{BATCH_POINTS, METRIC, SECOND};
use crate::bench::query;
use crate::bench::values::value;

/// Digits of a timestamp in microseconds since the Unix epoch, for the years 2001 to 2286.
const DIGITS: usize = 16;

/// Devices with one metric each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fleet {
    pub(super) series: usize,
    /// Points per series in a batch.
    pub(super) run: usize,
}

impl Fleet {
    /// Returns templates that together contain every series once.
    pub(super) fn batches(self, format: FeedFormat) -> Vec<BatchTemplate> {
        let per_batch = (BATCH_POINTS / self.run).max(1);
        let first = (0..self.series).step_by(per_batch);
        let begin = time::now_micros();
        first
            .map(|first| {
                BatchTemplate::new(
                    first..self.series.min(first + per_batch),
                    self.run,
                    format,
                    begin,
                )
            })
            .collect()
    }
}

/// Format of the batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FeedFormat {
    /// `SeriesPoints` of a `Batch`.
    Series,
    /// InfluxDB line protocol with timestamps in microseconds.
    Lines,
}

/// Encoded batch whose timestamps are replaced for each sending.
pub(super) struct BatchTemplate {
    bytes: Vec<u8>,
    format: FeedFormat,
    /// Byte offsets of the timestamps, for each position in the run of a series.
    offsets: Vec<Vec<usize>>,
    pub(super) points: usize,
    /// Timestamp of the last point of the last batch.
    last: i64,
}

impl BatchTemplate {
    fn new(devices: Range<usize>, run: usize, format: FeedFormat, begin: i64) -> Self {
        let points = devices.len() * run;
        let mut template =
            Self { bytes: Vec::new(), format, offsets: vec![Vec::new(); run], points, last: begin };
        for device in devices {
            let values: Vec<f64> =
                (0..run).map(|at| value(device, begin + at as i64 * SECOND)).collect();
            match format {
                FeedFormat::Series => template.push_series(device, values),
                FeedFormat::Lines => template.push_lines(device, &values),
            }
        }
        template
    }

    fn push_series(&mut self, device: usize, values: Vec<f64>) {
        let column_bytes = 8 * values.len();
        let timestamps_us = vec![0; values.len()];
        let one = SeriesPoints {
            device_id: query::sustained_device(device),
            metric_name: METRIC.to_owned(),
            values,
            timestamps_us,
        };
        let encoded = Batch { series: vec![one], ..Default::default() }.encode_to_vec();
        // The values come last, after a tag and a length. The timestamps come right before them.
        let values_field = 1 + prost::length_delimiter_len(column_bytes) + column_bytes;
        let first = self.bytes.len() + encoded.len() - values_field - column_bytes;
        for (at, offsets) in self.offsets.iter_mut().enumerate() {
            offsets.push(first + 8 * at);
        }
        self.bytes.extend(encoded);
    }

    fn push_lines(&mut self, device: usize, values: &[f64]) {
        let device_id = query::sustained_device(device);
        for (value, offsets) in values.iter().zip(&mut self.offsets) {
            self.bytes.extend(format!("{METRIC},device_id={device_id} value={value} ").as_bytes());
            offsets.push(self.bytes.len());
            self.bytes.extend([b'0'; DIGITS]);
            self.bytes.push(b'\n');
        }
    }

    /// Returns a batch whose points are spread evenly from the end of the last batch to `now`.
    pub(super) fn fill(&mut self, now: i64) -> Bytes {
        let run = self.offsets.len() as i64;
        let span = (now - self.last).max(run);
        for (at, offsets) in self.offsets.iter().enumerate() {
            let timestamp = self.last + span * (at as i64 + 1) / run;
            let digits = timestamp.to_string();
            let fixed = timestamp.to_le_bytes();
            let encoded =
                if self.format == FeedFormat::Series { &fixed[..] } else { digits.as_bytes() };
            for &offset in offsets {
                self.bytes[offset..offset + encoded.len()].copy_from_slice(encoded);
            }
        }
        self.last += span;
        Bytes::copy_from_slice(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLEET: Fleet = Fleet { series: 3, run: 4 };

    #[test]
    fn a_filled_batch_has_every_series_once_and_the_time_since_the_last_batch() {
        let mut templates = FLEET.batches(FeedFormat::Series);
        assert_eq!(templates.len(), 1);
        let begin = templates[0].last;
        templates[0].fill(begin + 100);
        let batch = Batch::decode(templates[0].fill(begin + 500)).unwrap();
        assert_eq!(batch.series.len(), 3);
        for series in &batch.series {
            assert_eq!(series.timestamps_us, [200, 300, 400, 500].map(|after| begin + after));
            assert_eq!(series.values.len(), 4);
        }
        assert_ne!(batch.series[0].device_id, batch.series[1].device_id);
    }

    #[test]
    fn timestamps_rise_even_if_the_clock_stands_still() {
        let mut template = FLEET.batches(FeedFormat::Series).remove(0);
        let now = template.last;
        let batch = Batch::decode(template.fill(now)).unwrap();
        assert_eq!(batch.series[2].timestamps_us, [1, 2, 3, 4].map(|after| now + after));
    }

    #[test]
    fn lines_hold_the_same_points() {
        let mut template = FLEET.batches(FeedFormat::Lines).remove(0);
        let now = template.last + 4_000;
        let lines = String::from_utf8(template.fill(now).to_vec()).unwrap();
        assert_eq!(lines.lines().count(), 12);
        let last = lines.lines().last().unwrap();
        assert!(last.starts_with("temperature,device_id=fleet-00-0001 value="), "{last}");
        assert!(last.ends_with(&format!(" {now}")), "{last}");
    }
}
