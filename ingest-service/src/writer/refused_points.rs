//! Finds the points of a batch that the database refuses permanently, by bisection.

use shared::proto::v1::RejectionReason;

use super::transaction::WriterSession;
use crate::flush::{QueuedBatch, SortedRuns};
use crate::metrics::Operation;
use crate::retry::Retries;
use crate::validate::Rejections;

/// Maximum number of trial writes for one batch. It finds about two hundred bad points in a full
/// batch. Ranges that are undecided by then are refused as a whole, so that one hostile batch
/// cannot block a lane.
const MAX_TRIES: usize = 4_096;

/// Ranges `[start, end)` of refused points of a batch. A range holds one point, or more if the
/// limit of tries was reached.
pub(super) type RefusedRanges = Vec<(usize, usize)>;

/// Finds the refused points, in ascending order. Waits while the database is unavailable.
pub(super) async fn find(session: &mut WriterSession, batch: &QueuedBatch) -> RefusedRanges {
    let mut search = RefusedSearch::among(batch.points.len());
    while let Some((start, end)) = search.next() {
        if is_refused(session, batch, start, end).await {
            search.narrow(start, end);
        }
    }
    search.refused
}

/// Bisection of refused ranges down to single points. Does no I/O.
struct RefusedSearch {
    /// Stack of ranges to try; the next one is the last.
    parts: Vec<(usize, usize)>,
    tries: usize,
    refused: RefusedRanges,
}

impl RefusedSearch {
    fn among(points: usize) -> Self {
        Self { parts: vec![(0, points)], tries: 0, refused: RefusedRanges::new() }
    }

    /// Returns the next range to try.
    fn next(&mut self) -> Option<(usize, usize)> {
        if self.tries == MAX_TRIES {
            self.refused.extend(self.parts.drain(..).rev());
        }
        self.tries += 1;
        self.parts.pop()
    }

    /// Records that a range was refused.
    fn narrow(&mut self, start: usize, end: usize) {
        if end - start == 1 {
            return self.refused.push((start, end));
        }
        let middle = start.midpoint(end);
        self.parts.extend([(middle, end), (start, middle)]);
    }
}

/// Tries to write a range of the batch and rolls back. Returns whether the database refuses it.
async fn is_refused(
    session: &mut WriterSession,
    batch: &QueuedBatch,
    start: usize,
    end: usize,
) -> bool {
    let part = batch.points.part(start..end);
    let points = SortedRuns::of([(&part, &*batch.series_ids)].into_iter());
    let mut retries = Retries::of(Operation::RefusedPoints, session.metrics());
    while let Err(error) = session.try_write(&points).await {
        if retries.wait_after(error).await.is_err() {
            return true;
        }
    }
    false
}

/// Removes the refused points from the batch. Returns their rejections, with the indices of the
/// batch as it was sent.
pub(super) fn remove(batch: &mut QueuedBatch, refused: &RefusedRanges) -> Rejections {
    let mut rejections = Rejections::default();
    for at in refused.iter().flat_map(|&(start, end)| start..end) {
        let sentence =
            "the database refuses this point because of a constraint or trigger".to_owned();
        rejections.push(
            batch.points.sent_index(at),
            1,
            RejectionReason::RefusedByDatabase,
            sentence,
        );
    }
    let mut is_kept = vec![true; batch.points.len()];
    refused.iter().for_each(|&(start, end)| is_kept[start..end].fill(false));
    batch.points = batch.points.part((0..is_kept.len()).filter(|&at| is_kept[at]));
    rejections
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a search in which the bad points are refused.
    fn search(points: usize, is_bad: impl Fn(usize) -> bool) -> (RefusedRanges, usize) {
        let mut search = RefusedSearch::among(points);
        let mut tries = 0;
        while let Some((start, end)) = search.next() {
            tries += 1;
            if (start..end).any(&is_bad) {
                search.narrow(start, end);
            }
        }
        (search.refused, tries)
    }

    #[test]
    fn each_refused_point_is_found_and_no_other() {
        let bad = [0, 7, 8, 4_999];
        let (refused, _) = search(5_000, |at| bad.contains(&at));
        assert_eq!(refused, bad.map(|at| (at, at + 1)));
    }

    #[test]
    fn tries_are_bounded_and_undecided_ranges_are_refused_as_a_whole() {
        let (refused, tries) = search(100_000, |_| true);
        assert_eq!(tries, MAX_TRIES);
        let found: Vec<usize> = refused.into_iter().flat_map(|(start, end)| start..end).collect();
        assert!(found.into_iter().eq(0..100_000), "every point once, in order");
    }
}
