//! Returns the outcome of a flush to the calls that wait for it.

use shared::proto::v1;
use shared::time;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;

use crate::error::BatchError;
use crate::metrics::{self, Metrics};
use crate::validate::Rejections;

/// The writer's end of the channel. Exactly one outcome is sent, after COMMIT has returned.
pub(crate) type OutcomeSender = oneshot::Sender<Result<v1::BatchResult, BatchError>>;

/// Maximum number of rejections listed in the summary of a stream.
const SUMMARY_MAX_LISTED: usize = 10_000;
/// Maximum number of ranges of rejected points in the summary of a stream.
const SUMMARY_MAX_RANGES: usize = 100_000;

/// Handle through which a call awaits the outcome of its batch.
pub(crate) struct PendingAck {
    state: AckState,
    /// Span of the batch; it ends with the acknowledgement.
    span: Span,
    /// When the batch arrived.
    arrived: Instant,
}

enum AckState {
    Known(Box<v1::BatchResult>),
    Awaited(oneshot::Receiver<Result<v1::BatchResult, BatchError>>),
}

impl PendingAck {
    /// Returns a pending acknowledgement and the sender that resolves it. The current span must be
    /// that of the batch.
    pub(crate) fn new(arrived: Instant) -> (Self, OutcomeSender) {
        let (sender, receiver) = oneshot::channel();
        (Self { state: AckState::Awaited(receiver), span: Span::current(), arrived }, sender)
    }

    /// Returns the acknowledgement of a batch that needs no flush.
    pub(crate) fn known(result: v1::BatchResult) -> Self {
        Self {
            state: AckState::Known(Box::new(result)),
            span: Span::current(),
            arrived: Instant::now(),
        }
    }

    /// Waits until the batch is committed or refused.
    pub(crate) async fn settled(self, metrics: &Metrics) -> Result<Ack, BatchError> {
        let result = match self.state {
            AckState::Known(result) => *result,
            AckState::Awaited(outcome) => {
                outcome.await.unwrap_or_else(|_| Err(BatchError::shutting_down()))?
            }
        };
        let acknowledging = metrics::acknowledge(&self.span);
        metrics.acknowledged(self.arrived.elapsed());
        Ok(Ack { result, _spans: [acknowledging, self.span] })
    }
}

/// Builds the answer to a batch from the number of its stored points and its rejections.
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

/// The acknowledgement of a committed batch.
#[derive(Debug)]
pub(crate) struct Ack {
    result: v1::BatchResult,
    /// Spans that end when the acknowledgement is sent.
    _spans: [Span; 2],
}

impl From<Ack> for v1::BatchResult {
    fn from(ack: Ack) -> Self {
        ack.result
    }
}

/// Summary of a stream's acknowledgements.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    response: v1::IngestResponse,
    ranges: usize,
}

impl Summary {
    /// Adds the acknowledgement of the stream's next batch.
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
