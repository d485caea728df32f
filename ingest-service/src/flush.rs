//! The batches of a flush, and their points in the order in which they are written. Knows no SQL.

use shared::proto::v1::BatchResult;
use shared::quotas::HeldBytes;
use tracing::Span;

use crate::ack::{self, OutcomeSender};
use crate::flush_loop::Room;
use crate::points::Points;
use crate::validate::{Numbering, Rejections};

/// A batch that is ready to be written.
pub(crate) struct QueuedBatch {
    pub(crate) numbering: Option<Numbering>,
    pub(crate) points: Points,
    /// Ids of the batch's series, in the order of its list.
    pub(crate) series_ids: Vec<i32>,
    /// Points of the batch that are refused; they are not among `points`.
    pub(crate) rejections: Rejections,
    pub(crate) outcome: OutcomeSender,
    /// Gives its room back when the batch has been settled.
    pub(crate) room: Room,
    /// Likewise, the bytes of its message.
    pub(crate) bytes: HeldBytes,
    /// The batch's own, and that of its waiting for a writer.
    pub(crate) span: Span,
    pub(crate) waiting: Span,
}

impl QueuedBatch {
    /// Returns the producer id, if the batch is numbered.
    pub(crate) fn producer_id(&self) -> Option<&str> {
        self.numbering.as_ref().map(|numbering| numbering.producer_id.as_str())
    }

    /// Returns the batch's answer if it is stored now.
    pub(crate) fn answer(&self, committed_at: i64) -> BatchResult {
        let sequence = self.numbering.as_ref().map_or(0, |numbering| numbering.sequence.unsigned_abs());
        ack::answer(sequence, self.points.len(), &self.rejections, committed_at)
    }
}

/// Points of one series in the order of their times, borrowed from their batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SortedRun<'f> {
    pub(crate) series_id: i32,
    first: i64,
    pub(crate) timestamps: &'f [i64],
    pub(crate) values: &'f [f64],
}

/// The points of a flush by series and time, as the columnstore and the index like them. Runs are sorted, points are not
/// moved; runs of one series that overlap in time stay one after the other.
pub(crate) struct SortedRuns<'f> {
    pub(crate) runs: Vec<SortedRun<'f>>,
    pub(crate) rows: usize,
    /// Distinct series.
    pub(crate) series: usize,
}

impl<'f> SortedRuns<'f> {
    pub(crate) fn gather(batches: impl IntoIterator<Item = &'f QueuedBatch>) -> Self {
        Self::of(batches.into_iter().map(|batch| (&batch.points, &*batch.series_ids)))
    }

    /// Of points whose series refer to the ids beside them.
    pub(crate) fn of(parts: impl Iterator<Item = (&'f Points, &'f [i32])>) -> Self {
        let mut runs: Vec<SortedRun<'f>> = parts
            .flat_map(|(points, series_ids)| {
                points.runs().map(|(series, timestamps, values)| SortedRun {
                    series_id: series_ids[series as usize],
                    first: timestamps[0],
                    timestamps,
                    values,
                })
            })
            .collect();
        runs.sort_unstable_by_key(|run| (run.series_id, run.first));
        let rows = runs.iter().map(|run| run.timestamps.len()).sum();
        let series = runs.chunk_by(|one, other| one.series_id == other.series_id).count();
        Self { runs, rows, series }
    }

    /// How many points lie before a time.
    pub(crate) fn before(&self, micros: i64) -> usize {
        let some = self.runs.iter().filter(|run| run.first < micros);
        some.map(|run| run.timestamps.partition_point(|&timestamp| timestamp < micros)).sum()
    }
}
