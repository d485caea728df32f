//! Which points of a batch the database refuses for good: found by trying halves.

use shared::proto::v1::RejectionReason;

use super::transaction::Session;
use crate::flush::{QueuedBatch, SortedRuns};
use crate::metrics::Operation;
use crate::retry::{Backoff, Verdict, verdict};
use crate::validate::Rejections;

/// Most tries for one batch. What is undecided then is refused as it is, so that one hostile batch cannot hold up a lane; up to
/// about two hundred bad points in a full batch are found one by one.
const MAX_TRIES: usize = 4_096;

/// Points [start, end) of a batch that are refused, each on its own or, at the bound of tries, together.
pub(super) type Refused = Vec<(usize, usize)>;

/// Finds what is refused, in rising order. Waits for a database that is away.
pub(super) async fn find(session: &mut Session, batch: &QueuedBatch) -> Refused {
    let mut search = Search::among(batch.points.len());
    while let Some((start, end)) = search.next() {
        if is_refused(session, batch, start, end).await {
            search.narrow(start, end);
        }
    }
    search.refused
}

/// Halves what is refused until single points are left. Pure.
struct Search {
    /// Still to be tried, the next one last.
    parts: Vec<(usize, usize)>,
    tries: usize,
    refused: Refused,
}

impl Search {
    fn among(points: usize) -> Self {
        Self { parts: vec![(0, points)], tries: 0, refused: Refused::new() }
    }

    /// What to try next.
    fn next(&mut self) -> Option<(usize, usize)> {
        if self.tries == MAX_TRIES {
            self.refused.extend(self.parts.drain(..).rev());
        }
        self.tries += 1;
        self.parts.pop()
    }

    /// What was tried is refused.
    fn narrow(&mut self, start: usize, end: usize) {
        if end - start == 1 {
            return self.refused.push((start, end));
        }
        let middle = start.midpoint(end);
        self.parts.extend([(middle, end), (start, middle)]);
    }
}

async fn is_refused(session: &mut Session, batch: &QueuedBatch, start: usize, end: usize) -> bool {
    let part = batch.points.part(start..end);
    let points = SortedRuns::of([(&part, &*batch.series_ids)].into_iter());
    let mut backoff = Backoff::default();
    loop {
        match session.rehearse(&points).await {
            Ok(()) => return false,
            Err(error) if verdict(&error) == Verdict::Refused => return true,
            Err(error) => {
                session.metrics().retry(Operation::RefusedPoints, &error);
                let wait = backoff.next();
                tracing::warn!(%error, ?wait, "cannot look for refused points; trying again");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// Takes the refused points out of the batch, and says which they were as it was sent.
pub(super) fn take_out(batch: &mut QueuedBatch, refused: &Refused) -> Rejections {
    let mut rejections = Rejections::default();
    for at in refused.iter().flat_map(|&(start, end)| start..end) {
        let sentence =
            "the database refuses this point; its constraints or triggers say why".to_owned();
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

    /// Searches where these are refused.
    fn search(points: usize, is_bad: impl Fn(usize) -> bool) -> (Refused, usize) {
        let mut search = Search::among(points);
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
    fn tries_are_bounded_and_what_is_undecided_is_refused_as_it_is() {
        let (refused, tries) = search(100_000, |_| true);
        assert_eq!(tries, MAX_TRIES);
        let told: Vec<usize> = refused.into_iter().flat_map(|(start, end)| start..end).collect();
        assert!(told.into_iter().eq(0..100_000), "every point once, in order");
    }
}
