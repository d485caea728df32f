//! Builds the frames of `QueryAggregated`: buckets in columns.

use shared::proto::v1::{self, Statistic};

use super::gaps::{BucketRow, SLOTS};
use crate::series::SeriesAnswer;
use crate::store::Bucket;

/// The statistic in each slot of a row.
const ORDER: [Statistic; SLOTS] = [
    Statistic::Avg,
    Statistic::Max,
    Statistic::Min,
    Statistic::Sum,
    Statistic::First,
    Statistic::Last,
    Statistic::Stddev,
    Statistic::Rate,
];

impl BucketRow {
    /// Returns the row of a bucket. `lasts` is its length in microseconds.
    pub(super) fn of(bucket: &Bucket, lasts: i64) -> Self {
        let rate = bucket.increase / (lasts as f64 / 1e6);
        let Bucket { start, count, sum, min, max, first, last, .. } = *bucket;
        Self {
            start,
            count,
            values: [bucket.avg(), max, min, sum, first, last, bucket.stddev(), rate],
        }
    }
}

/// A builder of the frames of one answer.
pub(super) struct FrameBuilder<'a> {
    answer: &'a SeriesAnswer,
    starts: Vec<i64>,
    counts: Option<Vec<u64>>,
    columns: Vec<StatisticColumn>,
}

/// The values of one statistic, and its slot in a row.
struct StatisticColumn {
    statistic: Statistic,
    slot: usize,
    values: Vec<f64>,
}

impl<'a> FrameBuilder<'a> {
    pub(super) fn new(answer: &'a SeriesAnswer, statistics: &[Statistic]) -> Self {
        let counts = statistics.contains(&Statistic::Count).then(Vec::new);
        let slots =
            ORDER.iter().enumerate().filter(|(_, statistic)| statistics.contains(statistic));
        let columns =
            slots.map(|(slot, &statistic)| StatisticColumn { statistic, slot, values: Vec::new() });
        Self { answer, starts: Vec::new(), counts, columns: columns.collect() }
    }

    pub(super) fn rows(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn push(&mut self, row: &BucketRow) {
        self.starts.push(row.start);
        if let Some(counts) = &mut self.counts {
            counts.push(row.count);
        }
        for column in &mut self.columns {
            column.values.push(row.values[column.slot]);
        }
    }

    /// Returns the rows collected so far as a frame, and begins the next frame.
    pub(super) fn take(&mut self) -> v1::BucketsFrame {
        let mut frame = v1::BucketsFrame {
            series: Some(self.answer.key.clone()),
            selector_index: u32::try_from(self.answer.selector_index).unwrap_or(u32::MAX),
            bucket_starts_us: std::mem::take(&mut self.starts),
            count: self.counts.as_mut().map(std::mem::take).unwrap_or_default(),
            ..Default::default()
        };
        for StatisticColumn { statistic, values, .. } in &mut self.columns {
            if let Some(column) = column(&mut frame, *statistic) {
                *column = std::mem::take(values);
            }
        }
        frame
    }
}

fn column(frame: &mut v1::BucketsFrame, statistic: Statistic) -> Option<&mut Vec<f64>> {
    match statistic {
        Statistic::Avg => Some(&mut frame.avg),
        Statistic::Max => Some(&mut frame.max),
        Statistic::Min => Some(&mut frame.min),
        Statistic::Sum => Some(&mut frame.sum),
        Statistic::First => Some(&mut frame.first),
        Statistic::Last => Some(&mut frame.last),
        Statistic::Stddev => Some(&mut frame.stddev),
        Statistic::Rate => Some(&mut frame.rate),
        Statistic::Count | Statistic::Unspecified => None,
    }
}
