//! The batches of a flush, and their points in the order in which they are written. Does not depend
//! on SQL.

use std::borrow::Cow;

use shared::proto::v1::BatchResult;
use shared::quotas::HeldBytes;
use tracing::Span;

use crate::ack::{self, OutcomeSender};
use crate::numbering::Numbering;
use crate::points::Points;
use crate::scheduling::admission::Permit;
use crate::validate::Rejections;

/// A batch that is ready to be written.
pub(crate) struct QueuedBatch {
    pub(crate) numbering: Option<Numbering>,
    pub(crate) points: Points,
    /// Ids of the batch's series, by the series index of `points`.
    pub(crate) series_ids: Vec<i32>,
    /// Rejected points of the batch; they are not among `points`.
    pub(crate) rejections: Rejections,
    pub(crate) outcome: OutcomeSender,
    /// Permit for the batch's points, released when the batch is settled.
    pub(crate) permit: Permit,
    /// Quota for the bytes of the batch's message, released when the batch is settled.
    pub(crate) bytes: HeldBytes,
    /// Span of the batch.
    pub(crate) span: Span,
    /// Span of the batch's wait for a writer.
    pub(crate) waiting: Span,
}

impl QueuedBatch {
    /// Returns the producer id, if the batch is numbered.
    pub(crate) fn producer_id(&self) -> Option<&str> {
        self.numbering.as_ref().map(|numbering| numbering.producer_id.as_str())
    }

    /// Returns the answer to the batch if it is committed at this time, in microseconds since the
    /// Unix epoch.
    pub(crate) fn answer(&self, committed_at: i64) -> BatchResult {
        let sequence =
            self.numbering.as_ref().map_or(0, |numbering| numbering.sequence.unsigned_abs());
        ack::answer(sequence, self.points.len(), &self.rejections, committed_at)
    }
}

/// Points of one series in chronological order; never empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SortedRun<'f> {
    pub(crate) series_id: i32,
    pub(crate) timestamps: Cow<'f, [i64]>,
    pub(crate) values: Cow<'f, [f64]>,
}

impl SortedRun<'_> {
    fn first(&self) -> i64 {
        self.timestamps[0]
    }

    fn last(&self) -> i64 {
        self.timestamps[self.timestamps.len() - 1]
    }
}

/// The points of a flush in runs that are ordered by series and time and do not overlap. Points are
/// borrowed from their batches, except for those of runs that overlapped.
pub(crate) struct SortedRuns<'f> {
    pub(crate) runs: Vec<SortedRun<'f>>,
    /// Number of points.
    pub(crate) rows: usize,
    /// Number of distinct series.
    pub(crate) series: usize,
}

impl<'f> SortedRuns<'f> {
    /// Sorts the points of a flush's batches.
    pub(crate) fn gather(batches: impl IntoIterator<Item = &'f QueuedBatch>) -> Self {
        Self::of(batches.into_iter().map(|batch| (&batch.points, &*batch.series_ids)))
    }

    /// Sorts points, each part with the ids to which its series indices refer.
    pub(crate) fn of(parts: impl Iterator<Item = (&'f Points, &'f [i32])>) -> Self {
        let mut runs: Vec<SortedRun<'f>> = parts
            .flat_map(|(points, series_ids)| {
                points.runs().map(|(series, timestamps, values)| SortedRun {
                    series_id: series_ids[series as usize],
                    timestamps: Cow::Borrowed(timestamps),
                    values: Cow::Borrowed(values),
                })
            })
            .collect();
        runs.sort_unstable_by_key(|run| (run.series_id, run.first()));
        let runs = merge_overlaps(runs);
        let rows = runs.iter().map(|run| run.timestamps.len()).sum();
        let series = runs.chunk_by(|one, other| one.series_id == other.series_id).count();
        Self { runs, rows, series }
    }

