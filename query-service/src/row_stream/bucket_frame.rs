//! Buckets in columns, as the contract has them.

use shared::proto::v1::{self, Statistic};

use super::gaps::{Row, SLOTS};
use crate::series::Answer;
use crate::store::Bucket;

/// Statistics at their places in a row.
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

impl Row {
    /// A bucket that lasts for so many microseconds.
    pub(super) fn of(bucket: &Bucket, lasts: i64) -> Self {
        let avg = bucket.sum / bucket.count as f64;
        let rate = bucket.increase / (lasts as f64 / 1e6);
        let Bucket { start, count, sum, min, max, first, last, .. } = *bucket;
        Self { start, count, values: [avg, max, min, sum, first, last, bucket.stddev(), rate] }
    }
}

/// Collects the rows of an answer into frames.
pub(super) struct FrameBuilder<'a> {
    answer: &'a Answer,
    statistics: &'a [Statistic],
    frame: v1::BucketsFrame,
}

impl<'a> FrameBuilder<'a> {
    pub(super) fn new(answer: &'a Answer, statistics: &'a [Statistic]) -> Self {
        Self { answer, statistics, frame: v1::BucketsFrame::default() }
    }

    pub(super) fn rows(&self) -> usize {
        self.frame.bucket_starts_us.len()
    }

    pub(super) fn push(&mut self, row: &Row) {
        self.frame.bucket_starts_us.push(row.start);
        for &statistic in self.statistics {
            if statistic == Statistic::Count {
                self.frame.count.push(row.count);
            }
            if let (Some(slot), Some(column)) =
                (ORDER.iter().position(|&other| other == statistic), column(&mut self.frame, statistic))
            {
                column.push(row.values[slot]);
            }
        }
    }

    /// The frame so far; the next one begins.
    pub(super) fn take(&mut self) -> v1::BucketsFrame {
        let mut frame = std::mem::take(&mut self.frame);
        frame.series = Some(self.answer.key.clone());
        frame.selector_index = u32::try_from(self.answer.selector_index).unwrap_or(u32::MAX);
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
