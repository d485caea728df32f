//! The outcome of a flush, back to the streams that wait for it.

use shared::proto::v1;
use shared::time;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;

use crate::error::BatchError;
use crate::metrics::{self, Metrics};
use crate::validate::Rejections;

/// What the database did with a batch, told after COMMIT returned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stored {
    /// This flush applied it.
    Applied {
        /// When the commit was seen, in microseconds.
        committed_at: i64,
        /// Points that the database refused; the others are stored.
        refused: Rejections,
    },
    /// An earlier sending had been applied.
    Duplicate {
        /// When that was certain, in microseconds.
        committed_at: i64,
    },
}

/// The writer's end: exactly one outcome goes through it.
pub(crate) type OutcomeSender = oneshot::Sender<Result<Stored, BatchError>>;

/// A batch on its way, seen from its stream.
pub(crate) struct PendingAck {
    sequence: u64,
    valid_points: u64,
    rejections: Rejections,
    outcome: Outcome,
    /// The batch's own: it ends with the acknowledgement.
    span: Span,
    /// When the batch arrived.
    arrived: Instant,
}

enum Outcome {
    Known(Stored),
    Awaited(oneshot::Receiver<Result<Stored, BatchError>>),
}

impl PendingAck {
    /// Of the batch that the current span is about.
    pub(crate) fn new(
        sequence: u64,
        valid_points: usize,
        rejections: Rejections,
        arrived: Instant,
    ) -> (Self, OutcomeSender) {
        let (sender, receiver) = oneshot::channel();
        let (valid_points, outcome) = (valid_points as u64, Outcome::Awaited(receiver));
        (Self { sequence, valid_points, rejections, outcome, span: Span::current(), arrived }, sender)
    }

    /// Of an unnumbered batch none of whose points is valid: there is nothing to commit.
    pub(crate) fn nothing_to_store(rejections: Rejections) -> Self {
        let stored = Stored::Applied { committed_at: time::now_micros(), refused: Rejections::default() };
        let (outcome, span, arrived) = (Outcome::Known(stored), Span::current(), Instant::now());
        Self { sequence: 0, valid_points: 0, rejections, outcome, span, arrived }
    }

    /// Waits for the commit.
    pub(crate) async fn settled(mut self, metrics: &Metrics) -> Result<Ack, BatchError> {
        let stored = match self.outcome {
            Outcome::Known(stored) => stored,
            Outcome::Awaited(outcome) => outcome.await.unwrap_or_else(|_| Err(BatchError::shutting_down()))?,
        };
        let acknowledging = metrics::acknowledge(&self.span);
        metrics.acknowledged(self.arrived.elapsed());
        let (accepted, duplicate, committed_at) = match stored {
            Stored::Applied { committed_at, refused } => {
                let accepted = self.valid_points - refused.count;
                self.rejections.add(refused);
                (accepted, 0, committed_at)
            }
            Stored::Duplicate { committed_at } => (0, self.valid_points, committed_at),
        };
        let (sequence, rejections) = (self.sequence, self.rejections);
        Ok(Ack { sequence, accepted, duplicate, rejections, committed_at, _spans: [acknowledging, self.span] })
    }
}

/// A settled batch.
#[derive(Debug)]
pub(crate) struct Ack {
    sequence: u64,
    accepted: u64,
    duplicate: u64,
    rejections: Rejections,
    committed_at: i64,
    /// They end when this is handed on.
    _spans: [Span; 2],
}

impl From<Ack> for v1::BatchResult {
    fn from(ack: Ack) -> Self {
        Self {
            sequence: ack.sequence,
            accepted_count: ack.accepted,
            duplicate_count: ack.duplicate,
            rejected_count: ack.rejections.count,
            rejections: ack.rejections.listed,
            rejections_truncated: ack.rejections.truncated,
            committed_at: Some(time::to_timestamp(ack.committed_at)),
        }
    }
}

/// Adds up the acknowledgements of a stream.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    batches: u64,
    accepted: u64,
    duplicate: u64,
    rejections: Rejections,
}

impl Summary {
    pub(crate) fn add(&mut self, ack: Ack) {
        self.rejections.append(self.batches, ack.rejections);
        self.batches += 1;
        self.accepted += ack.accepted;
        self.duplicate += ack.duplicate;
    }
}

impl From<Summary> for v1::IngestResponse {
    fn from(summary: Summary) -> Self {
        Self {
            batch_count: summary.batches,
            accepted_count: summary.accepted,
            duplicate_count: summary.duplicate,
            rejected_count: summary.rejections.count,
            rejections: summary.rejections.listed,
            rejections_truncated: summary.rejections.truncated,
        }
    }
}