    /// Returns the number of points before a time, in microseconds since the Unix epoch.
    pub(crate) fn before(&self, micros: i64) -> usize {
        let some = self.runs.iter().filter(|run| run.first() < micros);
        some.map(|run| run.timestamps.partition_point(|&timestamp| timestamp < micros)).sum()
    }
}

/// Merges the runs of a series that overlap in time. The runs must be ordered by series and first
/// time.
///
/// Sorts each group of overlapping runs once, so that many short runs within a long one add no
/// extra cost.
fn merge_overlaps(runs: Vec<SortedRun<'_>>) -> Vec<SortedRun<'_>> {
    let overlaps = |one: &SortedRun<'_>, other: &SortedRun<'_>| {
        one.series_id == other.series_id && other.first() < one.last()
    };
    if !runs.is_sorted_by(|one, other| !overlaps(one, other)) {
        return merge_groups(runs);
    }
    runs
}

fn merge_groups(runs: Vec<SortedRun<'_>>) -> Vec<SortedRun<'_>> {
    let mut merged = Vec::with_capacity(runs.len());
    let mut group: Vec<SortedRun<'_>> = Vec::new();
    let mut last = i64::MIN; // latest time in the group
    for run in runs {
        if group
            .first()
            .is_some_and(|first| first.series_id != run.series_id || run.first() >= last)
        {
            merged.extend(merge(&mut group));
            last = i64::MIN;
        }
        last = last.max(run.last());
        group.push(run);
    }
    merged.extend(merge(&mut group));
    merged
}

/// Empties a group of overlapping runs and returns their points as one run.
fn merge<'f>(group: &mut Vec<SortedRun<'f>>) -> Option<SortedRun<'f>> {
    if group.len() < 2 {
        return group.pop();
    }
    let series_id = group[0].series_id;
    let columns =
        group.iter().map(|run| run.timestamps.iter().copied().zip(run.values.iter().copied()));
    let mut points: Vec<(i64, f64)> = columns.flatten().collect();
    points.sort_by_key(|&(timestamp, _)| timestamp); // the stable sort is fast on existing runs
    group.clear();
    let (timestamps, values): (Vec<i64>, Vec<f64>) = points.into_iter().unzip();
    Some(SortedRun { series_id, timestamps: timestamps.into(), values: values.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(runs: &[(u32, &[i64])]) -> Points {
        let mut points = Points::default();
        for &(series, timestamps) in runs {
            for &timestamp in timestamps {
                #[allow(clippy::cast_precision_loss)] // small numbers
                points.push(series, timestamp, timestamp as f64);
            }
        }
        points
    }

    #[test]
    fn overlapping_runs_of_a_series_become_one_and_others_stay_borrowed() {
        let one = points(&[(0, &[1, 2, 10]), (1, &[3, 4]), (2, &[1, 5])]);
        let other = points(&[(0, &[2, 3]), (0, &[8]), (1, &[4, 6]), (0, &[10])]);
        let ids = [9, 8, 7];
        let sorted = SortedRuns::of([(&one, &ids[..]), (&other, &ids[..])].into_iter());
        let runs: Vec<_> = sorted
            .runs
            .iter()
            .map(|run| {
                (run.series_id, &*run.timestamps, matches!(run.timestamps, Cow::Borrowed(_)))
            })
            .collect();
        let expected: [(i32, &[i64], bool); 5] = [
            (7, &[1, 5], true),
            (8, &[3, 4], true),
            (8, &[4, 6], true),
            (9, &[1, 2, 2, 3, 8, 10], false),
            (9, &[10], true),
        ];
        assert_eq!(runs, expected);
        assert_eq!((sorted.rows, sorted.series, sorted.before(5)), (13, 3, 8));
        let values = sorted.runs.iter().flat_map(|run| run.values.iter());
        #[allow(clippy::cast_precision_loss)] // small numbers
        let timestamps =
            sorted.runs.iter().flat_map(|run| run.timestamps.iter().map(|&at| at as f64));
        assert!(values.copied().eq(timestamps), "values go with their timestamps");
    }
}
