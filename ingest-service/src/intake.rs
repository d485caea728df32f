//! Takes one batch from its arrival to its lane: validation, the client's quota, the series
//! resolver and admission. Does not depend on SQL or on the kind of call.

mod caller;

use std::sync::Arc;

use shared::time;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use crate::ack::{self, PendingAck};
use crate::config::Limits;
use crate::error::BatchError;
use crate::flush::QueuedBatch;
use crate::ledger_reader::LedgerReader;
use crate::metrics::{self, BatchOutcome, Metrics};
use crate::permissions::Permissions;
use crate::refusals::Refusals;
use crate::scheduling::lanes::Lanes;
use crate::series_resolver::SeriesResolver;
use crate::validate::{ValidBatch, validate};
use crate::wire::RawMessage;

pub(crate) use caller::Caller;

/// Stages of a batch between its arrival and its lane; cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake {
    pub(crate) limits: Arc<Limits>,
    pub(crate) resolver: SeriesResolver,
    pub(crate) lanes: Lanes,
    pub(crate) ledger: LedgerReader,
    pub(crate) metrics: Metrics,
    pub(crate) refusals: Refusals,
}

impl Intake {
    /// Validates and queues the batch of a request. Once this returns, the batch is decided on and
    /// written even if the client disconnects.
    pub(crate) async fn accept(
        &self,
        message: RawMessage,
        caller: &Caller,
    ) -> Result<PendingAck, BatchError> {
        let accepted =
            self.queue(message, caller, Instant::now()).instrument(metrics::batch()).await;
        accepted.inspect_err(|error| self.refusals.batch(error))
    }

    async fn queue(
        &self,
        message: RawMessage,
        caller: &Caller,
        arrived: Instant,
    ) -> Result<PendingAck, BatchError> {
        let bytes = caller.quota.message();
        let checked = || {
            validate(
                &message.0,
                &self.limits,
                Permissions::of(&caller.identity),
                time::now_micros(),
            )
        };
        let valid = match metrics::validate().in_scope(checked) {
            // Boxed, because this future is rare and large.
            Err(error) => return Box::pin(self.answer_from_ledger(error)).await,
            Ok(valid) => valid,
        };
        let span = Span::current();
        let points = valid.points.len();
        caller
            .wait_for_quota(points + usize::try_from(valid.rejections.count).unwrap_or_default())
            .await?;
        let ValidBatch { numbering, series, points: valid_points, rejections } = valid;
        span.record("tidegauge.points", points);
        if let Some(numbering) = &numbering {
            span.record("tidegauge.sequence", numbering.sequence);
        }
        self.refusals.points(&rejections);
        if points == 0 && numbering.is_none() {
            self.metrics.batch(BatchOutcome::NothingValid);
            return Ok(PendingAck::known(ack::answer(0, 0, &rejections, time::now_micros())));
        }
        let resolved = self.resolver.resolve(&series, &caller.quota, &caller.shutdown);
        let series_ids = resolved.instrument(metrics::resolve()).await?;
        let wait = Instant::now();
        let producer_id = numbering.as_ref().map(|numbering| numbering.producer_id.as_str());
        let permit = self.lanes.acquire(caller.quota.client(), producer_id, points, caller.timeout);
        let permit = permit.instrument(metrics::permit()).await.ok_or(BatchError::Overloaded)?;
        self.metrics.waited_for_permit(wait.elapsed());
        let (pending, outcome) = PendingAck::new(arrived);
        let points = valid_points;
        let waiting = metrics::queue();
        let batch = QueuedBatch {
            numbering,
            points,
            series_ids,
            rejections,
            outcome,
            permit,
            bytes,
            span,
            waiting,
        };
        self.lanes.queue(batch).await;
        Ok(pending)
    }

    /// Answers a batch that exceeds the present limit of points, if it was applied while the limit
    /// was higher.
    async fn answer_from_ledger(&self, error: BatchError) -> Result<PendingAck, BatchError> {
        if let BatchError::TooManyPoints { numbering: Some(numbering), .. } = &error
            && let Some(answer) = self.ledger.first_answer(numbering).await?
        {
            self.metrics.duplicate(answer.accepted_count);
            return Ok(PendingAck::known(answer));
        }
        Err(error)
    }
}
