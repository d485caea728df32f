//! Which points of a batch the database refuses for good: found by trying halves.

use shared::proto::v1::RejectionReason;

use super::transaction::Session;
use crate::flush::{QueuedBatch, SortedRuns};
use crate::retry::{Backoff, Verdict, verdict};
use crate::validate::Rejections;

/// Most tries for one batch. What is undecided then is refused as it is, so that one hostile batch cannot hold up a lane; up to
/// about two hundred bad points in a full batch are found one by one.
const MAX_TRIES: usize = 4_096;

/// Points [start, end) of a batch that are refused, each on its own or, at the bound of tries, together.
pub(super) type Refused = Vec<(usize, usize)>;

/// Finds what is refused, in rising order. Waits for a database that is away.
pub(super) async fn find(session: &mut Session, batch: &QueuedBatch) -> Refused {
    let mut refused = Refused::new();
    let mut parts = vec![(0, batch.points.len())]; // the next one last; refused unless shown otherwise
    let mut tries = 0;
    while let Some((start, end)) = parts.pop() {
        tries += 1;
        if tries > MAX_TRIES {
            refused.push((start, end));
        } else if is_refused(session, batch, start, end).await {
            let middle = start.midpoint(end);
            if end - start == 1 {
                refused.push((start, end));
            } else {
                parts.extend([(middle, end), (start, middle)]);
            }
        }
    }
    refused
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
        let sentence = "the database refuses this point; its constraints or triggers say why".to_owned();
        rejections.push(batch.points.sent_index(at), 1, RejectionReason::RefusedByDatabase, sentence);
    }
    let mut is_kept = vec![true; batch.points.len()];
    refused.iter().for_each(|&(start, end)| is_kept[start..end].fill(false));
    batch.points = batch.points.part((0..is_kept.len()).filter(|&at| is_kept[at]));
    rejections
}
