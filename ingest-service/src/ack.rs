//! The outcome of a flush, back to the calls that wait for it.

use shared::proto::v1;
use shared::time;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;

use crate::error::BatchError;
use crate::metrics::{self, Metrics};
use crate::validate::Rejections;

/// The writer's end: exactly one outcome goes through it, after COMMIT returned.
pub(crate) type OutcomeSender = oneshot::Sender<Result<v1::BatchResult, BatchError>>;

/// Most rejections that the summary of a stream lists.
const SUMMARY_MAX_LISTED: usize = 10_000;
/// Most ranges of refused points that the summary of a stream holds.
const SUMMARY_MAX_RANGES: usize = 100_000;

/// A batch under way, seen from its call.
pub(crate) struct PendingAck {
    outcome: Outcome,
    /// The batch's own: it ends with the acknowledgement.
    span: Span,
    /// When the batch arrived.
    arrived: Instant,
}

enum Outcome {
    Known(Box<v1::BatchResult>),
    Awaited(oneshot::Receiver<Result<v1::BatchResult, BatchError>>),
}

impl PendingAck {
    /// Returns the acknowledgement to wait for, and what resolves it. The batch is the one of the current span.
    pub(crate) fn new(arrived: Instant) -> (Self, OutcomeSender) {
        let (sender, receiver) = oneshot::channel();
        (Self { outcome: Outcome::Awaited(receiver), span: Span::current(), arrived }, sender)
    }

    /// Returns the acknowledgement of a batch whose answer is known without a flush.
    pub(crate) fn known(result: v1::BatchResult) -> Self {
        Self {
            outcome: Outcome::Known(Box::new(result)),
            span: Span::current(),
            arrived: Instant::now(),
        }
    }

    /// Waits for the commit.
    pub(crate) async fn settled(self, metrics: &Metrics) -> Result<Ack, BatchError> {
        let result = match self.outcome {
            Outcome::Known(result) => *result,
            Outcome::Awaited(outcome) => {
                outcome.await.unwrap_or_else(|_| Err(BatchError::shutting_down()))?
            }
        };
        let acknowledging = metrics::acknowledge(&self.span);
        metrics.acknowledged(self.arrived.elapsed());
        Ok(Ack { result, _spans: [acknowledging, self.span] })
    }
}

/// Returns the answer of a batch, from the number of its points that are stored and those that are refused.
pub(crate) fn answer(
    sequence: u64,
    accepted: usize,
    rejections: &Rejections,
    committed_at: i64,
) -> v1::BatchResult {
    v1::BatchResult {
        sequence,
        accepted_count: accepted as u64,
        rejected_count: rejections.count,
        rejections: rejections.listed.clone(),
        rejections_truncated: rejections.truncated,
        committed_at: Some(time::to_timestamp(committed_at)),
        is_duplicate: false,
        rejected_points: (rejections.count > 0).then(|| rejections.ranges.clone()),
    }
}

/// A settled batch.
#[derive(Debug)]
pub(crate) struct Ack {
    result: v1::BatchResult,
    /// They end when this is handed on.
    _spans: [Span; 2],
}

impl From<Ack> for v1::BatchResult {
    fn from(ack: Ack) -> Self {
        ack.result
    }
}

/// The sum of a stream's acknowledgements.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    response: v1::IngestResponse,
    ranges: usize,
}

impl Summary {
    /// Adds the next batch of the stream.
    pub(crate) fn add(&mut self, ack: Ack) {
        let v1::BatchResult { accepted_count, rejections, rejected_points, is_duplicate, .. } =
            ack.result;
        let response = &mut self.response;
        let batch_index = response.batch_count;
        response.batch_count += 1;
        response.accepted_count += accepted_count;
        response.duplicate_count += if is_duplicate { accepted_count } else { 0 };
        response.rejected_count += ack.result.rejected_count;
        let free = SUMMARY_MAX_LISTED - response.rejections.len();
        response.rejections_truncated |= ack.result.rejections_truncated || rejections.len() > free;
        let listed = rejections.into_iter().take(free);
        response.rejections.extend(listed.map(|entry| v1::Rejection { batch_index, ..entry }));
        let Some(points) = rejected_points else { return };
        self.ranges += points.starts.len();
        if self.ranges <= SUMMARY_MAX_RANGES {
            response.rejected_points.push(v1::RejectedPoints { batch_index, points: Some(points) });
        }
    }
}

impl From<Summary> for v1::IngestResponse {
    fn from(summary: Summary) -> Self {
        summary.response
    }
}

#[cfg(test)]
mod tests {
    use shared::proto::v1::RejectionReason;

    use super::*;

    fn ack(accepted: usize, rejected: usize, is_duplicate: bool) -> Ack {
        let mut rejections = Rejections::default();
        (0..rejected).for_each(|at| {
            rejections.push(2 * at, 1, RejectionReason::ValueNotFinite, String::new())
        });
        let result = v1::BatchResult { is_duplicate, ..answer(1, accepted, &rejections, 0) };
        Ack { result, _spans: [Span::none(), Span::none()] }
    }

    #[test]
    fn a_summary_lists_the_rejections_of_every_batch() {
        let mut summary = Summary::default();
        [ack(5, 500, false), ack(7, 1, true), ack(2, 0, false)]
            .into_iter()
            .for_each(|ack| summary.add(ack));
        let response = v1::IngestResponse::from(summary);
        assert_eq!(
            (response.batch_count, response.accepted_count, response.duplicate_count),
            (3, 14, 7)
        );
        assert_eq!((response.rejected_count, response.rejections.len()), (501, 101));
        assert_eq!(response.rejections[100].batch_index, 1);
        let ranges: Vec<_> =
            response.rejected_points.iter().map(|batch| batch.batch_index).collect();
        assert_eq!(ranges, [0, 1]);
        assert_eq!(response.rejected_points[0].points.as_ref().unwrap().starts.len(), 500);
    }

    #[test]
    fn a_summary_stays_bounded_however_much_is_refused() {
        let mut summary = Summary::default();
        (0..1_000).for_each(|_| summary.add(ack(0, 1_000, false)));
        let response = v1::IngestResponse::from(summary);
        assert_eq!(response.rejected_count, 1_000_000);
        assert_eq!(response.rejections.len(), SUMMARY_MAX_LISTED);
        assert!(response.rejections_truncated);
        assert_eq!(response.rejected_points.len(), 100);
    }
}
