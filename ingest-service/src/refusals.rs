//! Logs refused batches and points. The first of each kind is logged, then one count every ten
//! seconds.

use std::sync::Arc;

use shared::proto::v1::RejectionReason;
use shared::telemetry::Repeats;

use crate::error::BatchError;
use crate::metrics::{BatchOutcome, Metrics};
use crate::validate::{REASONS, Rejections};

/// Counter and rate-limited log of refusals; cheap to clone.
#[derive(Clone)]
pub(crate) struct Refusals {
    metrics: Metrics,
    /// Indexed by the number of the reason.
    points: Arc<[Repeats; REASONS]>,
    batches: Repeats,
}

impl Refusals {
    pub(crate) fn new(metrics: Metrics) -> Self {
        let reason = |number| {
            i32::try_from(number).ok().and_then(|number| RejectionReason::try_from(number).ok())
        };
        let points = std::array::from_fn(|number| {
            Repeats::new(reason(number).unwrap_or_default().as_str_name())
        });
        Self { metrics, points: Arc::new(points), batches: Repeats::new("refused batches") }
    }

    /// Reports rejected points of a batch whose other points may be stored.
    pub(crate) fn points(&self, rejections: &Rejections) {
        self.metrics.rejected(rejections);
        for rejection in &rejections.listed {
            let Some(repeats) =
                usize::try_from(rejection.reason).ok().and_then(|number| self.points.get(number))
            else {
                continue;
            };
            let reason = rejection.reason().as_str_name();
            repeats.log(|| {
                tracing::info!(
                    reason,
                    points = rejections.count,
                    "points refused: {}",
                    rejection.message
                )
            });
        }
    }

    /// Reports a refused batch.
    pub(crate) fn batch(&self, error: &BatchError) {
        let outcome = outcome(error);
        self.metrics.batch(outcome);
        self.batches.log(|| tracing::info!(reason = outcome.name(), "batch refused: {error}"));
    }
}

fn outcome(error: &BatchError) -> BatchOutcome {
    match error {
        BatchError::Invalid { .. } => BatchOutcome::Invalid,
        BatchError::Forbidden { .. } => BatchOutcome::Forbidden,
        BatchError::TooManyPoints { .. } => BatchOutcome::TooLarge,
        BatchError::Gap(_) => BatchOutcome::Gap,
        BatchError::Fenced(_) => BatchOutcome::Fenced,
        BatchError::Reused(_) => BatchOutcome::Reused,
        BatchError::TooOld(_) => BatchOutcome::SequenceTooOld,
        BatchError::Refused => BatchOutcome::Refused,
        BatchError::OverLimit(_) => BatchOutcome::OverLimit,
        BatchError::Overloaded => BatchOutcome::Overloaded,
        BatchError::Unavailable(_) => BatchOutcome::Unavailable,
    }
}
